"""What errors carry is compared: who failed, how long it took, what was billed, what it cost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from cj_pipeline.parity.compare import Verdict
from cj_pipeline.parity.verdict import Parity
from tests.parity.files import changed_copy, compared, failed
from tests.sides import ANCHORS, TRACES

RECORDING = TRACES / ANCHORS / "llm_callbacks.jsonl"
NONE = dict.fromkeys(("winner", "justification", "confidence"))
Data = dict[str, Any]
Change = Callable[[Data], object]


def failing(
    path: Path, seed: int, change: Change = lambda data: None, every: int = 6, first: int = 0, **took: object
) -> Path:
    """Write the recording with some calls failed from the first on, each with a time and tokens of its own."""
    rng = np.random.default_rng(seed)

    def failed(number: int, event: Data) -> None:
        data = event["data"]
        if number < first or number % every:
            return
        error = {
            "error_code": "TIMEOUT",
            "message": "refused",
            "correlation_id": data["correlation_id"],
            "timestamp": data["completed_at"],
            "service": "llm_provider_service",
            "operation": "process_comparison",
            "details": dict(took),
        }
        data.update(NONE, error_detail=error)
        data["response_time_ms"] = round(float(data["response_time_ms"] * rng.lognormal(0.0, 0.3)))
        change(data)

    return changed_copy(RECORDING, path, failed)


def found(recorded: Path, live: Path, **scenario: object) -> tuple[Verdict, str]:
    """Return what the check says."""
    (result,) = (one for one in compared(recorded, live, **scenario).results if one.check.name == "error_values")
    return result.verdict, result.sentence


WRONG: dict[str, tuple[str, Change]] = {
    "instant": ("TIMEOUT: time: ", lambda data: data.update(response_time_ms=0)),
    "cost x100": ("TIMEOUT: cost: ", lambda data: data.update(cost_estimate=100 * data["cost_estimate"])),
    "cost 0": ("TIMEOUT: cost: ", lambda data: data.update(cost_estimate=0.0)),
    "tokens x2": (
        "TIMEOUT: prompt tokens: ",
        lambda data: data["token_usage"].update(prompt_tokens=2 * data["token_usage"]["prompt_tokens"]),
    ),
    "another model": ("errors are of openai other", lambda data: data.update(model="other")),
    "another provider": ("errors are of google", lambda data: data.update(provider="google")),
    "another operation": ("operation of 11 of 11", lambda data: data["error_detail"].update(operation="other")),
    "retryable flipped": (
        "details.retryable of 11 of 11",
        lambda data: data["error_detail"]["details"].update(retryable=True),
    ),
    "another resolved model": (
        "resolved_model of 11 of 11",
        lambda data: data["request_metadata"].update(resolved_model="other"),
    ),
    "another resolved provider": (
        "resolved_provider of 11 of 11",
        lambda data: data["request_metadata"].update(resolved_provider="google"),
    ),
    "another service": ("reported by proxy", lambda data: data["error_detail"].update(service="proxy")),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_that_are_wrong_in_one_value_are_found(name: str, tmp_path: Path) -> None:
    words, change = WRONG[name]
    recorded = failing(tmp_path / "a.jsonl", 1, retryable=False)
    verdict, sentence = found(recorded, failing(tmp_path / "b.jsonl", 2, change, retryable=False))
    assert verdict is Verdict.FAIL
    assert words in sentence


# Of an error alone, whatever was recorded.
IMPOSSIBLE: dict[str, tuple[str, Change]] = {
    "total of the tokens": ("cost", lambda data: data["token_usage"].update(total_tokens=5)),
    "another correlation id": ("ids", lambda data: data["error_detail"].update(correlation_id=str(UUID(int=7)))),
    "of the year 1970": ("times", lambda data: data["error_detail"].update(timestamp="1970-01-01T00:00:00Z")),
    "of the year 1": ("times", lambda data: data["error_detail"].update(timestamp="0001-01-01T00:00:00Z")),
    "of the year 9999": ("times", lambda data: data["error_detail"].update(timestamp="9999-12-31T23:59:59Z")),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_a_single_error_with_an_impossible_value_is_found(name: str, tmp_path: Path) -> None:
    check, change = IMPOSSIBLE[name]
    live = failing(tmp_path / "b.jsonl", 2, change, every=66)
    assert check in failed(compared(failing(tmp_path / "a.jsonl", 1), live))


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_the_recording_does_as_well_is_a_custom(name: str, tmp_path: Path) -> None:
    check, change = IMPOSSIBLE[name]
    recorded = failing(tmp_path / "a.jsonl", 1, change, every=33)
    assert check not in failed(compared(recorded, failing(tmp_path / "b.jsonl", 2, change)))


def test_an_operation_that_is_another_each_time_is_no_difference(tmp_path: Path) -> None:
    sides = []
    for side in (1, 2):

        def numbered(number: int, event: Data, side: int = side) -> None:
            if event["data"]["error_detail"] is not None:
                event["data"]["error_detail"]["operation"] = f"call {side} {number}"

        whole = failing(tmp_path / f"{side}.jsonl", side)
        sides.append(changed_copy(whole, tmp_path / f"numbered {side}.jsonl", numbered))
    assert found(*sides)[0] is Verdict.PASS


@pytest.mark.parametrize("key", ["resolved_model", "resolved_provider"])
def test_a_judge_that_the_recording_does_not_state_is_not_compared(key: str, tmp_path: Path) -> None:
    whole = failing(tmp_path / "a.jsonl", 1)
    recorded = changed_copy(whole, tmp_path / "r.jsonl", lambda n, e: e["data"]["request_metadata"].pop(key))
    assert found(recorded, failing(tmp_path / "b.jsonl", 2))[0] is Verdict.PASS


@pytest.mark.parametrize("details", [{}, {"retryable": True}])
def test_what_one_error_in_many_or_one_side_alone_says_is_no_difference(details: Data, tmp_path: Path) -> None:
    def one_says(number: int, event: Data) -> None:
        if number == 6:
            event["data"]["error_detail"]["details"] = details

    recorded = failing(tmp_path / "a.jsonl", 1, retryable=False)
    live = changed_copy(failing(tmp_path / "b.jsonl", 2, retryable=False), tmp_path / "c.jsonl", one_says)
    assert found(recorded, live)[0] is Verdict.PASS
    assert found(failing(tmp_path / "d.jsonl", 1), live)[0] is Verdict.PASS


def test_errors_of_the_same_judge_pass(tmp_path: Path) -> None:
    verdict, sentence = found(failing(tmp_path / "a.jsonl", 1), failing(tmp_path / "b.jsonl", 2))
    assert (verdict, sentence) == (
        Verdict.PASS,
        "11 live errors have the judge, time, tokens and cost of recorded ones",
    )


def test_what_an_error_without_a_judge_says_is_no_stranger(tmp_path: Path) -> None:
    unknown = failing(tmp_path / "b.jsonl", 2, lambda data: data.update(model="unknown"))
    assert found(failing(tmp_path / "a.jsonl", 1), unknown)[0] is Verdict.PASS


def test_the_load_of_a_host_may_change_the_time_of_an_error(tmp_path: Path) -> None:
    def slow(data: Data) -> None:
        data["response_time_ms"] *= 3

    sides = failing(tmp_path / "a.jsonl", 1, every=2), failing(tmp_path / "b.jsonl", 2, slow, every=2)
    assert found(*sides)[0] is Verdict.FAIL
    assert found(*sides, latency="host")[0] is Verdict.PASS


def test_few_errors_say_nothing_of_numbers(tmp_path: Path) -> None:
    few = [failing(tmp_path / f"{seed}.jsonl", seed, every=12) for seed in (1, 2)]
    instant = failing(tmp_path / "instant.jsonl", 2, WRONG["instant"][1], every=40)
    assert found(few[0], few[1])[0] is Verdict.PASS
    assert found(few[0], instant)[0] is Verdict.PASS
    assert found(instant, few[0])[0] is Verdict.OFF


def test_a_burst_is_one_error(tmp_path: Path) -> None:
    def outage(path: Path, seed: int, time: int) -> Path:
        return failing(path, seed, lambda data: data.update(response_time_ms=time), every=1, first=1)

    # After one answer all calls failed at once, 100 times faster: one outage against another.
    one, other = outage(tmp_path / "a.jsonl", 1, 1000), outage(tmp_path / "b.jsonl", 2, 10)
    assert found(one, other)[0] is Verdict.PASS


def test_a_recording_that_does_not_say_how_long_errors_took_is_not_held_against_the_live_side(tmp_path: Path) -> None:
    silent = failing(tmp_path / "a.jsonl", 1, lambda data: data.update(response_time_ms=0))
    says = failing(tmp_path / "b.jsonl", 2, lambda data: data.update(response_time_ms=0), response_time_ms=2000)
    assert found(silent, says)[0] is Verdict.PASS
    assert found(silent, failing(tmp_path / "c.jsonl", 2))[0] is Verdict.FAIL  # the time of a callback is one both have
    assert found(says, silent)[0] is Verdict.FAIL


def test_a_recording_of_errors_alone_cannot_tell(tmp_path: Path) -> None:
    """An outage says nothing about the judge: no gate against it is on."""
    again = changed_copy(
        RECORDING, tmp_path / "again.jsonl", lambda number, event: event["data"].update(request_id=f"{number}")
    )
    report = compared(failing(tmp_path / "outage.jsonl", 1, every=1), again)
    assert report.verdict is Parity.CANNOT_TELL
    assert [one.sentence for one in report.reasons] == ["a recording holds no answer: every callback is an error"]
    assert {result.check.name for result in report.on} == {"recorded_lines", "live_lines"}
