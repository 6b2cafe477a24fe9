"""`cj-pipeline history`: what is published over time, in the terminal, as JSON and as pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from cj_pipeline.definitions import materialise
from tests.cli.terminal import Terminal, printed_rows
from tests.sides import LOWER5, TRACES


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with one published run of LOWER5, which no test here changes."""
    data = tmp_path_factory.mktemp("kept") / "data"
    (result,) = materialise([LOWER5], data_dir=data, traces_dir=TRACES)
    assert result.success
    return data


@pytest.fixture(autouse=True)
def data(kept: Path, cj_pipeline: Terminal, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(kept))
    monkeypatch.setenv("CJ_PIPELINE_TRACES_DIR", str(TRACES))
    return kept


def test_every_scenario_has_a_row_and_each_check_a_trend(cj_pipeline: Terminal) -> None:
    answer = cj_pipeline("history", columns=80)
    assert answer.code == 0, answer.err
    (row,) = printed_rows(answer.out, "History")
    assert row == [LOWER5, "1", "PARITY", "0"]
    document = cj_pipeline("history", LOWER5, "--json").document
    assert {"latency_mean", "answer_agreement"} <= {one["check"] for one in document["rows"]}
    assert (document["runs"], document["red_since"]) == (1, None)


def test_an_unknown_check_is_named_with_the_nearest_one(cj_pipeline: Terminal) -> None:
    answer = cj_pipeline("history", LOWER5, "--check", "latency_meen")
    assert answer.code == 2
    assert "Did you mean 'latency_mean'" in answer.err


def test_what_is_published_is_written_as_pages(cj_pipeline: Terminal, tmp_path: Path) -> None:
    answer = cj_pipeline("history", LOWER5, "--html", tmp_path / "pages")
    assert answer.code == 0, answer.err
    index = (tmp_path / "pages" / "index.html").read_text(encoding="utf-8")
    assert "1 of 1 scenarios came out as expected." in index
    page = (tmp_path / "pages" / "scenarios" / f"{LOWER5}.html").read_text(encoding="utf-8")
    assert "Is my mock still good?" in page


def test_pages_of_a_scenario_that_was_never_published_are_refused(cj_pipeline: Terminal, tmp_path: Path) -> None:
    answer = cj_pipeline("history", "eng5_anchor_ladder_20251202", "--html", tmp_path / "pages")
    assert answer.code == 2
    assert "no run of 'eng5_anchor_ladder_20251202' is published" in answer.err.replace("\n    ", " ")
    assert not (tmp_path / "pages").exists()


def test_pages_without_any_published_run_are_refused(
    cj_pipeline: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(tmp_path / "empty"))
    answer = cj_pipeline("history", "--html", tmp_path / "pages")
    assert answer.code == 2
    assert "no run of these is published" in answer.err
    assert not (tmp_path / "pages").exists()
