"""The first lines of a report: the verdict, why, what it would have found, what is taken as given, what to do next."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from functools import cache

import click
import pytest

from cj_pipeline.cli.main import cli
from cj_pipeline.contracts.named_prompt import NamedPrompt
from cj_pipeline.parity.compare import ParityReport, Verdict
from cj_pipeline.parity.verdict import Doubt, Parity, Reason, exit_code, judged_exit_code
from cj_pipeline.reports.headline import FITTED_TO_ITSELF, headline, headline_lines, next_command, off_lines
from cj_pipeline.runs.record import Side
from cj_pipeline.traces.provenance import read_provenance
from cj_pipeline.traces.scenario import ExpectedVerdict, KnownJudge
from tests.sides import LADDER, TRACES, live, recorded, report

POWER = Reason(Doubt.UNPROVEN, "this comparison would let wrong mocks past: fair coin (found in 40 % of runs)")
PARTIAL = Reason(Doubt.PARTIAL, "the recording is partial: 3 callbacks are missing")


@cache
def second_run() -> ParityReport:
    """The ladder against its own answers under other request ids: PARITY."""
    run = recorded(LADDER)
    events = tuple(
        event.model_copy(update={"data": event.data.model_copy(update={"request_id": f"again-{number}"})})
        for number, event in enumerate(run.events)
    )
    document = run.document.model_copy(update={"side": Side.LIVE, "judge": "again.jsonl"})
    return report(LADDER, run.model_copy(update={"events": events, "document": document}))


@cache
def inverted() -> ParityReport:
    return report(LADDER, live(LADDER, "+inverted"))


def with_scenario(found: ParityReport, **changes: object) -> ParityReport:
    return replace(found, scenario=found.scenario.model_copy(update=changes))


def cannot_tell(*reasons: Reason) -> ParityReport:
    return replace(second_run(), verdict=Parity.CANNOT_TELL, reasons=reasons)


def text_of(found: ParityReport) -> str:
    return "\n".join(headline_lines(found))


def test_parity_says_how_many_gates_could_have_failed() -> None:
    found = second_run()
    assert found.verdict is Parity.PARITY
    assert headline(found) == f"PARITY: {len(found.could_fail)} gates could have failed, and none did"


def test_no_parity_names_the_failed_gates() -> None:
    found = inverted()
    assert found.verdict is Parity.NO_PARITY
    failed = [result.check.name for result in found.failed]
    assert headline(found) == f"NO PARITY: {len(failed)} of {len(found.could_fail)} gates failed: {', '.join(failed)}"
    assert "answer_agreement" in failed


def test_gates_that_a_coin_would_pass_and_gates_on_invented_values_do_not_count() -> None:
    found = second_run()
    silent = {one.check.name for one in found.on if one.evidence is not None and one.evidence.says_nothing}
    assert "zero_win" in silent
    assert silent.isdisjoint(one.check.name for one in found.could_fail)
    marked = replace(found, invented=frozenset({"latency_mean"}))
    assert len(marked.could_fail) == len(found.could_fail) - 1
    assert "Compared with invented values, and not counted: latency_mean." in headline_lines(marked)


def test_a_reconstruction_marks_what_was_never_published() -> None:
    from cj_pipeline.parity.origin import invented_checks, missing_parts

    provenances = [read_provenance(TRACES / LADDER)]
    invented = invented_checks(provenances)
    assert {"latency_mean", "tokens_total", "confidence", "identity", "cost"} <= invented
    assert "answer_agreement" not in invented
    assert missing_parts(provenances) == ()
    assert invented_checks([]) == frozenset()


def test_a_third_recording_is_not_called_the_second() -> None:
    lines = headline_lines(replace(cannot_tell(POWER), recordings=2))
    assert any("What helps: one more recording of the same judge" in line for line in lines)


def test_what_it_would_have_found_is_in_words() -> None:
    text = text_of(second_run())
    assert "Catches in 100 % of runs: fair coin, blind coin with the recorded share of A, inverted judge" in text
    assert "Would find (in 80 % of runs): " in text
    assert re.search(r"position from [+-]+\.?\d[\d.]* logits, ", text)


def test_a_wrong_mock_that_is_found_less_often_is_listed_with_its_share() -> None:
    found = second_run()
    coin, *others = found.detections
    text = text_of(replace(found, detections=(replace(coin, rate=0.9999), *others)))
    assert "; in 99 % of runs: fair coin" in text
    left_out = text_of(replace(found, detections=(replace(coin, same_as_recorded=True), *others)))
    assert "Not looked for, since the recorded judge does the same: fair coin." in left_out


def test_cannot_tell_says_why_and_what_helps() -> None:
    lines = headline_lines(cannot_tell(POWER))
    assert lines[0].startswith("CANNOT TELL: ")
    assert lines[1] == f"Why: {POWER.sentence}."
    assert any("What helps: a second recording of the same judge" in line for line in lines)
    assert not any("What helps" in line for line in headline_lines(cannot_tell(PARTIAL)))


def test_an_expected_verdict_is_shown_beside_the_one_that_came() -> None:
    expect = ExpectedVerdict(verdict="CANNOT TELL", reason="five essays say too little")
    assert headline(with_scenario(cannot_tell(POWER), expect=expect)).startswith("CANNOT TELL, as expected: ")
    better = with_scenario(second_run(), expect=expect)
    assert headline(better).startswith("PARITY, expected CANNOT TELL: ")
    assert headline_lines(better)[1] == "Expected: CANNOT TELL, since five essays say too little."
    assert not better.as_expected


def test_what_is_taken_as_given_is_repeated() -> None:
    judge = KnownJudge(repeatability=1, reason="answers are cached by prompt")
    text = text_of(with_scenario(second_run(), judge=judge, latency="host"))
    assert "Taken as given: repeatability 1, since answers are cached by prompt." in text
    assert "Latency is that of a host" in text


def test_the_prompt_of_a_recording_is_named() -> None:
    provider = second_run().scenario.provider
    asked = {"prompt": NamedPrompt(name="rubric.v1", sha256="ab12cd34ef56" + "0" * 52), "temperature": 0.7}
    text = text_of(with_scenario(second_run(), provider=provider.model_copy(update=asked)))
    assert "Asked with prompt rubric.v1 (sha256 ab12cd34ef56), temperature 0.7." in text
    assert "Asked with prompt" not in text_of(second_run())


def test_more_answers_come_from_where_the_recording_came_from() -> None:
    found = cannot_tell(POWER)
    assert next_command(found, ("traces/a judge",)) == (
        "cj-pipeline traces import --into 'traces/a judge' --from-folder FOLDER"
    )
    prompt = NamedPrompt(name="plain.v1", sha256="0" * 64)
    provider = found.scenario.provider.model_copy(update={"prompt": prompt})
    recorded = with_scenario(found, provider=provider)
    assert next_command(recorded, ("traces/a judge",)) == "cj-pipeline record 'traces/a judge' --more 40"


def test_one_recording_says_that_the_mode_was_fitted_to_it() -> None:
    assert FITTED_TO_ITSELF in headline_lines(inverted())
    assert FITTED_TO_ITSELF not in headline_lines(replace(inverted(), recordings=2))
    assert FITTED_TO_ITSELF not in headline_lines(second_run())  # the live side is no mock


def test_looser_margins_are_counted() -> None:
    own = {"confidence": {"difference": 0.9, "reason": "the rubric has three points only"}}
    text = text_of(with_scenario(second_run(), tolerances=own))
    assert "1 margin is looser than in profile eng5_anchor: confidence." in text


def test_both_sides_are_named_with_who_answered() -> None:
    assert (
        f"Recorded: {LADDER}, 66 answers of openai gpt-5.1. Live: again.jsonl, 66 answers of openai gpt-5.1."
        in headline_lines(second_run())
    )
    quarantined = second_run().live.document.model_copy(update={"quarantined_lines": 2})
    partial = replace(second_run(), live=second_run().live.model_copy(update={"document": quarantined}))
    assert "gpt-5.1, 2 lines in quarantine." in text_of(partial)


@pytest.mark.parametrize(
    "found",
    [
        second_run,
        lambda: cannot_tell(POWER),
        lambda: cannot_tell(PARTIAL),
        lambda: cannot_tell(Reason(Doubt.SAME_FILE, "both sides are the same file")),
        lambda: cannot_tell(Reason(Doubt.NO_GATE, "no gate is on")),
        lambda: replace(
            inverted(), results=tuple(one for one in inverted().results if one.verdict is not Verdict.FAIL)
        ),
    ],
)
def test_the_last_line_is_a_command_that_exists(found) -> None:  # type: ignore[no-untyped-def]
    command = next_command(found(), ("a folder", "b.jsonl"))
    assert command is not None
    assert headline_lines(found(), ("a folder", "b.jsonl"))[-1] == f"Next: {command}"
    name, *words = shlex.split(command)
    assert name == "cj-pipeline"
    place: click.Command = cli
    while isinstance(place, click.Group):
        below = place.get_command(click.Context(place), words.pop(0))
        assert below is not None
        place = below
    options = {option for one in place.params for option in one.opts}
    assert {word for word in words if word.startswith("--")} <= options


def test_answers_that_differ_lead_to_the_first_divergence() -> None:
    judge = inverted().live.document.judge
    assert next_command(inverted()) == f"cj-pipeline parity {LADDER} --mode {judge} --first-divergence"
    assert next_command(inverted(), ("x", "y")) == "cj-pipeline parity x y --first-divergence"


def test_the_first_divergence_does_not_lead_to_itself() -> None:
    assert next_command(inverted(), ("x", "y", "--first-divergence")) is None


def of_two_recordings(found: ParityReport) -> ParityReport:
    document = found.live.document.model_copy(update={"asked_batch_ids": ()})
    return replace(found, live=found.live.model_copy(update={"document": document}))


def test_two_recordings_whose_answers_agree_do_not_lead_to_the_first_divergence() -> None:
    found = of_two_recordings(of_mode("mode.yaml", "other.jsonl"))
    assert next_command(found, ("x.jsonl", "y.jsonl")) is None


@pytest.mark.parametrize(("side", "file"), [("recording", "x.jsonl"), ("live side", "y.jsonl")])
def test_what_is_partial_is_what_to_look_at(side: str, file: str) -> None:
    found = of_two_recordings(cannot_tell(Reason(Doubt.PARTIAL, f"the {side} is partial: lines are lost")))
    assert next_command(found, ("x.jsonl", "y.jsonl")) == f"cj-pipeline traces summarise {file}"


def of_mode(mode: str, judge: str) -> ParityReport:
    """NO PARITY in time alone, under a mode of the scenario's own."""
    found = report(LADDER, live(LADDER, "+instant"))
    document = found.live.document.model_copy(update={"judge": judge})
    shown = replace(found, live=found.live.model_copy(update={"document": document}))
    failed = tuple(one for one in shown.results if one.verdict is not Verdict.FAIL or one.check.name == "latency_mean")
    return with_scenario(replace(shown, results=failed), mode=mode)


