"""Every field of a callback is compared by its value, noted, or listed with the reason why not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import BaseModel

from cj_pipeline.contracts.callback import CallbackEvent, LLMComparisonResultV1, TokenUsage
from cj_pipeline.parity.check import INPUT
from cj_pipeline.parity.compare import BY_NAME, compare
from cj_pipeline.parity.values import COMPARED, IDENTITY
from cj_pipeline.parity.verdict import Doubt, Parity
from tests.parity.files import changed_copy, compared, failed, shared_file, written
from tests.sides import ANCHORS, LOWER5, TRACES, live, recorded, report, scenario, session_cache

RECORDING = TRACES / ANCHORS / "llm_callbacks.jsonl"
GPT_4 = "gpt-4o-mini"


def test_every_field_of_the_contract_is_on_the_list_and_nothing_else() -> None:
    envelope = {name for name in CallbackEvent.model_fields if name != "data"}
    data = {f"data.{name}" for name in LLMComparisonResultV1.model_fields}
    assert set(COMPARED) == envelope | data


def test_every_check_on_the_list_exists() -> None:
    for field, where in COMPARED.items():
        names = [name.strip() for name in where.split(",")]
        assert all(name in BY_NAME for name in names) or len(where.split()) >= 4, f"{field}: a check, or a reason"


def test_the_fields_of_identity_are_fields_of_the_contract() -> None:
    known = {*CallbackEvent.model_fields, *LLMComparisonResultV1.model_fields}
    metadata = {"resolved_provider", "resolved_model", "reasoning_effort", "output_verbosity"}
    assert set(IDENTITY) <= known | metadata
    assert issubclass(TokenUsage, BaseModel)


def data(event: dict) -> dict:
    return event["data"]


def asked(event: dict) -> dict:
    return event["data"]["request_metadata"]


def half_cost_unknown(number: int, event: dict) -> None:
    if number % 2:
        asked(event)["cost_known"] = False


# Wrong in one value each, and the check that must say so.
WRONG: dict[str, tuple[str, Callable[[int, dict], object]]] = {
    "one event id for all": ("ids", lambda n, e: e.update(event_id=str(UUID(int=1)))),
    "one correlation id for all": ("ids", lambda n, e: correlated(e, UUID(int=1))),
    "two correlation ids for all": ("ids", lambda n, e: correlated(e, UUID(int=n % 2))),
    "the correlation id of the one before": ("ids", lambda n, e: n == 5 and correlated(e, CORRELATIONS[4])),
    "wave below 0": ("labels", lambda n, e: asked(e).update(comparison_iteration=-1)),
    "one prompt hash for all": ("ids", lambda n, e: asked(e).update(prompt_sha256="ab" * 32)),
    "hash is no hash": ("ids", lambda n, e: asked(e).update(prompt_sha256="ABC")),
    "model": ("identity", lambda n, e: (data(e).update(model=GPT_4), asked(e).update(resolved_model=GPT_4))),
    "resolved model only": ("identity", lambda n, e: asked(e).update(resolved_model=GPT_4)),
    "provider": (
        "identity",
        lambda n, e: (data(e).update(provider="google"), asked(e).update(resolved_provider="google")),
    ),
    "effort": ("identity", lambda n, e: asked(e).update(reasoning_effort="high")),
    "verbosity lost": ("identity", lambda n, e: asked(e).pop("output_verbosity", None)),
    "another service": ("identity", lambda n, e: e.update(source_service="another_service")),
    "another version": ("identity", lambda n, e: e.update(schema_version=9)),
    "cost x100": ("cost", lambda n, e: data(e).update(cost_estimate=data(e)["cost_estimate"] * 100)),
    "cost 0": ("cost", lambda n, e: data(e).update(cost_estimate=0.0)),
    "cost known by half": ("cost", half_cost_unknown),
    "total is not the sum": (
        "cost",
        lambda n, e: data(e)["token_usage"].update(total_tokens=data(e)["token_usage"]["prompt_tokens"]),
    ),
    "justification of one letter": ("justification", lambda n, e: data(e).update(justification="x")),
    "justification empty": ("justification", lambda n, e: data(e).update(justification="")),
    "justification identical": ("justification", lambda n, e: data(e).update(justification="a reason of usual length")),
    "completed before requested": ("times", lambda n, e: data(e).update(completed_at="2025-11-30T00:00:00Z")),
    "answered in less time than it took": ("times", lambda n, e: data(e).update(completed_at=data(e)["requested_at"])),
    "of the year 1970": ("times", lambda n, e: moved(e, 1970)),
    "of the year 2190": ("times", lambda n, e: moved(e, 2190)),
    "of the year 2099": ("times", lambda n, e: moved(e, 2099)),
    "one of the year 2099": ("times", lambda n, e: n == 5 and moved(e, 2099)),
    "sent in 2099": ("times", lambda n, e: e.update(event_timestamp=f"2099{e['event_timestamp'][4:]}")),
    "sent before it was completed": ("times", lambda n, e: e.update(event_timestamp="2025-11-30T00:00:00Z")),
    "sides swapped under one hash": ("ids", lambda n, e: swapped(e)),
    "ids of the next pair under one hash": ("ids", lambda n, e: asked(e).update(essay_b_id=RECORDED_B[n - 1])),
    "bundle of 1,000": ("labels", lambda n, e: asked(e).update(preferred_bundle_size=1000)),
    "a lost field": ("schema", lambda n, e: e.pop("schema_version", None)),
    "a key too many": ("schema", lambda n, e: data(e).update(another_key=1)),
    "a key too many, once": ("schema", lambda n, e: n == 5 and data(e).update(another_key=1)),
    "tokens as texts": ("schema", lambda n, e: as_texts(data(e)["token_usage"])),
    "cost as a text": ("schema", lambda n, e: as_texts(data(e), "cost_estimate")),
    "version as a text": ("schema", lambda n, e: as_texts(e, "schema_version")),
    "latency with a decimal point": (
        "schema",
        lambda n, e: data(e).update(response_time_ms=float(data(e)["response_time_ms"])),
    ),
    "time as a number": ("schema", lambda n, e: data(e).update(requested_at=1764599056)),
    "confidence is true, once": ("schema", lambda n, e: n == 5 and data(e).update(confidence=True)),
    "confidence +.6": ("confidence", lambda n, e: data(e).update(confidence=min(5.0, data(e)["confidence"] + 0.6))),
    "confidence constant": ("confidence_spread", lambda n, e: data(e).update(confidence=3.0)),
    "latency x1.5": ("latency_mean", lambda n, e: slower(e, 1.5)),
    "tokens constant": ("tokens_per_essay", lambda n, e: data(e)["token_usage"].update(prompt_tokens=1445)),
}  # fmt: skip

# Two honest recordings may differ in these; the report says so.
NOTED: dict[str, tuple[str, Callable[[int, dict], object]]] = {
    "prompt": ("no prompt is the same", lambda n, e: asked(e).update(prompt_sha256=f"{n:064x}")),
    "another batch": ("bos_batch_id", lambda n, e: asked(e).update(bos_batch_id="somebody-elses", cj_batch_id="9")),
    "request type": ("cj_request_type", lambda n, e: asked(e).update(cj_request_type="retry")),
    "waves": ("waves: recorded 0 to 10, live 1 to 11", lambda n, e: asked(e).update(comparison_iteration=1 + n // 6)),
    "queue mode": ("queue_processing_mode", lambda n, e: asked(e).update(queue_processing_mode="batch_api")),
}


RECORDED_B = [json.loads(line)["data"]["request_metadata"]["essay_b_id"] for line in RECORDING.read_text().splitlines()]


CORRELATIONS = [json.loads(line)["correlation_id"] for line in RECORDING.read_text().splitlines()]


def correlated(event: dict, id_: object) -> None:
    event["correlation_id"] = data(event)["correlation_id"] = str(id_)


def as_texts(holder: dict, *keys: str) -> None:
    holder.update({key: str(holder[key]) for key in keys or holder})


def moved(event: dict, year: int) -> None:
    for holder, key in ((event, "event_timestamp"), (data(event), "requested_at"), (data(event), "completed_at")):
        holder[key] = f"{year}{holder[key][4:]}"


def swapped(event: dict) -> None:
    a, b = asked(event)["essay_a_id"], asked(event)["essay_b_id"]
    asked(event).update(essay_a_id=b, essay_b_id=a)


def slower(event: dict, factor: float) -> None:
    data(event)["response_time_ms"] = round(data(event)["response_time_ms"] * factor)


@pytest.mark.parametrize("name", WRONG)
def test_a_copy_that_is_wrong_in_one_value_fails_the_check_of_that_value(name: str, tmp_path: Path) -> None:
    check, change = WRONG[name]
    found = compared(RECORDING, changed_copy(RECORDING, tmp_path / "wrong.jsonl", change))
    assert check in failed(found)
    assert found.verdict is Parity.NO_PARITY


@pytest.mark.parametrize("key", ["bos_batch_id", "cj_batch_id"])
def test_a_recorded_batch_has_one_id(key: str, tmp_path: Path) -> None:
    def of_another_batch(number: int, event: dict) -> None:
        if number % 2:
            asked(event)[key] = "9"

    found = compared(changed_copy(RECORDING, tmp_path / "mixed.jsonl", of_another_batch), RECORDING)
    (said,) = (one.outcome.sentence for one in found.results if one.check.name == "ids")
    assert f"one batch came back under 2 values of {key}" in said


def test_one_correlation_id_for_a_whole_batch_may_be_the_custom_of_both_sides(tmp_path: Path) -> None:
    sides = []
    for side in (1, 2):

        def in_common(number: int, event: dict, side: int = side) -> None:
            correlated(event, UUID(int=number // 6))
            data(event)["request_id"] = f"{side}-{number}"

        sides.append(changed_copy(RECORDING, tmp_path / f"{side}.jsonl", in_common))
    assert "ids" not in failed(compared(*sides))


def test_callbacks_under_one_request_id_are_one_callback_and_the_rest_is_said_to_be_missing(tmp_path: Path) -> None:
    same = changed_copy(RECORDING, tmp_path / "same.jsonl", lambda n, e: data(e).update(request_id="same"))
    found = compared(RECORDING, same)
    assert found.verdict is not Parity.PARITY
    assert "65 lines of the live side could not be used" in " ".join(reason.sentence for reason in found.reasons)


@pytest.mark.parametrize("name", NOTED)
def test_what_may_differ_between_recordings_is_said_and_fails_nothing(name: str, tmp_path: Path) -> None:
    words, change = NOTED[name]
    found = compared(RECORDING, changed_copy(RECORDING, tmp_path / "other.jsonl", change))
    assert failed(found) == set()
    assert any(words in note for note in found.notes)


def unknown_tokens(number: int, event: dict) -> None:
    if number == 5:
        asked(event).update(tokens_known=False, cost_known=False, forgiven=["usage_unknown"])
        asked(event).pop("usage", None)
        data(event).update(token_usage=dict.fromkeys(data(event)["token_usage"], 0), cost_estimate=0.0)


@pytest.mark.parametrize(
    "change",
    [
        lambda n, e: n % 3 == 0 and asked(e).update(forgiven=["text_around"], asks=2),
        lambda n, e: n == 5 and asked(e).update(confidence_known=False, forgiven=["confidence_outside"]),
        unknown_tokens,
    ],
)
def test_marks_on_single_answers_are_no_difference_of_shape_or_price(
    change: Callable[[int, dict], object], tmp_path: Path
) -> None:
    found = compared(RECORDING, changed_copy(RECORDING, tmp_path / "marked.jsonl", change))
    assert failed(found).isdisjoint({"schema", "cost"})


def retried(number: int, event: dict) -> None:
    if number % 3 == 0 and "comparison_iteration" in asked(event):
        asked(event)["retry_iteration"] = asked(event).pop("comparison_iteration")


def test_which_comparisons_are_asked_again_is_no_difference_of_shape(tmp_path: Path) -> None:
    lost = changed_copy(RECORDING, tmp_path / "lost.jsonl", lambda n, e: n % 3 or asked(e).pop("comparison_iteration"))
    assert "schema" in failed(compared(RECORDING, lost))
    assert "schema" not in failed(compared(RECORDING, changed_copy(RECORDING, tmp_path / "again.jsonl", retried)))


def test_a_key_that_nobody_knows_is_named_where_its_values_differ_and_they_are_not_shown(tmp_path: Path) -> None:
    sides = [
        changed_copy(
            RECORDING, tmp_path / f"{name}.jsonl", lambda n, e, name=name: asked(e).update(pupil=name, term="autumn")
        )
        for name in ("anna", "bo")
    ]
    assert compared(*sides).notes == ("other values in request_metadata: pupil",)


def failing(reason: str) -> Callable[[int, dict], object]:
    def change(number: int, event: dict) -> None:
        if number % 3:
            return
        ids = {"correlation_id": data(event)["correlation_id"], "timestamp": data(event)["completed_at"]}
        service = {"service": "llm_provider_service", "operation": "process_comparison"}
        error = {"error_code": "EXTERNAL_SERVICE_ERROR", "message": "No.", "details": {"reason": reason}}
        data(event).update(winner=None, justification=None, confidence=None, error_detail=ids | service | error)

    return change


@pytest.mark.parametrize(("reason", "differs"), [("overloaded", True), ("truncated", False)])
def test_errors_of_one_code_are_told_apart_by_their_reason(reason: str, differs: bool, tmp_path: Path) -> None:
    recording = changed_copy(RECORDING, tmp_path / "recorded.jsonl", failing("truncated"))
    found = compared(recording, changed_copy(RECORDING, tmp_path / "live.jsonl", failing(reason)))
    assert ("error_mix" in failed(found)) == differs


def test_a_copy_fails_nothing_notes_nothing_and_proves_nothing(tmp_path: Path) -> None:
    found = compared(RECORDING, changed_copy(RECORDING, tmp_path / "same.jsonl", lambda n, e: None))
    assert (failed(found), found.notes, found.verdict) == (set(), (), Parity.CANNOT_TELL)
    assert {reason.doubt for reason in found.reasons} >= {Doubt.SAME_FILE}


def test_a_file_in_which_everything_is_wrong_fails_nearly_everywhere() -> None:
    wrong = shared_file("faults", "values-nobody-compares", "lower5_everything_wrong.jsonl")
    found = compared(TRACES / LOWER5 / "llm_callbacks.jsonl", wrong)
    assert found.verdict is Parity.NO_PARITY
    assert failed(found) >= {"identity", "ids", "times", "cost", "justification"}


def lines(count: int) -> list[dict]:
    text = (TRACES / LOWER5 / "llm_callbacks.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in text[:count]]


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_callbacks_against_themselves_prove_nothing(count: int, tmp_path: Path) -> None:
    path = written(tmp_path / "few.jsonl", lines(count))
    found = compared(path, path)
    assert found.verdict is Parity.CANNOT_TELL
    settled = {r.check.name for r in found.results if r.evidence is not None and not r.inconclusive}
    assert settled == set()


def test_a_line_that_came_twice_is_said_and_is_no_parity_whichever_side_it_is_on(tmp_path: Path) -> None:
    twice = written(tmp_path / "twice.jsonl", [*lines(10), lines(1)[0]])
    once = written(tmp_path / "once.jsonl", lines(10))
    for one, other in ((once, twice), (twice, once)):
        assert compared(one, other).verdict is not Parity.PARITY


def test_with_every_check_off_nothing_was_compared() -> None:
    off = {name: "switched off by a test" for name, check in BY_NAME.items() if check.group != INPUT}
    named = scenario(LOWER5).model_copy(update={"checks_off": off})
    found = compare(
        named, recorded(LOWER5), live(LOWER5, "+inverted"), scenario_file="scenario.yaml", cached=session_cache()
    )
    assert found.verdict is Parity.CANNOT_TELL
    assert Doubt.NO_GATE in {reason.doubt for reason in found.reasons}


def test_a_run_against_itself_is_remarked_on() -> None:
    found = report(LOWER5, recorded(LOWER5))
    assert found.verdict is not Parity.PARITY
