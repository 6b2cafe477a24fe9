"""This module tests the purse and the meter of a recording."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cj_pipeline.runs.recording.spending import MeteredTransport, NotAfforded, Price, Purse, billed_tokens, price_of
from cj_pipeline.services.lps.providers.manifest import load_manifest

DOLLAR = Price(1.0, 1.0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 1) | st.none()), max_size=30), st.floats(0, 20))
def test_what_is_spent_never_passes_the_limit(calls: list[tuple[float, float | None]], limit: float) -> None:
    """calls: worst price, and the share of it that the call then costs; None where nobody knows."""
    written: list[float] = []
    purse = Purse(limit, on_change=written.append)
    for worst, share in calls:
        if purse.reserve(worst):
            assert purse.exposure <= limit
            purse.settle(worst, None if share is None else share * worst)
    assert purse.spent <= limit + 1e-9
    assert all(exposure <= limit for exposure in written)


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        (b'{"usage": {"prompt_tokens": 300, "completion_tokens": 40, "total_tokens": 340}}', (300, 40)),
        (b'{"usage": {"input_tokens": 10, "cache_creation_input_tokens": 90, "output_tokens": 7}}', (100, 7)),
        (b'{"usageMetadata": {"promptTokenCount": 50, "candidatesTokenCount": 5, "thoughtsTokenCount": 20}}', (50, 25)),
        (b'{"usage": {"prompt_tokens": 300}}', None),
        (b'{"usage": {"prompt_tokens": -1, "completion_tokens": true}}', None),
        (b'{"choices": []}', None),
        (b"<html>", None),
        (b"[1]", None),
    ],
)
def test_billed_tokens_are_read_of_every_api(body: bytes, tokens: tuple[int, int] | None) -> None:
    assert billed_tokens(body) == tokens


def test_a_price_is_that_of_the_dearest_kind_of_token() -> None:
    manifest = load_manifest()
    prices = {model.model_id: price_of(model) for model in manifest.models()}
    assert prices["gpt-5.1"] is None
    haiku = prices["claude-haiku-4-5-20251001"]
    model = next(one for one in manifest.models() if one.model_id == "claude-haiku-4-5-20251001")
    assert haiku is not None
    assert model.cost_per_1k_input_tokens is not None
    assert haiku.per_input_token * 1000 > model.cost_per_1k_input_tokens  # writing to the cache costs more


def call(purse: Purse, answer: httpx.Response | Exception, price: Price | None = DOLLAR) -> MeteredTransport:
    """Send ten bytes through a meter that expects at most five tokens of answer."""

    def respond(_: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def send() -> MeteredTransport:
        meter = MeteredTransport(purse, price, 5, httpx.AsyncClient(transport=httpx.MockTransport(respond)))
        try:
            async with httpx.AsyncClient(transport=meter) as client:
                await client.post("http://judge/", content=b"0123456789")
        except (NotAfforded, httpx.ReadTimeout, httpx.ConnectError):
            pass
        return meter

    return asyncio.run(send())


USAGE = {"usage": {"prompt_tokens": 3, "completion_tokens": 2}}


@pytest.mark.parametrize(
    ("answer", "spent"),
    [
        (httpx.Response(200, json=USAGE), 5.0),
        (httpx.Response(200, json={}), 15.0),  # may have been billed at its worst
        (httpx.Response(429, json=USAGE), 0.0),  # providers bill answers
        (httpx.ReadTimeout("late"), 15.0),
        (httpx.ConnectError("nobody"), 0.0),
    ],
)
def test_a_call_costs_what_is_known_of_it_and_else_its_worst(answer: httpx.Response | Exception, spent: float) -> None:
    purse = Purse(100.0)
    assert call(purse, answer).calls == 1
    assert (purse.spent, purse.reserved) == (spent, 0.0)


def test_a_call_that_could_pass_the_limit_is_not_sent() -> None:
    purse = Purse(14.9)
    assert call(purse, httpx.Response(200, json=USAGE)).calls == 0
    assert purse.refused
    assert purse.spent == 0.0


def test_without_a_price_calls_are_counted_only() -> None:
    purse = Purse(None)
    assert call(purse, httpx.Response(200, json=USAGE), price=None).calls == 1
    assert purse.spent == 0.0


def test_the_books_are_written_before_the_call_is_sent() -> None:
    written: list[float] = []
    call(Purse(100.0, on_change=written.append), httpx.ReadTimeout("late"))
    assert written == [15.0]


def test_what_is_set_aside_for_calls_under_way_counts_against_the_limit() -> None:
    purse = Purse(10.0)
    assert purse.reserve(6.0)
    assert not purse.affords(5.0)
    assert not purse.reserve(5.0)
    purse.settle(6.0, 1.0)
    assert purse.reserve(5.0)