@pytest.mark.parametrize(
    ("mode", "judge", "arguments", "command"),
    [
        ("eng5_anchor_ladder", "eng5_anchor_ladder", (LADDER,), "lps mode eng5_anchor_ladder"),
        ("eng5_anchor_ladder", "eng5_anchor_ladder+instant", None, "lps mode eng5_anchor_ladder+instant"),
        ("eng5_anchor_ladder", "mine", ("x", "--mode", "mine.yaml"), "lps mode mine.yaml"),
        # A mode beside its scenario goes by no name: what it foretells is what to look at.
        ("mode.yaml", "fitted", ("x",), "calibrate x"),
        ("mode.yaml", "fitted", None, f"calibrate {LADDER}"),
        ("mode.yaml+instant", "fitted+instant", None, f"calibrate {LADDER}"),
        ("mode.yaml", "fitted+instant", ("x", "--mode", "+instant"), "parity x --mode +instant --first-divergence"),
        ("mode.yaml", "fitted+instant", None, f"parity {LADDER} --mode +instant --first-divergence"),
        ("mode.yaml", "default", ("x", "default"), "lps mode default"),
    ],
)
def test_what_is_wrong_with_a_mode_leads_to_a_command_that_knows_it(
    mode: str, judge: str, arguments: tuple[str, ...] | None, command: str
) -> None:
    assert next_command(of_mode(mode, judge), arguments) == f"cj-pipeline {command}"


