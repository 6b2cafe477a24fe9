"""`cj-pipeline gauntlet`: what it takes, what it prints, how it exits."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from cj_pipeline.parity.gauntlet import drawn
from cj_pipeline.parity.gauntlet.gauntlet import WRONG_MOCKS
from tests.cli.terminal import Terminal
from tests.sides import GENERIC, LOWER5, TRACES


@pytest.fixture(autouse=True)
def without_futures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Try no longer recordings, which take most of the time (tests/parity tries them), and keep the results apart."""
    monkeypatch.setenv("CJ_PIPELINE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(drawn, "closings", lambda *arguments: {})


def test_a_scenario_in_80_columns_of_ascii_and_the_same_from_the_cache(cj_pipeline: Terminal, tmp_path: Path) -> None:
    first, again = (cj_pipeline("gauntlet", GENERIC, columns=80) for _ in range(2))
    assert first.code == 0
    assert first.out == again.out
    assert first.out.isascii()
    assert max(map(len, first.out.splitlines())) <= 80
    assert "wrong mocks are found in at least 80 % of runs" in first.out
    assert "\nNo check fails on these:\n- A mock that " in first.out
    assert "Within the margins, so allowed" in first.out
    assert any((tmp_path / "cache").iterdir())
    headline = " ".join(cj_pipeline("parity", GENERIC).out.split())
    assert "Would find (in 80 % of runs): tokens from" in headline
    assert "Finds in less than 80 % of runs: neighbours swapped" in headline


def test_a_file_has_no_mock_so_its_recording_stands_in(cj_pipeline: Terminal, tmp_path: Path) -> None:
    callbacks = str(TRACES / LOWER5 / "llm_callbacks.jsonl")
    markdown = tmp_path / "gauntlet.md"
    found = cj_pipeline("gauntlet", callbacks, "--json", "--markdown", str(markdown))
    document = json.loads(found.out)
    assert document["failing_anyway"] == []
    assert len(document["wrong_mocks"]) == WRONG_MOCKS
    assert found.code == document["exit_code"] == 3  # ten answers of five essays: a coin gets past
    assert "essential ones get past" in markdown.read_text()
    rows = list(csv.DictReader(io.StringIO(cj_pipeline("gauntlet", callbacks, "--csv").out)))
    assert [row["wrong_mock"] for row in rows] == [one["name"] for one in document["wrong_mocks"]]


def test_what_cannot_be_used_exits_with_2(cj_pipeline: Terminal, tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("not JSON\n")
    for source in ("no_such_scenario", str(empty)):
        found = cj_pipeline("gauntlet", source)
        assert found.code == 2
        assert "Traceback" not in found.err
