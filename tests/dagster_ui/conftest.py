from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cj_pipeline.definitions import materialise
from cj_pipeline.instance import instance_at_home
from tests.dagster_floor.floor import LOWER5, ROUNDTRIP, copied_trace
from tests.dagster_ui.chromium import Page, browser
from tests.dagster_ui.served import Place, Served, served

PICTURES = "CJ_PIPELINE_PICTURES"
"""Environment variable: a folder that takes a picture of each page that is looked at."""


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """An installation with two scenarios, each of which ran once."""
    found = Place(tmp_path_factory.mktemp("ui"))
    for name in (ROUNDTRIP, LOWER5):
        copied_trace(name, found.traces)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in found.environment.items():
            patch.setenv(name, value)
        with instance_at_home() as instance:
            ran = materialise((ROUNDTRIP, LOWER5), data_dir=found.data, traces_dir=found.traces, instance=instance)
            assert all(one.success for one in ran)
    return found


@pytest.fixture(scope="session")
def ui(place: Place) -> Iterator[Served]:
    with served(place) as found:
        yield found


@pytest.fixture(scope="session")
def red_run(ui: Served) -> str:
    """A run with a wrong mock, launched as a person does."""
    launched = ui.launch("parity_all", LOWER5, resources={"lps": {"config": {"mode": "+inverted"}}})
    run_id = str(launched["run"]["runId"])
    assert ui.ended(run_id) == "FAILURE"
    return run_id


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture
def picture(page: Page) -> Callable[[str], None]:
    """Take a picture for docs under a name, where somebody wants pictures."""

    def take(name: str) -> None:
        if folder := os.environ.get(PICTURES):
            page.picture(Path(folder) / f"{name}.png")

    return take
