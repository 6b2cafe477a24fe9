"""For every check, a live side (or a recording) that is wrong in just that respect, and the check that turns red."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256

import pytest

from cj_pipeline.contracts.callback import CallbackEvent, LLMComparisonResultV1
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.contracts.errors import ErrorDetail
from cj_pipeline.parity.compare import ALL_CHECKS, Verdict
from cj_pipeline.parity.gates import GATES
from cj_pipeline.parity.verdict import Parity
from cj_pipeline.runs.record import RunRecord, Side
from cj_pipeline.runs.scenario_run import JudgeIdentity, replay
from tests.parity.test_guardrails_batch_api import WRONG_IN_BATCH_API
from tests.sides import ANCHORS, GENERIC, LOWER5, live, recorded, report, result, scenario

Change = Callable[[LLMComparisonResultV1], LLMComparisonResultV1]


def changed(record: RunRecord, change: Change, *, every: int = 1) -> RunRecord:
    """The run that would have been if every n-th callback, repeats included, had been another."""

    def doctored(events: tuple[CallbackEvent, ...]) -> tuple[CallbackEvent, ...]:
        return tuple(
            event.model_copy(update={"data": change(event.data)}) if number % every == 0 else event
            for number, event in enumerate(events)
        )

    return replay(
        scenario(record.document.scenario_id),
        doctored(record.events),
        side=Side.LIVE,
        judge=JudgeIdentity("doctored", "0" * 64),
        repeats=tuple(doctored(batch) for batch in record.repeats),
        service_metrics=record.document.service_metrics,
    )


def setting(**fields: object) -> Change:
    return lambda data: data.model_copy(update=fields)


def flipped(data: LLMComparisonResultV1) -> LLMComparisonResultV1:
    return data.model_copy(update={"winner": Winner.B if data.winner is Winner.A else Winner.A})


def failed_with(code: str) -> Change:
    def change(data: LLMComparisonResultV1) -> LLMComparisonResultV1:
        detail = ErrorDetail(
            error_code=code,
            message="refused",
            correlation_id=data.correlation_id,
            timestamp=data.completed_at,
            service="llm_provider_service",
            operation="compare",
        )
        return data.model_copy(
            update={"winner": None, "justification": None, "confidence": None, "error_detail": detail}
        )

    return change


def with_metadata(**fields: object) -> Change:
    return lambda data: data.model_copy(update={"request_metadata": {**data.request_metadata, **fields}})


def with_tokens(**fields: int) -> Change:
    return lambda data: data.model_copy(update={"token_usage": data.token_usage.model_copy(update=fields)})


def slower(factor: float) -> Change:
    return lambda data: data.model_copy(update={"response_time_ms": round(data.response_time_ms * factor)})


def without_last_callback(record: RunRecord) -> RunRecord:
    return replay(
        scenario(record.document.scenario_id),
        record.events[:-1],
        side=Side.LIVE,
        judge=JudgeIdentity("one short", "0" * 64),
        repeats=record.repeats,
        service_metrics=record.document.service_metrics,
    )


def with_document(record: RunRecord, **fields: object) -> RunRecord:
    return record.model_copy(update={"document": record.document.model_copy(update=fields)})


def with_samples(record: RunRecord, name: str, value: float, **labels: str) -> RunRecord:
    """Every sample of a series that has these labels set to a value."""
    samples = tuple(
        sample.model_copy(update={"value": value})
        if sample.name == f"llm_provider_{name}" and labels.items() <= sample.labels.items()
        else sample
        for sample in record.document.service_metrics
    )
    assert samples != record.document.service_metrics, "no such sample"
    return with_document(record, service_metrics=samples)


def with_fit(record: RunRecord, **fields: object) -> RunRecord:
    return with_document(record, fit=record.document.fit.model_copy(update=fields))


def batches(record: RunRecord, change: Callable[[tuple[CallbackEvent, ...]], tuple[CallbackEvent, ...]]) -> RunRecord:
    """The run with its first repeat changed."""
    return record.model_copy(update={"repeats": (change(record.repeats[0]), *record.repeats[1:])})


def first_flipped(events: tuple[CallbackEvent, ...]) -> tuple[CallbackEvent, ...]:
    return (events[0].model_copy(update={"data": flipped(events[0].data)}), *events[1:])


def all_but_last_twice(events: tuple[CallbackEvent, ...]) -> tuple[CallbackEvent, ...]:
    return (*events[:-1], events[0])


def as_live(record: RunRecord) -> RunRecord:
    """A recording as the other side: equal in every answer."""
    return changed(record, lambda data: data)


# Callbacks that are wrong in one value are in test_values.py, statistical gates in test_every_gate_can_fail.py.
WRONG: dict[str, tuple[str, Callable[[], RunRecord], Callable[[], RunRecord]]] = {
    "identity": (LOWER5, lambda: as_live(recorded(LOWER5)), lambda: changed(recorded(LOWER5), setting(model="other"))),
    "ids": (LOWER5, lambda: as_live(recorded(LOWER5)), lambda: changed(
        recorded(LOWER5), with_metadata(prompt_sha256="ABC"), every=10
    )),
    "times": (LOWER5, lambda: as_live(recorded(LOWER5)), lambda: changed(
        recorded(LOWER5), lambda data: data.model_copy(update={"completed_at": data.requested_at - timedelta(hours=1)})
    )),
    "cost": (LOWER5, lambda: as_live(recorded(LOWER5)), lambda: changed(
        recorded(LOWER5), setting(cost_estimate=9.0), every=10
    )),
    "justification": (LOWER5, lambda: as_live(recorded(LOWER5)), lambda: changed(
        recorded(LOWER5), setting(justification="")
    )),
    "labels": (LOWER5, lambda: live(LOWER5), lambda: with_batch_ids(changed(
        live(LOWER5), with_metadata(queue_processing_mode="batch_api")
    ))),
    "counts": (LOWER5, lambda: live(LOWER5), lambda: with_batch_ids(without_last_callback(live(LOWER5)))),
    "coverage": (LOWER5, lambda: live(LOWER5), lambda: with_batch_ids(without_last_callback(live(LOWER5)))),
    "schema": (LOWER5, lambda: as_live(recorded(LOWER5)), lambda: changed(
        recorded(LOWER5), with_metadata(usage={"prompt_tokens": 1})
    )),
    "decisions": (LOWER5, lambda: as_live(recorded(LOWER5)), lambda: with_document(
        as_live(recorded(LOWER5)), upload_status="FAILED"
    )),
    "bt_flags": (ANCHORS, lambda: as_live(recorded(ANCHORS)), lambda: with_fit(
        as_live(recorded(ANCHORS)),
        quality_flags={**recorded(ANCHORS).document.fit.quality_flags, "has_isolated_items": True},
    )),
    "small_net": (LOWER5, lambda: as_live(recorded(LOWER5)), lambda: with_document(
        as_live(recorded(LOWER5)), resampling_pass_count=3
    )),
    "repeat_counts": (GENERIC, lambda: live(GENERIC), lambda: batches(live(GENERIC), lambda events: events[:-1])),
    "repeat_share": (GENERIC, lambda: live(GENERIC), lambda: batches(live(GENERIC), first_flipped)),
    "repeat_pairs": (LOWER5, lambda: live(LOWER5), lambda: batches(live(LOWER5), all_but_last_twice)),
    "repeat_winners": (LOWER5, lambda: live(LOWER5), lambda: batches(live(LOWER5), first_flipped)),
    "repeat_tokens": (GENERIC, lambda: live(GENERIC), lambda: batches(
        live(GENERIC),
        lambda events: (
            events[0].model_copy(update={"data": with_tokens(prompt_tokens=6)(events[0].data)}), *events[1:]
        ),
    )),
    "guardrail_bundle_calls": (LOWER5, lambda: live(LOWER5), lambda:
        with_samples(live(LOWER5), "serial_bundle_calls_total", 0)
    ),
    "guardrail_bundle_items": (LOWER5, lambda: live(LOWER5), lambda:
        with_samples(live(LOWER5), "serial_bundle_items_per_call_count", 1)
    ),
    "guardrail_queue_wait": (LOWER5, lambda: live(LOWER5), lambda:
        with_samples(live(LOWER5), "queue_wait_time_seconds_sum", 1e6)
    ),
    "guardrail_results": (LOWER5, lambda: live(LOWER5), lambda:
        with_samples(live(LOWER5), "queue_wait_time_seconds_count", 0)
    ),
    "guardrail_callbacks": (LOWER5, lambda: live(LOWER5), lambda:
        with_samples(live(LOWER5), "comparison_callbacks_total", 109)
    ),
    "guardrail_queue_depth": (LOWER5, lambda: live(LOWER5), lambda:
        with_samples(live(LOWER5), "queue_depth", 1001, queue_type="total")
    ),
}  # fmt: skip


GATE_NAMES = {gate.name for gate in GATES}


def with_batch_ids(record: RunRecord) -> RunRecord:
    """The run as one that was asked under the ids of LOWER5's live side."""
    return with_document(record, asked_batch_ids=live(LOWER5).document.asked_batch_ids)


