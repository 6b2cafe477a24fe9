"""This module tests the small judge: the real model, on this machine, through the whole of `record`."""

from __future__ import annotations

from pathlib import Path

import pytest

from cj_pipeline.local import small_judge
from cj_pipeline.local.programs import Unavailable
from cj_pipeline.traces.store import read_trace
from tests.cli.terminal import Terminal, terminal_of


@pytest.fixture
def cj_pipeline(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Terminal:
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(tmp_path / "data"))
    return terminal_of(monkeypatch, capsys)


@pytest.mark.servers("judge")
def test_a_real_model_answers_twelve_comparisons(cj_pipeline: Terminal, tmp_path: Path) -> None:
    given = ("--local", "--no-redact", "--comparisons", 12, "--runs", 1, "--output-dir", tmp_path)
    shown = cj_pipeline("record", "tried", *given, "--json")
    assert shown.code == 0, shown.err
    trace = read_trace(tmp_path / "tried")
    callbacks = [line.event.data for line in trace.callbacks.events]
    assert len(callbacks) == 12
    answers = [one for one in callbacks if one.succeeded]
    assert answers  # of 198 comparisons that were recorded with this model, 9 in 10 have a winner
    assert {one.model for one in answers} == {small_judge.MODEL_ID}
    assert all(one.token_usage.prompt_tokens > 150 and one.response_time_ms > 0 for one in answers)
    recorded = trace.provenance.recorded
    assert recorded is not None
    assert recorded.on_this_machine
    assert recorded.judge.model_file_sha256 == small_judge.model_identity().sha256
    assert shown.document["judge"]["asked"] == 12


def test_a_missing_package_says_what_to_install(cj_pipeline: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_judge, "_MODEL_PACKAGE", "no-such-model")
    with pytest.raises(Unavailable):
        small_judge.model_path()
    shown = cj_pipeline("record", "tried", "--local")
    assert shown.code == 2
    assert "no-such-model is not installed" in shown.err
    assert "make record" in shown.err


@pytest.mark.parametrize("option", [("--model", "m"), ("--base-url", "http://localhost/v1"), ("--provider", "openai")])
def test_the_small_judge_is_no_other_model(cj_pipeline: Terminal, option: tuple[str, str]) -> None:
    shown = cj_pipeline("record", "tried", "--local", *option)
    assert shown.code == 2
    assert "brings its own model" in shown.err
