"""Which waiting requests are answered together.

Here: the compatibility rule and the size of a bundle, as pure functions. Not here: taking requests from the queue,
answering them (worker.py).

A bundle is its lead and the compatible requests right behind it. The first incompatible one ends the bundle and leads
the next: order is never changed for a fuller bundle.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cj_pipeline.lps.queued_request import QueuedRequest
from cj_pipeline.lps.settings import MAX_BUNDLE


@dataclass(frozen=True, slots=True)
class Bundle:
    """members: in order, the lead first; set_aside: a request that was taken and must lead the next bundle."""

    members: tuple[QueuedRequest, ...]
    set_aside: QueuedRequest | None


def select_bundle(lead: QueuedRequest, followers: Iterator[QueuedRequest], cap: int) -> Bundle:
    """The lead's bundle. followers: taken from only as far as the bundle needs, at most one request further."""
    limit = bundle_limit(lead, cap)
    members = [lead]
    while len(members) < limit:
        follower = next(followers, None)
        if follower is None:
            break
        if not compatible(lead, follower):
            return Bundle(tuple(members), set_aside=follower)
        members.append(follower)
    return Bundle(tuple(members), set_aside=None)


def bundle_limit(lead: QueuedRequest, cap: int) -> int:
    """How many requests the lead's bundle may have: its hint if that is an int of 1 to 64, never more than the cap."""
    hint = lead.request.metadata.get("preferred_bundle_size")
    # `type is`: JSON's true is a bool, which Python counts as the int 1.
    if type(hint) is int and 1 <= hint <= MAX_BUNDLE:
        return min(hint, cap)
    return cap


def compatible(lead: QueuedRequest, follower: QueuedRequest) -> bool:
    """Same provider, same overrides, and the same `cj_llm_batching_mode` (or none in both).

    Providers are compared as named: where the mock stands in for several, it bundles as they would.
    """
    if lead.provider is not follower.provider:
        return False
    ours, theirs = lead.overrides, follower.overrides
    return (
        ours.model_override == theirs.model_override
        and ours.temperature_override == theirs.temperature_override
        and ours.system_prompt_override == theirs.system_prompt_override
        and ours.max_tokens_override == theirs.max_tokens_override
        and ours.reasoning_effort == theirs.reasoning_effort
        and ours.output_verbosity == theirs.output_verbosity
        and _batching_mode(lead) == _batching_mode(follower)
    )


def _batching_mode(request: QueuedRequest) -> object:
    return request.request.metadata.get("cj_llm_batching_mode")
