"""What is there twice, what was lost, and values that only a part of the answers gets wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy as copy_of
from pathlib import Path
from uuid import UUID

import pytest

from cj_pipeline.parity.gates import GATES
from cj_pipeline.parity.verdict import Doubt, Parity, Reason, exit_code
from tests.parity.files import changed_copy, compared, failed, written
from tests.sides import ANCHORS, TRACES

RECORDING = TRACES / ANCHORS / "llm_callbacks.jsonl"


FAILED = {
    "error_code": "RATE_LIMIT",
    "message": "Too many.",
    "correlation_id": str(UUID(int=1)),
    "timestamp": "2025-12-01T15:30:00Z",
    "service": "llm_provider_service",
    "operation": "process_comparison",
    "details": {},
}


def lines(recording: Path) -> list[str]:
    return recording.read_text(encoding="utf-8").splitlines(keepends=True)


def again(number: int, event: dict) -> None:
    event["data"]["request_id"] = f"again-{number}"


@pytest.mark.parametrize(
    "change",
    [lambda found: found[::-1], lambda found: [found[1], found[0], *found[2:]], lambda found: found[:-1]],
    ids=["reversed", "swapped", "short of one"],
)
def test_a_file_in_another_order_or_in_part_agrees_with_itself(
    change: Callable[[list[str]], list[str]], tmp_path: Path
) -> None:
    copy = tmp_path / "copy.jsonl"
    copy.write_text("".join(change(lines(RECORDING))), encoding="utf-8")
    found = compared(RECORDING, copy)
    assert found.verdict is Parity.CANNOT_TELL
    assert Doubt.SAME_FILE in {reason.doubt for reason in found.reasons}


@pytest.mark.parametrize(("kept", "partial"), [(66, False), (65, True), (33, True)])
def test_a_live_file_with_a_part_of_the_comparisons_is_partial(kept: int, partial: bool, tmp_path: Path) -> None:
    answers = lines(changed_copy(RECORDING, tmp_path / "whole.jsonl", again))
    live = tmp_path / "live.jsonl"
    live.write_text("".join(answers[:kept]), encoding="utf-8")
    found = compared(RECORDING, live)
    said = [reason.sentence for reason in found.reasons if reason.doubt is Doubt.PARTIAL]
    assert bool(said) == partial
    if partial:
        data = json.loads(answers[kept])["data"]["request_metadata"]
        assert said == [
            f"the live side lacks {66 - kept} of the 66 recorded comparisons and has no others; the first is "
            f"'{data['essay_a_id']}' shown before '{data['essay_b_id']}'"
        ]
        assert found.verdict is Parity.CANNOT_TELL


def swapped(event: dict) -> dict:
    """The same two essays, shown the other way round."""
    asked = event["data"]["request_metadata"]
    asked["essay_a_id"], asked["essay_b_id"] = asked["essay_b_id"], asked["essay_a_id"]
    return event


def anew(number: int, event: dict) -> dict:
    """Another answer to the same question, an hour later."""
    again(number, event)
    event["event_id"] = event["correlation_id"] = event["data"]["correlation_id"] = str(UUID(int=number + 1))
    for part, key in ((event["data"], "requested_at"), (event["data"], "completed_at"), (event, "event_timestamp")):
        part[key] = part[key].replace("T14:", "T15:")
    return event


# What a live file has of 66 recorded comparisons, and how many it is said to lack.
PARTS: dict[str, tuple[Callable[[list[dict]], list[dict]], str]] = {
    "five lost, one the other way round": (lambda all_: [*all_[5:], swapped(anew(70, copy_of(all_[9])))], "5"),
    "five lost, one asked again": (lambda all_: [*all_[5:], anew(70, copy_of(all_[9]))], "5"),
    "two batches": (lambda all_: [*all_, *(anew(70 + n, copy_of(one)) for n, one in enumerate(all_))], ""),
    "other comparisons in place of twenty": (lambda all_: [*all_[20:], *map(swapped, copy_of(all_[:20]))], ""),
    "as many, some in place of others": (
        lambda all_: [*all_[5:], *(anew(70 + n, copy_of(all_[9])) for n in range(5))],
        "",
    ),
    "half as many, of which some are others": (lambda all_: [*all_[:25], *map(swapped, copy_of(all_[30:38]))], ""),
}


@pytest.mark.parametrize("name", PARTS)
def test_a_live_file_that_lacks_comparisons_is_partial_whatever_else_it_has(name: str, tmp_path: Path) -> None:
    part, lacks = PARTS[name]
    whole = changed_copy(RECORDING, tmp_path / "whole.jsonl", again)
    live = written(tmp_path / "live.jsonl", part([json.loads(line) for line in lines(whole)]))
    said = [reason.sentence for reason in compared(RECORDING, live).reasons if reason.doubt is Doubt.PARTIAL]
    assert [one.startswith(f"the live side lacks {lacks} of the 66 recorded comparisons") for one in said] == (
        [True] if lacks else []
    )


@pytest.mark.parametrize(("kind", "lacks"), [("cj_retry", 0), ("cj_comparison", 1)])
def test_an_error_that_was_asked_again_is_no_comparison_of_its_own(kind: str, lacks: int, tmp_path: Path) -> None:
    whole = [json.loads(line) for line in lines(RECORDING)]
    error = anew(70, copy_of(whole[3]))
    error["data"] |= {"winner": None, "justification": None, "confidence": None, "error_detail": FAILED}
    live = changed_copy(RECORDING, tmp_path / "live.jsonl", again)
    whole[3]["data"]["request_metadata"]["cj_request_type"] = kind
    recorded = written(tmp_path / "recorded.jsonl", [*whole[:3], error, *whole[3:]])
    said = [one.sentence for one in compared(recorded, live).reasons if one.doubt is Doubt.PARTIAL]
    assert [one.startswith("the live side lacks 1 of the 67") for one in said] == [True] * lacks


@pytest.mark.parametrize("wrong_first", [False, True])
@pytest.mark.parametrize("wrong", ["another model", "errors"])
def test_what_a_live_file_has_beyond_the_recorded_comparisons_is_compared(
    wrong: str, wrong_first: bool, tmp_path: Path
) -> None:
    whole = [json.loads(line) for line in lines(changed_copy(RECORDING, tmp_path / "whole.jsonl", again))]
    more = [anew(70 + number, copy_of(event)) for number, event in enumerate(whole)]
    for event in more:
        if wrong == "another model":
            event["data"]["model"] = "gpt-4o"
        else:
            event["data"] |= {"winner": None, "justification": None, "confidence": None, "error_detail": FAILED}
    live = written(tmp_path / "live.jsonl", [*more, *whole] if wrong_first else [*whole, *more])
    found = compared(RECORDING, live)
    assert len(found.live.events) == 132
    assert {"another model": "identity", "errors": "error_rate"}[wrong] in failed(found)


def test_without_a_prompt_in_common_no_answers_were_compared_and_the_recording_is_not_to_blame(tmp_path: Path) -> None:
    """Every essay that won has lost: another scale, which nobody sees."""

    def turned(number: int, event: dict) -> None:
        swapped(anew(number, event))["data"]["request_metadata"]["prompt_sha256"] = f"{number:064x}"

    found = compared(RECORDING, changed_copy(RECORDING, tmp_path / "live.jsonl", turned))
    assert found.verdict is Parity.CANNOT_TELL
    assert Reason(Doubt.NO_ANSWERS, "no answers were compared: no prompt was answered on both sides") in found.reasons
    assert Doubt.NOTHING_ABOUT_ESSAYS not in {reason.doubt for reason in found.reasons}
    assert exit_code(found.verdict, found.reasons, accept_unproven=True) == 3


def test_with_every_check_of_answers_off_no_answers_were_compared(tmp_path: Path) -> None:
    off = {gate.name: "switched off by a test" for gate in GATES if "wins" in gate.parts}
    live = changed_copy(RECORDING, tmp_path / "live.jsonl", anew)
    (reason, *_) = compared(RECORDING, live, checks_off=off).reasons
    assert reason == Reason(Doubt.NO_ANSWERS, "no answers were compared: their checks are off")


def test_every_answer_of_a_further_recording_counts(tmp_path: Path) -> None:
    whole = [json.loads(line) for line in lines(changed_copy(RECORDING, tmp_path / "whole.jsonl", again))]
    longer = written(tmp_path / "longer.jsonl", [anew(70 + n, copy_of(one)) for n, one in enumerate(whole)] + whole)
    live = changed_copy(RECORDING, tmp_path / "live.jsonl", lambda n, e: anew(300 + n, e))
    (result,) = (one for one in compared(RECORDING, live, longer).results if one.check.name == "latency_mean")
    assert result.evidence is not None
    assert result.evidence.observations[0] == 3 * 66


def with_one_twice(recording: Path, copy: Path, *, later: bool) -> Path:
    """One answer is there again under new ids. later: with times of its own, as when it was asked again."""
    events = [json.loads(line) for line in lines(recording)]
    second = copy_of(events[3])
    second["event_id"] = second["correlation_id"] = second["data"]["correlation_id"] = str(UUID(int=7))
    second["data"]["request_id"] = "another"
    if later:
        second["data"]["requested_at"] = "2025-12-01T14:00:00Z"
    return written(copy, [*events[:4], second, *events[4:]])


@pytest.mark.parametrize(("later", "fails"), [(False, True), (True, False)])
@pytest.mark.parametrize("side", ["recorded", "live"])
def test_an_answer_that_is_there_twice_under_new_ids_is_no_second_answer(
    side: str, later: bool, fails: bool, tmp_path: Path
) -> None:
    whole = changed_copy(RECORDING, tmp_path / "whole.jsonl", again)
    twice = with_one_twice(whole, tmp_path / "twice.jsonl", later=later)
    sides = (twice, RECORDING) if side == "recorded" else (RECORDING, twice)
    assert ("ids" in failed(compared(*sides))) == fails


def priced(number: int, event: dict) -> None:
    again(number, event)
    usage = event["data"]["token_usage"]
    event["data"]["cost_estimate"] = usage["prompt_tokens"] * 1e-6 + usage["completion_tokens"] * 1e-5


def shuffled(number: int, event: dict) -> None:
    """The same total within a thousandth, on other answers."""
    priced(number, event)
    event["data"]["cost_estimate"] *= 0.1 if number % 2 else 1.9


def test_costs_follow_the_tokens_of_each_answer(tmp_path: Path) -> None:
    recorded = changed_copy(RECORDING, tmp_path / "recorded.jsonl", priced)
    right = changed_copy(recorded, tmp_path / "right.jsonl", lambda n, e: e["data"].update(request_id=f"more-{n}"))
    assert "cost" not in failed(compared(recorded, right))
    wrong = changed_copy(RECORDING, tmp_path / "wrong.jsonl", shuffled)
    wrong = changed_copy(wrong, tmp_path / "renamed.jsonl", lambda n, e: e["data"].update(request_id=f"more-{n}"))
    assert "cost" in failed(compared(recorded, wrong))


@pytest.mark.parametrize("mark", ["confidence_known", "tokens_known"])
@pytest.mark.parametrize(("marked", "differs"), [(1, False), (65, True)])
def test_many_answers_without_a_value_are_a_difference_of_shape(
    mark: str, marked: int, differs: bool, tmp_path: Path
) -> None:
    def change(number: int, event: dict) -> None:
        again(number, event)
        if number < marked:
            event["data"]["request_metadata"][mark] = False

    found = compared(RECORDING, changed_copy(RECORDING, tmp_path / "live.jsonl", change))
    assert ("schema" in failed(found)) == differs


def test_sixty_answers_with_one_confidence_can_be_compared(tmp_path: Path) -> None:
    """Their kurtosis, with 30 answers of a normal one, is exactly 1: the noise was no number."""

    def constant(number: int, event: dict) -> None:
        again(number, event)
        event["data"]["confidence"] = 3.0

    recorded = tmp_path / "recorded.jsonl"
    whole = changed_copy(RECORDING, tmp_path / "whole.jsonl", lambda n, e: e["data"].update(confidence=3.0))
    recorded.write_text("".join(lines(whole)[:60]), encoding="utf-8")
    live = tmp_path / "live.jsonl"
    live.write_text("".join(lines(changed_copy(RECORDING, tmp_path / "again.jsonl", constant))[:60]), encoding="utf-8")
    assert compared(recorded, live).verdict is not Parity.NO_PARITY


def test_one_answer_of_another_model_is_another_judge_where_the_scenario_names_its_own(tmp_path: Path) -> None:
    def other(number: int, event: dict) -> None:
        if number == 7:
            event["data"]["model"] = "gpt-5-mini-2025-08-07"

    mixed = changed_copy(RECORDING, tmp_path / "recorded.jsonl", other)
    live = changed_copy(mixed, tmp_path / "live.jsonl", again)
    provider = compared(RECORDING, RECORDING).scenario.provider.model_copy(update={"model": "gpt-5.1"})
    assert "identity" in failed(compared(mixed, live, provider=provider))


def test_a_live_side_without_the_marks_of_its_recording_is_a_difference_of_shape(tmp_path: Path) -> None:
    recorded = changed_copy(
        RECORDING, tmp_path / "r.jsonl", lambda n, e: e["data"]["request_metadata"].update(confidence_known=n > 30)
    )
    live = changed_copy(RECORDING, tmp_path / "live.jsonl", again)
    assert "schema" in failed(compared(recorded, live))
    assert "schema" not in failed(compared(recorded, changed_copy(recorded, tmp_path / "marked.jsonl", again)))


@pytest.mark.parametrize("side", ["recorded", "live"])
def test_a_key_that_only_some_answers_of_one_side_have_is_a_difference_of_shape(side: str, tmp_path: Path) -> None:
    def some(number: int, event: dict) -> None:
        again(number, event)
        if number % 2:
            event["data"]["request_metadata"]["llm_batching_note"] = "x"

    changed = changed_copy(RECORDING, tmp_path / "changed.jsonl", some)
    sides = (changed, RECORDING) if side == "recorded" else (RECORDING, changed)
    assert "schema" in failed(compared(*sides))


def test_a_field_with_a_default_that_one_callback_lacks_is_a_difference_of_shape(tmp_path: Path) -> None:
    def lost(number: int, event: dict) -> None:
        if number == 5:
            del event["schema_version"]

    assert "schema" in failed(compared(RECORDING, changed_copy(RECORDING, tmp_path / "lost.jsonl", lost)))
