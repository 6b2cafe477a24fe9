"""This module tests what is said of a recorded judge."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from cj_pipeline.contracts.callback import LLMComparisonResultV1, TokenUsage
from cj_pipeline.contracts.enums import Provider, Winner
from cj_pipeline.contracts.errors import ErrorCode, ErrorDetail
from cj_pipeline.runs.recording.portrait import Share, portrait_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def callback(first: str, second: str, winner: Winner | None, **changes: object) -> LLMComparisonResultV1:
    error = ErrorDetail(
        error_code=ErrorCode.EXTERNAL_SERVICE_ERROR,
        message="cut",
        correlation_id=UUID(int=1),
        timestamp=NOON,
        service="llm_provider_service",
        operation="process_comparison",
        details={"reason": "truncated", "cost_estimate": 0.5},
    )
    answered = {"winner": winner, "justification": "x", "confidence": 3.0}
    made = LLMComparisonResultV1(
        request_id="r",
        correlation_id=UUID(int=1),
        provider=Provider.OPENAI,
        model="m",
        response_time_ms=1000 if winner else 0,
        token_usage=TokenUsage(prompt_tokens=100, completion_tokens=20, total_tokens=120),
        cost_estimate=0.25 if winner else 0.0,
        requested_at=NOON,
        completed_at=NOON,
        request_metadata={"essay_a_id": first, "essay_b_id": second},
        **(answered if winner else {"error_detail": error}),
    )
    return made.model_copy(update=changes)


ONE = [callback("a", "b", Winner.A), callback("c", "a", Winner.A), callback("b", "c", None)]
TWO = [callback("a", "b", Winner.B), callback("c", "a", Winner.A), callback("b", "c", Winner.A)]
GRADES = {"a": 0, "b": 1}


def test_tokens_that_nobody_counted_are_unknown_and_not_none() -> None:
    uncounted = {"essay_a_id": "a", "essay_b_id": "b", "tokens_known": False}
    nothing = {"token_usage": TokenUsage(), "request_metadata": uncounted}
    portrait = portrait_of([[*ONE, callback("a", "b", Winner.A, **nothing)]], {})
    assert portrait.tokens_unknown == 1
    assert portrait.prompt_tokens is not None
    assert portrait.prompt_tokens.mean == 100.0
    assert portrait_of([[callback("a", "b", Winner.A, **nothing)]], {}).prompt_tokens is None


def test_two_runs_add_up() -> None:
    portrait = portrait_of([ONE, TWO], GRADES)
    assert portrait.answered == Share(5, 6)
    assert portrait.errors == {"EXTERNAL_SERVICE_ERROR (truncated)": 1}
    assert portrait.first_shown == Share(4, 5)
    assert portrait.better_grade == Share(1, 2)  # only `a` and `b` have a grade
    assert portrait.same_answer == Share(1, 2)  # one of the three pairs has one answer only
    assert portrait.confidences == {"3": 5}
    assert portrait.latency_s is not None
    assert portrait.latency_s.mean == 1.0  # of answers: a failure takes no 0 s
    assert portrait.cost_usd == 1.75  # five answers, and a failure that was billed


def test_the_same_pair_in_the_other_order_is_another_question() -> None:
    assert portrait_of([[callback("a", "b", Winner.A)], [callback("b", "a", Winner.B)]], {}).same_answer == Share(0, 0)


def test_fractions_of_a_confidence_are_rounded_where_there_are_many() -> None:
    few = [callback("a", "b", Winner.A, confidence=value) for value in (1.0, 1.5, 4.0, 4.0)]
    assert portrait_of([few], {}).confidences == {"1": 1, "1.5": 1, "4": 2}
    many = [callback("a", "b", Winner.A, confidence=1 + number / 10) for number in range(11)]
    assert portrait_of([many], {}).confidences == {"1": 5, "2": 6}


def test_a_confidence_that_cannot_be_used_is_unknown() -> None:
    marks = {"essay_a_id": "a", "essay_b_id": "b", "confidence_known": False}
    assert portrait_of([[callback("a", "b", Winner.A, request_metadata=marks)]], {}).confidences == {"unknown": 1}


def test_an_unknown_price_is_not_zero() -> None:
    unknown = callback("a", "b", Winner.A, request_metadata={"essay_a_id": "a", "essay_b_id": "b", "cost_known": False})
    assert portrait_of([[unknown]], {}).cost_usd is None


def test_a_judge_that_only_fails_has_no_latency_and_no_tokens() -> None:
    portrait = portrait_of([[callback("a", "b", None)]], {})
    assert (portrait.latency_s, portrait.prompt_tokens, portrait.completion_tokens) == (None, None, None)
    assert str(portrait.first_shown) == "0 of 0"
