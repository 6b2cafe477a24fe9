"""An answer without a usable verdict is asked for once more, and all that it took is told: time, tokens, dollars."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cj_pipeline.contracts.callback import TokenUsage
from cj_pipeline.contracts.enums import Provider, Winner
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.lps.providers.settings import ProviderSettings
from tests.services.lps.providers.fake_api import VERDICT
from tests.services.lps.providers.stand import MARKER, REAL, Stand, stand

MINI = "gpt-4.1-mini-2025-04-14"  # takes a temperature; .0004 and .0016 dollars per 1,000 tokens


def completion(content: str | None, finish: str = "stop", usage: Any = (1000, 100)) -> dict[str, Any]:
    told = usage
    if isinstance(usage, tuple):
        told = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return {"choices": [{"message": {"content": content}, "finish_reason": finish}], "usage": told}


GOOD = json.dumps(VERDICT)
BAD: dict[str, dict[str, Any]] = {
    "truncated": completion('{"winner": "Essay A", "justif', "length"),
    "unreadable": completion("I prefer the first one."),
    "no_winner": completion('{"winner": "Essay C"}'),
    "tie": completion('{"winner": "tie"}'),
    "contradiction": completion('{"winner": "A", "winner": "B"}'),
    "refused": completion("I'm sorry, I can't."),
    "empty_answer": completion(""),
}


def after(*bodies: dict[str, Any], delay_s: float = 2.0, **settings: Any) -> Stand:
    at = stand(Provider.OPENAI, **settings)
    at.fake.delay_s = delay_s
    for body in bodies:
        at.fake.then(200, body)
    return at


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_verdict_is_asked_for_once_more_and_both_are_paid_for(reason: str) -> None:
    at = after(BAD[reason], completion(GOOD, usage=(1000, 50)))
    answer = run_virtual(at.ask(model_override=MINI))
    assert (answer.winner, answer.response_time_ms) == (Winner.B, 4000)
    assert answer.token_usage == TokenUsage(prompt_tokens=2000, completion_tokens=150, total_tokens=2150)
    assert answer.cost_estimate == pytest.approx(2000 * 0.4e-6 + 150 * 1.6e-6)
    assert answer.metadata["asks"] == 2
    assert answer.metadata["usage"]["completion_tokens"] == 150
    assert len(at.fake.received) == 2
    assert at.fake.received[0].body == at.fake.received[1].body
    assert at.count("verdict_retries_total", provider="openai", reason=reason) == 1


@pytest.mark.parametrize("reason", BAD)
def test_a_failure_says_what_all_asks_took(reason: str) -> None:
    at = after(BAD[reason], BAD[reason])
    failure = run_virtual(at.fails(model_override=MINI))
    details = failure.details
    assert (details["reason"], details["asks"], details["response_time_ms"]) == (reason, 2, 4000)
    assert details["model"] == MINI
    assert details["token_usage"] == {"prompt_tokens": 2000, "completion_tokens": 200, "total_tokens": 2200}
    assert details["cost_estimate"] == pytest.approx(2000 * 0.4e-6 + 200 * 1.6e-6)
    assert len(at.fake.received) == 2


@pytest.mark.parametrize(
    ("settings", "asked", "calls"),
    [
        ({}, {}, 2),
        ({"llm_bad_verdict_retries": 0}, {}, 1),
        ({"llm_bad_verdict_retries": 3}, {}, 4),
        ({}, {"temperature_override": 0.0}, 1),
        ({"llm_default_temperature": 0.0}, {}, 1),
        # A model that takes no temperature has its own, and it is not 0.
        ({"llm_default_temperature": 0.0}, {"model_override": "gpt-5.1"}, 2),
    ],
)
def test_how_often_is_a_setting_and_the_same_answer_is_not_asked_for_twice(
    settings: dict[str, Any], asked: dict[str, Any], calls: int
) -> None:
    at = after(*[BAD["tie"]] * 5, **settings)
    run_virtual(at.fails(**{"model_override": MINI, **asked}))
    assert len(at.fake.received) == calls


def test_an_empty_answer_is_asked_for_again_also_at_temperature_0() -> None:
    at = after(BAD["empty_answer"], completion(GOOD))
    assert run_virtual(at.ask(model_override=MINI, temperature_override=0.0)).winner is Winner.B


@pytest.mark.parametrize(
    "body",
    [
        completion("{", "content_filter"),
        {"choices": 3},
        {"error": {"code": "context_length_exceeded"}},
    ],
)
def test_what_would_come_again_is_not_asked_for(body: dict[str, Any]) -> None:
    at = after(body, completion(GOOD))
    run_virtual(at.fails(model_override=MINI))
    assert len(at.fake.received) == 1


def test_after_a_slow_answer_there_is_no_time_for_another() -> None:
    patient = {"llm_total_timeout_seconds": 200.0, "llm_read_timeout_seconds": 200.0}
    at = after(BAD["tie"], completion(GOOD), delay_s=101.0, **patient)
    assert run_virtual(at.fails(model_override=MINI)).details["response_time_ms"] == 101_000


def test_an_outage_at_the_second_ask_is_tried_again_and_keeps_what_the_first_one_cost() -> None:
    at = after(BAD["tie"])
    at.fake.then_error(503, "down")
    failure = run_virtual(at.fails(model_override=MINI))
    assert failure.worth_retrying
    assert failure.details["token_usage"]["total_tokens"] == 1100
    assert failure.details["asks"] == 2


def test_tokens_that_one_of_two_asks_does_not_tell_are_not_known() -> None:
    at = after(completion("no", usage=None), completion(GOOD))
    answer = run_virtual(at.ask(model_override=MINI))
    assert answer.token_usage.total_tokens == 1100
    assert (answer.metadata["tokens_known"], answer.metadata["cost_known"]) == (False, False)


@pytest.mark.parametrize("provider", REAL)
def test_a_call_that_fails_tells_its_time_and_nothing_that_nobody_knows(provider: Provider) -> None:
    at = stand(provider)
    at.fake.delay_s = 1.5
    at.fake.then_error(503, "down")
    details = run_virtual(at.fails()).details
    assert details["response_time_ms"] == 1500
    assert details.keys().isdisjoint({"token_usage", "cost_estimate", "cost_known", "asks"})


def test_a_request_that_was_never_sent_took_no_time() -> None:
    block = {"content": "x", "cacheable": True, "ttl": "next week"}
    details = run_virtual(stand(Provider.ANTHROPIC).fails(blocks=[block])).details
    assert "response_time_ms" not in details
    assert details["reason"] == "invalid_blocks"


def test_an_unknown_price_is_not_zero_dollars() -> None:
    at = after(BAD["tie"], BAD["tie"])
    details = run_virtual(at.fails(model_override="gpt-5.1")).details
    assert (details["cost_estimate"], details["cost_known"]) == (0.0, False)


def test_what_was_forgiven_is_in_the_metadata() -> None:
    at = after(completion('Sure: {"Winner": "B.", "confidence": "high"}'))
    answer = run_virtual(at.ask(model_override=MINI))
    assert answer.metadata["forgiven"] == [
        *("confidence_unreadable", "justification_missing", "key_spelling", "text_around", "winner_spelling"),
    ]
    assert answer.metadata["confidence_known"] is False
    assert answer.confidence == 3.0
    assert "asks" not in answer.metadata


def kept(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.iterdir())]


def test_replies_are_kept_where_somebody_asks_for_it(tmp_path: Path) -> None:
    folder = tmp_path / "replies"
    at = after(completion(f"I prefer {MARKER}."), completion(GOOD), keep_replies_dir=folder)
    run_virtual(at.ask(model_override=MINI))
    first, second = kept(folder)
    assert MARKER in first["reply"]
    assert (first["ask"], second["ask"], first["model"], first["http_status"]) == (1, 2, MINI, 200)
    assert json.loads(second["reply"]) == completion(GOOD)
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_nothing_is_kept_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_virtual(after(completion(GOOD)).ask(model_override=MINI))
    assert not list(tmp_path.iterdir())


def test_the_oldest_replies_go_first_those_of_earlier_processes_too(tmp_path: Path) -> None:
    limit = {"keep_replies_dir": tmp_path, "keep_replies_max_mb": 2_500 / 2**20}
    for number in range(6):
        run_virtual(after(completion(GOOD, usage=(number, 1)), **limit).ask(model_override=MINI))
    left = [json.loads(one["reply"])["usage"]["prompt_tokens"] for one in kept(tmp_path)]
    assert left == list(range(6))[-len(left) :]
    assert 1 < len(left) < 6
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 2_500


def test_a_folder_that_cannot_be_written_to_costs_no_verdict(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    at = after(completion(GOOD), keep_replies_dir=tmp_path / "file" / "replies")
    assert run_virtual(at.ask(model_override=MINI)).winner is Winner.B
    assert "could not be kept" in caplog.text


def test_replies_are_not_kept_among_traces(tmp_path: Path) -> None:
    (tmp_path / "pilot").mkdir()
    (tmp_path / "pilot" / "scenario.yaml").write_text("")
    for folder in (tmp_path / "traces" / "pilot", tmp_path / "pilot" / "replies"):
        with pytest.raises(ValidationError, match="folder of traces"):
            ProviderSettings(keep_replies_dir=folder)
