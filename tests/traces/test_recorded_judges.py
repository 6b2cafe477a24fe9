"""This module tests the committed recordings of a real judge: what they say of themselves, and of each other."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest

from cj_pipeline.cli.record_result import between
from cj_pipeline.cli.sources import find_source
from cj_pipeline.local.small_judge import ESSAYS, GRADES, MODEL_ID
from cj_pipeline.parity.compare import compare
from cj_pipeline.parity.verdict import Parity
from cj_pipeline.runs.record import Side
from cj_pipeline.runs.recording.design import all_pairs
from cj_pipeline.runs.recording.essays import read_essays
from cj_pipeline.runs.recording.portrait import portrait_of_trace
from cj_pipeline.runs.recording.prompts import load_prompt
from cj_pipeline.traces.grade_file import read_grade_file
from cj_pipeline.traces.provenance import TraceOrigin
from cj_pipeline.traces.reader import read_callbacks
from cj_pipeline.traces.store import read_trace
from tests.traces.folders import TRACES

PLAIN, RUBRIC = "smollm2_plain_v1", "smollm2_rubric_v1"
PAIRS = 66


@pytest.mark.parametrize(("scenario_id", "prompt", "runs"), [(PLAIN, "plain.v1", 2), (RUBRIC, "rubric.v1", 1)])
def test_a_real_recording_says_who_was_asked_with_which_words(scenario_id: str, prompt: str, runs: int) -> None:
    trace = read_trace(TRACES / scenario_id)
    variant = load_prompt(prompt)
    assert len(trace.recordings) == runs
    texts = json.dumps(dict(read_essays(ESSAYS).texts), sort_keys=True, ensure_ascii=False).encode()
    for number, recording in enumerate(trace.recordings, start=1):
        provenance = recording.provenance
        assert provenance.origin is TraceOrigin.RECORDED
        assert provenance.redaction is None  # the texts are the project's own
        assert provenance.recorded is not None
        assert provenance.recorded.judge.model == MODEL_ID
        assert (provenance.recorded.prompt.sha256, provenance.recorded.prompt.texts) == (variant.sha256, variant.texts)
        assert provenance.recorded.texts_sha256 == sha256(texts).hexdigest()
        assert (provenance.recorded.design.run, provenance.recorded.design.runs) == (number, runs)
    grades = {essay: known.grade for essay, known in read_grade_file(GRADES).items()}
    assert {item.id: item.grade for item in trace.scenario.net.items} == grades
    assert trace.scenario.latency == "host"


@pytest.mark.parametrize("scenario_id", [PLAIN, RUBRIC])
def test_every_run_asked_every_pair_once_as_it_was_planned(scenario_id: str) -> None:
    planned = [
        (pair.essay_a, pair.essay_b) for wave in all_pairs(list(read_essays(ESSAYS).texts), seed=1) for pair in wave
    ]
    for recording in read_trace(TRACES / scenario_id).recordings:
        shown = [line.event.data.essay_ids() for line in read_callbacks(recording.path).events]
        assert shown == planned  # one at a time, so they came back in the order in which they were asked
        assert len(shown) == PAIRS


@pytest.mark.parametrize("scenario_id", [PLAIN, RUBRIC])
def test_the_small_model_goes_by_position(scenario_id: str) -> None:
    portrait = portrait_of_trace(TRACES / scenario_id)
    assert portrait.answered.count >= 0.85 * portrait.asked
    share = portrait.first_shown.count / portrait.first_shown.of
    assert share < 0.2 or share > 0.8
    assert "position" in find_mode(scenario_id) or "says nothing about the essays" in find_mode(scenario_id)


def find_mode(scenario_id: str) -> str:
    return (TRACES / scenario_id / "mode.yaml").read_text(encoding="utf-8").replace("\n  ", " ")


def test_two_runs_of_one_judge_are_not_told_apart() -> None:
    (report,) = between(TRACES / PLAIN)
    assert report.verdict is Parity.CANNOT_TELL
    assert not report.failed
    assert any("nothing about the essays" in reason.sentence for reason in report.reasons)


def test_another_prompt_is_another_judge() -> None:
    """The rubric is longer: every prompt has about a hundred tokens more."""
    plain, rubric = find_source(str(TRACES / PLAIN)), find_source(str(TRACES / RUBRIC))
    found = compare(
        plain.scenario,
        plain.replayed(Side.RECORDED),
        rubric.replayed(Side.LIVE, plain.scenario),
        scenario_file=plain.scenario_file,
    )
    assert found.verdict is Parity.NO_PARITY
    assert "tokens_prompt" in {one.check.name for one in found.failed}
