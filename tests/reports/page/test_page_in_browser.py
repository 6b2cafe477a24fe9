"""The page fits a phone and a desktop, and has a light and a dark form, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from cj_pipeline.reports.page.suite import SuiteEntry, suite_page
from tests.reports.page.browser import reach, screenshot
from tests.reports.page.test_page import HOSTILE, page_of
from tests.reports.page.test_suite_page import entry
from tests.reports.test_headline import inverted, second_run, with_scenario

pytestmark = pytest.mark.servers("browser")

PHONE, DESKTOP = 360, 1280


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    return written(path, page_of(with_scenario(inverted(), title=f"{HOSTILE} {'long' * 40}")))


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    entries = [entry("red", second_run(), inverted()), SuiteEntry("long" * 40, (), problem="long" * 80)]
    return written(tmp_path_factory.mktemp("suite") / "index.html", suite_page(entries))


def written(path: Path, page: str) -> Path:
    """Write a page with everything unfolded."""
    path.write_text(re.sub("<details(?! open)", "<details open", page), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("which", ["page", "suite"])
def test_nothing_reaches_beyond_the_right_edge(
    which: str, width: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    reaches, sees = reach(request.getfixturevalue(which), width, tmp_path)
    assert sees == width
    assert reaches <= width


def test_it_is_dark_where_dark_is_preferred(page: Path, tmp_path: Path) -> None:
    from matplotlib.image import imread

    light, dark = (
        imread(screenshot(page, tmp_path / f"{is_dark}.png", DESKTOP, 700, dark=is_dark, folder=tmp_path))[..., :3]
        for is_dark in (False, True)
    )
    assert np.median(light) > 0.9
    assert np.median(dark) < 0.2
    assert light.std() > 0.05  # something is on it
