from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.warehouse.store import Warehouse
from tests.cli.terminal import Terminal, terminal_of
from tests.sides import TRACES


@pytest.fixture
def no_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    """The step after the verdict breaks off."""

    def refused(*_: object, **__: object) -> None:
        raise BadInput("cannot be written.", path="warehouse.duckdb")

    monkeypatch.setattr(Warehouse, "rebuild_catalogue", refused)


@pytest.fixture
def cj_pipeline(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Terminal]:
    """The CLI on the committed scenarios, with a data folder of its own."""
    monkeypatch.setenv("CJ_PIPELINE_TRACES_DIR", str(TRACES))
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(tmp_path / "data"))
    root = logging.getLogger()
    handlers, level = [*root.handlers], root.level
    yield terminal_of(monkeypatch, capsys)
    # A service logs to the standard error that it was started with, which is closed by the time others log.
    root.handlers[:] = handlers
    root.setLevel(level)
