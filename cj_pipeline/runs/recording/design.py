"""This module plans which pairs a judge is asked, and in which order each is shown.

All pairs are a round robin: every essay once in each wave, each pair once. Half of the time an essay is shown first,
as near as its number of comparisons allows, so that a judge who goes by position favours nobody.
"""

from __future__ import annotations

from collections.abc import Sequence

from cj_pipeline.engine.state import PlannedPair
from cj_pipeline.engine.waves.plan import Plan
from cj_pipeline.foundation.seeding import keyed_generator


def pairs_of(essays: int) -> int:
    """Return how many pairs there are.

    >>> pairs_of(12)
    66
    """
    return essays * (essays - 1) // 2


def all_pairs(items: Sequence[str], seed: int, *, both_orders: bool = False) -> Plan:
    """Return every pair once, as waves in which each essay stands at most once.

    seed: of who meets whom when. both_orders: each pair once more at the end, the other essay first.

    >>> [len(wave) for wave in all_pairs(["e1", "e2", "e3", "e4"], 7)]
    [2, 2, 2]
    """
    places: list[str | None] = [items[at] for at in keyed_generator("recording design", seed).permutation(len(items))]
    if len(places) % 2:
        places.append(None)  # whoever meets nobody sits the wave out
    seat = {item: number for number, item in enumerate(places)}
    rounds = [_round(places, turn) for turn in range(len(places) - 1)]
    shown = tuple(
        tuple(_shown(one, other, seat, len(places)) for one, other in pairs if one is not None and other is not None)
        for pairs in rounds
    )
    if not both_orders:
        return shown
    return shown + tuple(tuple(PlannedPair(pair.essay_b, pair.essay_a) for pair in wave) for wave in shown)


def first_of(plan: Plan, comparisons: int) -> Plan:
    """Return the first so many comparisons of a plan.

    >>> [len(wave) for wave in first_of(all_pairs(["e1", "e2", "e3", "e4"], 7), 3)]
    [2, 1]
    """
    kept: list[tuple[PlannedPair, ...]] = []
    for wave in plan:
        kept += [wave[:comparisons]] if comparisons > 0 else []
        comparisons -= len(wave)
    return tuple(kept)


def _round(places: Sequence[str | None], turn: int) -> list[tuple[str | None, str | None]]:
    """Return one wave by the circle method: the first seat stays, the others move on by one each turn."""
    fixed, others = places[0], places[1:]
    moved = [fixed, *others[turn:], *others[:turn]]
    half = len(moved) // 2
    return list(zip(moved[:half], reversed(moved[half:]), strict=True))


def _shown(one: str, other: str, seat: dict[str | None, int], seats: int) -> PlannedPair:
    """Return a pair with the essay first whose partner sits less than half the table on.

    So every essay leads against those in one half of the table and follows those in the other. Partners who sit
    exactly opposite each other take turns, seat by seat.
    """
    ahead = (seat[other] - seat[one]) % seats
    first = ahead < seats / 2 or (ahead == seats / 2 and seat[one] < seat[other])
    if ahead == seats / 2 and min(seat[one], seat[other]) % 2:
        first = not first
    return PlannedPair(one, other) if first else PlannedPair(other, one)
