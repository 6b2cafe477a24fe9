"""Latency, tokens and confidence of one answer come from one recorded answer, of a pair that is about as far apart."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from cj_pipeline.contracts.answer import ProviderAnswer
from cj_pipeline.mock.judge import MockJudge
from cj_pipeline.mock.mode.mode import Mode
from tests.services.lps.lab import mode, queued

# Longer answers take longer; the further apart, the surer.
ROWS = [[1000.0 + 10 * n, 40.0 + n, 1.0 + 4 * n / 59, n / 10] for n in range(60)]
ITEMS = {f"e{n}": n / 10 for n in range(60)} | {"zero": 0.0}

UNKNOWN: dict[str, object] = {"unknown_spread": {"mean": 0.0, "sd": 1.0}}


def sampling(**sections: object) -> Mode:
    said: dict[str, object] = {
        "winner": {"model": "ability", "abilities": ITEMS, **UNKNOWN},
        "latency": {"model": "sampled"},
        "tokens": {"prompt": {"model": "constant", "tokens": 100}, "completion": {"model": "sampled"}},
        "confidence": {"model": "sampled"},
        "samples": ROWS,
        "cache": {"enabled": False},
    }
    return mode(**(said | sections))


def given(of: Mode, essay: str, number: int) -> ProviderAnswer:
    request = queued(number, metadata={"essay_a_id": essay, "essay_b_id": "zero"})
    outcome = MockJudge(of, 42).attempt(request, 0).outcome
    assert isinstance(outcome, ProviderAnswer)
    return outcome


def test_an_answer_is_one_row() -> None:
    rows = {(row[0], row[1], round(row[2], 3)) for row in ROWS}
    for number in range(60):
        answer = given(sampling(), f"e{number}", number)
        assert (answer.response_time_ms, answer.token_usage.completion_tokens, answer.confidence) in rows


def test_confidence_follows_the_gap_and_latency_the_tokens() -> None:
    answers = [given(sampling(), f"e{number}", number) for number in range(60)]
    confidence = [answer.confidence for answer in answers]
    assert np.corrcoef(confidence, range(60))[0, 1] > 0.95
    latency = [answer.response_time_ms for answer in answers]
    tokens = [answer.token_usage.completion_tokens for answer in answers]
    assert np.corrcoef(latency, tokens)[0, 1] > 0.99


def test_every_row_is_drawn_about_as_often() -> None:
    drawn = [given(sampling(), f"e{essay}", 60 * batch + essay) for batch in range(30) for essay in range(60)]
    counts = np.unique([answer.response_time_ms for answer in drawn], return_counts=True)[1]
    # 30 each; a standard error of 5.5.
    assert len(counts) == 60
    assert counts.min() > 10
    assert counts.max() < 55


def test_a_mode_whose_winners_have_no_abilities_draws_any_row() -> None:
    coin = sampling(winner={"model": "coin", "share_a": 0.5})
    assert len({given(coin, "e1", number).response_time_ms for number in range(40)}) > 20


def test_an_overlay_on_latency_leaves_tokens_and_confidence() -> None:
    slow = sampling(latency={"model": "sampled", "scale": 2.0})
    for number in range(5):
        plain, slower = (given(of, "e7", number) for of in (sampling(), slow))
        assert slower.response_time_ms == 2 * plain.response_time_ms
        assert (slower.confidence, slower.token_usage) == (plain.confidence, plain.token_usage)


def test_nothing_to_sample_from_is_an_error() -> None:
    with pytest.raises(ValidationError, match="`samples` is empty"):
        sampling(samples=[])


def test_what_an_answer_costs_and_says() -> None:
    of = sampling(
        cost={"per_prompt_token": 1e-5, "per_completion_token": 1e-4},
        metadata={"usage": True},
        model="a-model",
        justification={"characters": 200},
    )
    answer = given(of, "e0", 1)
    completion = answer.token_usage.completion_tokens
    assert answer.cost_estimate == pytest.approx(100 * 1e-5 + completion * 1e-4)
    usage = {"prompt_tokens": 100, "completion_tokens": completion, "total_tokens": 100 + completion}
    assert dict(answer.metadata) == {"usage": usage}
    assert answer.model == "a-model"
    assert len(answer.justification) == 200


def test_an_unknown_price_is_said() -> None:
    answer = given(sampling(cost={"per_prompt_token": 1.0, "known": False}), "e0", 1)
    assert answer.cost_estimate == 0.0
    assert dict(answer.metadata) == {"cost_known": False}


def test_a_judge_may_always_say_the_same_or_nothing() -> None:
    same = sampling(justification={"texts": ["The same."]})
    assert {given(same, "e0", number).justification for number in range(10)} == {"The same."}
    assert given(sampling(justification={"characters": 0}), "e0", 1).justification == ""


def test_samples_of_one_gap_are_drawn_alike_whatever_their_order() -> None:
    # Two gaps with 200 samples each, in the order of their tokens: the middle eighth would be no fair draw.
    rows = [[1000.0, 100.0 + number, 3.0, gap] for gap in (0.0, 2.0) for number in range(200)]
    of = sampling(
        samples=rows, winner={"model": "ability", "abilities": {"low": 0.0, "zero": 0.0, "high": 2.0}, **UNKNOWN}
    )
    for essay in ("low", "high"):
        tokens = [given(of, essay, number).token_usage.completion_tokens for number in range(400)]
        assert np.mean(tokens) == pytest.approx(199.5, abs=4 * 58 / 400**0.5)
        assert min(tokens) < 115
        assert max(tokens) > 285
