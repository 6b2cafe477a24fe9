"""Which waiting requests are answered together: the rule as pure functions, and as the queue follows it."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cj_pipeline.contracts.answer import ProviderError
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.lps.queue.bundling import bundle_key, bundle_limit
from cj_pipeline.services.lps.queue.memory import MemoryQueue
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest
from cj_pipeline.services.lps.settings import LpsSettings
from tests.services.lps.lab import correlation_id, in_lab, mode, queued
from tests.services.lps.moody import SLOW, Moody, first_attempts_of, late, served_by


@pytest.mark.parametrize(
    ("hint", "cap", "limit"),
    [
        (None, 64, 64),
        (1, 64, 1),
        (10, 64, 10),
        (64, 64, 64),
        (64, 8, 8),
        (None, 8, 8),
        # Bad hints count as none.
        (0, 64, 64),
        (-3, 64, 64),
        (65, 64, 64),
        ("10", 64, 64),
        (10.0, 64, 64),
        (True, 64, 64),
        ([10], 64, 64),
    ],
)
def test_the_leads_hint_limits_its_bundle(hint, cap, limit):
    assert bundle_limit(queued(metadata={"preferred_bundle_size": hint}), cap) == limit


SERIAL = {"cj_llm_batching_mode": "serial_bundle"}


@pytest.mark.parametrize(
    ("ours", "theirs", "together"),
    [
        ({}, {}, True),
        ({"model_override": "gpt-5.1"}, {"model_override": "gpt-5.1"}, True),
        ({"model_override": "gpt-5.1"}, {"model_override": "gpt-4o"}, False),
        ({"model_override": "gpt-5.1"}, {}, False),
        ({"provider_override": "openai"}, {"provider_override": "anthropic"}, False),
        ({"temperature_override": 0.0}, {"temperature_override": 0.7}, False),
        ({"temperature_override": 0.0}, {}, False),
        ({"system_prompt_override": "Judge."}, {"system_prompt_override": "Judge well."}, False),
        ({"max_tokens_override": 100}, {"max_tokens_override": 200}, False),
        ({"reasoning_effort": "low"}, {"reasoning_effort": "high"}, False),
        ({"output_verbosity": "low"}, {}, False),
        ({"metadata": SERIAL}, {"metadata": SERIAL}, True),
        ({"metadata": SERIAL}, {"metadata": {"cj_llm_batching_mode": "per_request"}}, False),
        ({"metadata": SERIAL}, {"metadata": {}}, False),
        # Essays, batches and followers' hints are nobody's business.
        ({"metadata": {"bos_batch_id": "x"}}, {"metadata": {"bos_batch_id": "y", "preferred_bundle_size": 1}}, True),
    ],
)
def test_who_may_share_a_bundle(ours, theirs, together):
    assert (bundle_key(queued(1, **ours)) == bundle_key(queued(2, **theirs))) is together


async def claimed(requests: list[QueuedRequest], cap: int) -> list[tuple[QueuedRequest, ...]]:
    """All bundles of a queue in which nothing arrives any more."""
    queue = MemoryQueue(LpsSettings().queue_limits())
    await queue.open()
    for request in requests:
        await queue.put(request, b"")
    bundles = []
    while (await queue.depth()).queued:
        bundles.append(await queue.claim(cap))
    await queue.close()
    return bundles


def bundles_of(requests: list[QueuedRequest], cap: int) -> list[list[int]]:
    """The same, as positions."""
    position = {request.queue_id: number for number, request in enumerate(requests)}
    return [[position[request.queue_id] for request in bundle] for bundle in run_virtual(claimed(requests, cap))]


def test_the_first_incompatible_request_ends_the_bundle_and_leads_the_next():
    requests = [queued(number, model_override=model) for number, model in enumerate("aabaa")]
    assert bundles_of(requests, 64) == [[0, 1], [2], [3, 4]]


def test_a_full_bundle_takes_nothing_further():
    assert bundles_of([queued(number) for number in range(5)], 3) == [[0, 1, 2], [3, 4]]


def test_the_leads_hint_counts_and_its_followers_do_not():
    hints = [2, 64, 3, 1, 1, 64]
    requests = [queued(number, metadata={"preferred_bundle_size": hint}) for number, hint in enumerate(hints)]
    assert bundles_of(requests, 64) == [[0, 1], [2, 3, 4], [5]]
    assert bundles_of(requests, 2) == [[0, 1], [2, 3], [4], [5]]


def test_production_s_cap_of_64_is_reached_and_not_passed():
    # On Redis, production's bundles ended at 10.
    assert [len(bundle) for bundle in bundles_of([queued(number) for number in range(130)], 64)] == [64, 64, 2]


WAITING = st.lists(
    st.tuples(
        st.sampled_from([None, "gpt-5.1", "gpt-4o"]),
        st.sampled_from([None, "serial_bundle", "per_request"]),
        st.one_of(st.none(), st.integers(-1, 70), st.booleans(), st.just("4")),
    ),
    max_size=40,
)


@given(WAITING, st.integers(1, 64))
def test_every_request_is_bundled_once_in_order_with_its_like_and_within_its_leads_limit(waiting, cap):
    requests = []
    for number, (model, batching, hint) in enumerate(waiting):
        metadata: dict[str, Any] = {"preferred_bundle_size": hint}
        if batching is not None:
            metadata["cj_llm_batching_mode"] = batching
        requests.append(queued(number, metadata=metadata, model_override=model))
    bundles = run_virtual(claimed(requests, cap))
    assert [request for bundle in bundles for request in bundle] == requests
    for bundle in bundles:
        assert 1 <= len(bundle) <= bundle_limit(bundle[0], cap) <= cap
        assert len({bundle_key(member) for member in bundle}) == 1
    for bundle, following in pairwise(bundles):
        # No bundle ends early: it is full, or the next one could not have joined it.
        assert len(bundle) == bundle_limit(bundle[0], cap) or bundle_key(bundle[0]) != bundle_key(following[0])


def seconds(result):
    return (result.completed_at - result.requested_at).total_seconds()


@pytest.mark.parametrize("processing", ["serial_bundle", "batch_api"])
def test_one_failing_item_fails_nobody_else_and_costs_nobody_their_answer(processing):
    broken = ProviderError(ErrorCode.PARSING_ERROR, "No winner.")

    async def script(lab):
        moody = served_by(lab, Moody(first_attempts_of(1, broken)))
        for number in range(4):
            await lab.post(number)
        told = [await lab.next_result() for _ in range(4)]
        assert [result.succeeded for result in told] == [True, False, True, True]
        assert [seconds(result) for result in told] == [4.0] * 4
        assert len(moody.asked) == 4
        assert await lab.no_more_callbacks()

    in_lab(script, queue_processing_mode=processing)


@pytest.mark.parametrize("processing", ["serial_bundle", "batch_api"])
def test_one_item_is_tried_again_alone_and_the_others_do_not_wait_for_it(processing):
    async def script(lab):
        moody = served_by(lab, Moody(first_attempts_of(1, late(60.0))))
        for number in range(3):
            await lab.post(number)
        told = [await lab.next_result() for _ in range(3)]
        assert moody.asked == [(correlation_id(number), 0) for number in range(3)] + [(correlation_id(1), 1)]
        return [(result.correlation_id, seconds(result)) for result in told]

    # Callbacks leave when the bundle is through, after 3 s; the retry begins 60 s later.
    told = in_lab(script, queue_processing_mode=processing)
    assert told == [(correlation_id(number), at) for number, at in ((0, 3.0), (2, 3.0), (1, 64.0))]


@pytest.mark.parametrize("processing", ["serial_bundle", "batch_api"])
def test_an_expired_request_is_left_out_of_the_bundle_and_told_so_at_once(processing):
    async def script(lab):
        moody = served_by(lab, Moody(of=mode(latency={"model": "constant", "ms": 10_000})))
        await lab.post(0)
        await asyncio.sleep(0.5)  # the worker has begun: what follows waits for 9.5 s
        await lab.post(1)
        await asyncio.sleep(7.5)
        await lab.post(2)
        told = [await lab.next_result() for _ in range(3)]
        assert moody.asked == [(correlation_id(number), 0) for number in (0, 2)]
        assert told[0].error_detail.details == {
            "reason": "expired",
            "provider": "mock",
            "expiry_reason": "ttl",
            "age_seconds": 3.6,
        }
        return [(result.correlation_id, seconds(result)) for result in told]

    # 0.001 h = 3.6 s to wait at most; the last one waits 2 s for its turn.
    told = in_lab(script, queue_processing_mode=processing, queue_request_ttl_hours=0.001)
    assert told == [(correlation_id(number), at) for number, at in ((1, 3.6), (0, 10.0), (2, 12.0))]


def test_the_leads_hint_decides_when_callbacks_leave():
    async def script(lab):
        for number in range(4):
            await lab.post(number, metadata={"preferred_bundle_size": 2})
        return [seconds(await lab.next_result()) for _ in range(4)]

    assert in_lab(script, mode(**SLOW), queue_processing_mode="serial_bundle") == [2.0, 2.0, 4.0, 4.0]


def bundles_of_a_wave(
    count: int, hint: int | None, *, apart_s: float = 0.01, **settings: Any
) -> tuple[list[int], float]:
    """Sizes of the bundles of requests that are posted one after another, and when the last was answered."""

    async def script(lab):
        began_at = asyncio.get_running_loop().time()
        for number in range(count):
            await lab.post(number, metadata={"essay_a_id": "a", "essay_b_id": "b", "preferred_bundle_size": hint})
            await asyncio.sleep(apart_s)
        for _ in range(count):
            await lab.next_result()
        registry = lab.service.metrics.registry
        labels = {"provider": "mock", "model": "unknown"}
        upto = [
            registry.get_sample_value("llm_provider_serial_bundle_items_per_call_bucket", {**labels, "le": bound})
            for bound in ("1.0", "2.0", "4.0", "+Inf")
        ]
        sizes = [round(above - below) for below, above in pairwise([0.0, *upto])]
        return sizes, asyncio.get_running_loop().time() - began_at

    instant = mode(latency={"model": "constant", "ms": 0})
    return in_lab(script, instant, queue_processing_mode="serial_bundle", **settings)


def test_a_bundle_waits_for_the_rest_of_its_wave():
    # 1, 2, 3 or 4, and more in a bundle.
    assert bundles_of_a_wave(10, 2)[0] == [0, 5, 0, 0]
    assert bundles_of_a_wave(10, 10)[0] == [0, 0, 0, 1]
    assert bundles_of_a_wave(10, 2, serial_bundle_linger_ms=0)[0] == [10, 0, 0, 0]
    # As long as the next one comes in time, however long the whole wave takes.
    assert bundles_of_a_wave(10, 10, apart_s=0.24)[0] == [0, 0, 0, 1]
    assert bundles_of_a_wave(10, 10, apart_s=0.26)[0] == [10, 0, 0, 0]


def test_a_full_bundle_leaves_at_once_and_a_lonely_one_after_the_wait():
    assert bundles_of_a_wave(2, 2)[1] == pytest.approx(0.02)
    assert bundles_of_a_wave(1, 2)[1] == pytest.approx(0.25)
    assert bundles_of_a_wave(4, 2, serial_bundle_max_requests_per_call=1)[0] == [4, 0, 0, 0]


@pytest.mark.parametrize("hint", [None, 0, "2"])
def test_without_a_hint_nothing_waits(hint):
    assert bundles_of_a_wave(4, hint)[0] == [4, 0, 0, 0]
    assert bundles_of_a_wave(1, hint)[1] == pytest.approx(0.01)