@pytest.mark.parametrize(
    ("verdict", "reasons", "code", "accepted"),
    [
        (Parity.PARITY, (), 0, 0),
        (Parity.NO_PARITY, (POWER,), 1, 1),
        (Parity.CANNOT_TELL, (POWER,), 3, 0),
        (Parity.CANNOT_TELL, (PARTIAL,), 3, 3),
        (Parity.CANNOT_TELL, (POWER, PARTIAL), 3, 3),
        (Parity.CANNOT_TELL, (Reason(Doubt.SAME_FILE, ""),), 3, 3),
        (Parity.CANNOT_TELL, (Reason(Doubt.NO_GATE, ""),), 3, 3),
    ],
)
def test_exit_codes(verdict: Parity, reasons: tuple[Reason, ...], code: int, accepted: int) -> None:
    assert exit_code(verdict, reasons) == code
    assert exit_code(verdict, reasons, accept_unproven=True) == accepted


@pytest.mark.parametrize(
    ("verdict", "expected", "code"),
    [
        (Parity.CANNOT_TELL, Parity.CANNOT_TELL, 0),
        (Parity.NO_PARITY, Parity.NO_PARITY, 0),
        (Parity.PARITY, Parity.CANNOT_TELL, 1),
        (Parity.PARITY, Parity.NO_PARITY, 1),
        (Parity.NO_PARITY, Parity.CANNOT_TELL, 1),
        (Parity.CANNOT_TELL, Parity.NO_PARITY, 3),
        (Parity.CANNOT_TELL, Parity.PARITY, 3),
    ],
)
def test_an_unexpected_verdict_never_exits_with_0(verdict: Parity, expected: Parity, code: int) -> None:
    reasons = (PARTIAL,) if verdict is Parity.CANNOT_TELL else ()
    assert judged_exit_code(verdict, expected, reasons) == code


def test_checks_that_are_off_for_one_reason_share_a_line() -> None:
    lines = off_lines(second_run())
    assert any(line.startswith("error_mix, error_bursts, retry_success: 0 recorded errors") for line in lines)