@pytest.mark.parametrize("check", WRONG)
def test_a_side_that_is_wrong_in_this_respect_turns_the_check_red(check: str) -> None:
    scenario_id, right, wrong = WRONG[check]
    assert result(scenario_id, check, right()).verdict is Verdict.PASS
    assert result(scenario_id, check, wrong()).verdict is Verdict.FAIL


def test_lines_in_quarantine_on_either_side_leave_the_comparison_partial() -> None:
    unusable = with_document(recorded(LOWER5), quarantined_lines=1)
    assert result(LOWER5, "recorded_lines", live(LOWER5), unusable).verdict is Verdict.PARTIAL
    assert result(LOWER5, "live_lines", unusable).verdict is Verdict.PARTIAL
    assert report(LOWER5, unusable).verdict is not Parity.PARITY


def renamed_sides(data: LLMComparisonResultV1) -> LLMComparisonResultV1:
    first, second = data.essay_ids()
    return with_metadata(essay_a_id=second, essay_b_id=first)(data)


def other_prompt(data: LLMComparisonResultV1) -> LLMComparisonResultV1:
    told = sha256(str(data.request_metadata["prompt_sha256"]).encode()).hexdigest()
    return with_metadata(prompt_sha256=told)(data)


def dated(year: int) -> Change:
    return lambda data: data.model_copy(
        update={name: getattr(data, name).replace(year=year) for name in ("requested_at", "completed_at")}
    )


