from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cj_pipeline.lps.bundling import bundle_limit, compatible, select_bundle
from cj_pipeline.lps.queued_request import QueuedRequest
from tests.lps.lab import queued


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
    assert compatible(queued(1, **ours), queued(2, **theirs)) is together
    assert compatible(queued(2, **theirs), queued(1, **ours)) is together


def test_the_first_incompatible_request_ends_the_bundle_and_is_handed_back():
    requests = [queued(number, model_override=model) for number, model in enumerate("aabaa")]
    rest = iter(requests[1:])
    bundle = select_bundle(requests[0], rest, cap=64)
    assert bundle.members == tuple(requests[:2])
    assert bundle.set_aside is requests[2]
    assert list(rest) == requests[3:]  # the ones behind it were not touched


def test_a_full_bundle_takes_nothing_further():
    requests = [queued(number) for number in range(5)]
    rest = iter(requests[1:])
    bundle = select_bundle(requests[0], rest, cap=3)
    assert bundle.members == tuple(requests[:3])
    assert bundle.set_aside is None
    assert list(rest) == requests[3:]


def bundles_of(requests: list[QueuedRequest], cap: int) -> list[tuple[QueuedRequest, ...]]:
    """All bundles of a queue in which nothing arrives any more."""
    waiting: Iterator[QueuedRequest] = iter(requests)
    lead = next(waiting, None)
    bundles = []
    while lead is not None:
        bundle = select_bundle(lead, waiting, cap)
        bundles.append(bundle.members)
        lead = bundle.set_aside or next(waiting, None)
    return bundles


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
    bundles = bundles_of(requests, cap)
    assert [request for bundle in bundles for request in bundle] == requests
    for bundle in bundles:
        assert 1 <= len(bundle) <= bundle_limit(bundle[0], cap) <= cap
        assert all(compatible(bundle[0], member) for member in bundle)
    for bundle, following in pairwise(bundles):
        # No bundle ends early: it is full, or the next one could not have joined it.
        assert len(bundle) == bundle_limit(bundle[0], cap) or not compatible(bundle[0], following[0])
