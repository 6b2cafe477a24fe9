"""What failed calls took is part of a fitted mode, where the recording says so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cj_pipeline.contracts.callback import LLMComparisonResultV1, Rejection, parse_result
from cj_pipeline.mock.mode.errors import Errors, MixedError
from cj_pipeline.mock.model.failed_calls import FailedCall, failed_calls, with_failed_calls
from tests.mock.recordings import failed, recorded

USAGE = {"prompt_tokens": 300, "completion_tokens": 100, "total_tokens": 400}


def callbacks(*lines: str) -> list[LLMComparisonResultV1]:
    found = [parse_result(line.encode()) for line in lines]
    return [one for one in found if not isinstance(one, Rejection)]


def cut(number: int, **details: Any) -> str:
    return failed(number, "a", "b", "EXTERNAL_SERVICE_ERROR", reason="truncated", **details)


def test_each_kind_has_its_medians() -> None:
    calls = failed_calls(
        callbacks(
            recorded(1),
            cut(2, response_time_ms=2000, token_usage=USAGE),
            cut(3, response_time_ms=2600, token_usage=USAGE | {"completion_tokens": 128}),
            cut(4, response_time_ms=9000),
            failed(5, "a", "b", "TIMEOUT", reason="timeout", response_time_ms=30_000),
            failed(6, "a", "b", "RATE_LIMIT"),
        )
    )
    assert calls == {
        ("EXTERNAL_SERVICE_ERROR", "truncated"): FailedCall(2600.0, 300, 114),
        ("TIMEOUT", "timeout"): FailedCall(30_000.0, None, None),
        ("RATE_LIMIT", None): FailedCall(None, None, None),
    }


@pytest.mark.parametrize("wrong", ["long", -1, 2.5, True, None])
def test_what_is_no_time_is_none(wrong: Any) -> None:
    (call,) = failed_calls(callbacks(cut(1, response_time_ms=wrong, token_usage=wrong))).values()
    assert call == FailedCall(None, None, None)


def test_a_callback_that_says_it_itself_counts_as_well() -> None:
    line = json.loads(failed(1, "a", "b", "TIMEOUT"))
    line["data"].update(response_time_ms=30_000, token_usage=USAGE)
    assert failed_calls(callbacks(json.dumps(line))) == {("TIMEOUT", None): FailedCall(30_000.0, 300, 100)}


def test_a_mode_fails_as_long_as_its_recording_did_and_for_as_many_tokens() -> None:
    mix = (
        MixedError(code="EXTERNAL_SERVICE_ERROR", reason="truncated", share=2.0),
        MixedError(code="TIMEOUT", share=1),
    )
    calls = failed_calls(callbacks(cut(1, response_time_ms=2500, token_usage=USAGE)))
    first, second = with_failed_calls(Errors(codes_mix=mix), calls).codes_mix
    assert (first.share, first.latency_ms, first.prompt_tokens, first.completion_tokens) == (2.0, 2500.0, 300, 100)
    assert second == mix[1]