@pytest.mark.parametrize(("check", "change"), [("coverage", renamed_sides), ("times", dated(1970))])
def test_a_side_that_we_asked_is_held_to_what_we_asked(check: str, change: Change) -> None:
    wrong = with_batch_ids(changed(live(LOWER5), change))
    assert result(LOWER5, check, live(LOWER5)).verdict is Verdict.PASS
    assert result(LOWER5, check, wrong).verdict is Verdict.FAIL


def test_a_comparison_without_a_prompt_in_common_proves_nothing_about_judgements() -> None:
    # As a recording: nobody knows what it was asked, so no check of that fails.
    found = report(LOWER5, changed(changed(as_live(recorded(LOWER5)), renamed_sides), other_prompt))
    assert found.verdict is Parity.CANNOT_TELL
    assert "fair coin" in " ".join(reason.sentence for reason in found.reasons)


def test_no_check_is_left_out() -> None:
    exact = {check.name for check in ALL_CHECKS} - GATE_NAMES
    elsewhere = {"recorded_lines", "live_lines", "error_values"}  # the last one in test_error_values.py
    assert {*WRONG, *elsewhere, *WRONG_IN_BATCH_API} == exact


def test_two_sides_without_a_common_outcome_have_no_common_shape() -> None:
    silent = changed(live(LOWER5), failed_with("TIMEOUT"))
    found = result(LOWER5, "schema", silent)
    assert (found.verdict, found.sentence) == (Verdict.FAIL, "no outcome occurs on both sides")


def test_a_side_without_a_single_answer_is_no_parity_and_no_crash() -> None:
    silent = changed(live(LOWER5), failed_with("TIMEOUT"))
    found = report(LOWER5, silent)
    assert found.verdict is Parity.NO_PARITY
    assert "error_rate" in {result.check.name for result in found.failed}


def test_a_bundle_bound_is_read_as_a_float() -> None:
    # Clients print le="1.0"; 11 calls of at most one item would otherwise look like bundles of the cap.
    one_each = with_samples(live(LOWER5), "serial_bundle_items_per_call_bucket", 15, le="1.0")
    outcome = result(LOWER5, "guardrail_bundle_items", one_each).outcome
    assert outcome is not None
    assert outcome.value == 1.0


def test_requests_that_belong_together_are_answered_together() -> None:
    hinted = changed(
        live(LOWER5),
        lambda d: d.model_copy(update={"request_metadata": d.request_metadata | {"preferred_bundle_size": 2}}),
    )
    # 110 requests in pairs are 55 calls; half as many again and one are 83.5.
    for calls, passes in ((55, True), (83, True), (84, False)):
        counted = with_samples(hinted, "serial_bundle_calls_total", calls)
        outcome = result(LOWER5, "guardrail_bundle_calls", counted).outcome
        assert outcome is not None
        assert outcome.passed is passes


def test_a_later_callback_is_not_a_slower_one() -> None:
    later = changed(live(LOWER5), lambda d: d.model_copy(update={"completed_at": d.completed_at + timedelta(hours=1)}))
    assert result(LOWER5, "latency_mean", later).verdict is Verdict.PASS
