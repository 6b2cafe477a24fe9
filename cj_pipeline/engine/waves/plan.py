"""This module reads the waves of a recording: what a batch that follows a trace will ask, and when.

The engine numbers its waves in the metadata (`comparison_iteration`; `retry_iteration` of retries); where every
callback carries one of the two, it is used. Where some do not, a wave is what a coverage wave is by definition:
consecutive comparisons in which no essay stands twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import cycle, islice, pairwise
from typing import NamedTuple
from uuid import UUID

from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.contracts.enums import CJRequestType
from cj_pipeline.contracts.essay_ids import ESSAY_KEYS
from cj_pipeline.engine.state import PlannedPair

Plan = tuple[tuple[PlannedPair, ...], ...]


class Asked(NamedTuple):
    """What a plan reads of a callback. iteration: number of its wave; None where there is no whole number."""

    correlation_id: UUID
    essay_a: str
    essay_b: str
    retry: bool
    iteration: int | None


def asked_of(callback: LLMComparisonResultV1) -> Asked:
    """Return what a plan reads of a callback that names its essays."""
    metadata = callback.request_metadata
    first, second = ESSAY_KEYS
    iteration = metadata.get("comparison_iteration", metadata.get("retry_iteration"))
    return Asked(
        callback.correlation_id,
        metadata[first],
        metadata[second],
        metadata.get("cj_request_type") == CJRequestType.RETRY,
        iteration if type(iteration) is int else None,
    )


def plan_of(callbacks: Sequence[LLMComparisonResultV1], *, keep_ids: bool) -> Plan:
    """Return the waves that some callbacks, in the order in which they were recorded, answer.

    A comparison that was answered twice (same correlation id) is asked once.
    keep_ids: ask under the recorded correlation ids, so that the recorded callbacks themselves are the answers.
    """
    return plan_of_asked(map(asked_of, callbacks), keep_ids=keep_ids)


def plan_of_asked(rows: Iterable[Asked], *, keep_ids: bool) -> Plan:
    """Return the waves; see plan_of."""
    asked: dict[UUID, Asked] = {}
    for row in rows:
        asked.setdefault(row.correlation_id, row)
    pairs = [
        PlannedPair(one.essay_a, one.essay_b, one.correlation_id if keep_ids else None, one.retry)
        for one in asked.values()
    ]
    iterations = [one.iteration for one in asked.values()]
    if iterations and None not in iterations:
        return _split_where(pairs, [a != b for a, b in pairwise(iterations)])
    return _split_at_repeats(pairs)


def repeated_pairs(plan: Plan, comparisons: int) -> list[PlannedPair]:
    """Return the plan's pairs in order and without their ids, cut or repeated from the first to a given number."""
    pairs = [PlannedPair(pair.essay_a, pair.essay_b) for wave in plan for pair in wave]
    return list(islice(cycle(pairs), comparisons))


def _split_where(pairs: list[PlannedPair], breaks: list[bool]) -> Plan:
    waves: list[list[PlannedPair]] = [[pairs[0]]]
    for pair, starts_wave in zip(pairs[1:], breaks, strict=True):
        if starts_wave:
            waves.append([])
        waves[-1].append(pair)
    return tuple(tuple(wave) for wave in waves)


def _split_at_repeats(pairs: list[PlannedPair]) -> Plan:
    waves: list[list[PlannedPair]] = []
    seen: set[str] = set()
    for pair in pairs:
        if not waves or pair.essay_a in seen or pair.essay_b in seen:
            waves.append([])
            seen = set()
        waves[-1].append(pair)
        seen |= {pair.essay_a, pair.essay_b}
    return tuple(tuple(wave) for wave in waves)
