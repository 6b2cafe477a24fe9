"""This module draws who was compared with whom, on which side, and who won.

Waves are rounds of the circle method: no item occurs twice in one, so they can be told apart again from the callbacks.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from cj_pipeline.foundation.errors import did_you_mean
from cj_pipeline.foundation.seeding import KeyPart, uniform
from cj_pipeline.traces.reconstruct.published import CannotReconstruct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cj_pipeline.traces.reconstruct.outcomes import Outcome
    from cj_pipeline.traces.reconstruct.published import Facts, Published
    from cj_pipeline.traces.scenario import Item, Scenario

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Judgement:
    """One comparison and its winner.

    wave: 0-based; a_wins: None where the call failed; gap: assumed ability of the winner minus that of the loser,
    logits (negative: an upset). confidence: where it is known; retry: whether it failed before and is asked again.
    """

    wave: int
    wave_size: int
    shown_a: Item
    shown_b: Item
    a_wins: bool | None
    gap: float
    confidence: float | None = None
    retry: bool = False


def judgements(scenario: Scenario, facts: Facts, seed: int) -> tuple[Judgement, ...]:
    """Return every comparison of the run, in the order in which it was asked for.

    Raises CannotReconstruct when the published outcomes do not fit the scenario's net.
    """
    published, key = facts.published, (scenario.scenario_id, seed)
    if facts.outcomes:
        return _listed(scenario, published, facts.outcomes)
    if published.same_pair is not None:
        return _same_pair(scenario, published, key)
    ranked = _ranked(scenario, published, key)
    span = published.assumed.ability_span
    ability = {item.id: span * (1 - 2 * rank / (len(ranked) - 1)) for rank, item in enumerate(ranked)}
    forced = published.ladder is not None

    def outcome(pair: tuple[Item, Item]) -> tuple[Item, Item]:
        """Return winner and loser."""
        better, worse = sorted(pair, key=lambda item: -ability[item.id])
        chance = 1 / (1 + math.exp(ability[worse.id] - ability[better.id]))
        return (better, worse) if forced or uniform(*key, "outcome", better.id, worse.id) < chance else (worse, better)

    shuffled = sorted(scenario.net.items, key=lambda item: uniform(*key, "seat", item.id))
    waves = round_robin(shuffled, published.counts.events)
    outcomes = [(number, len(wave), *outcome(pair)) for number, wave in enumerate(waves) for pair in wave]
    target = published.counts.events // 2 if published.winners is None else published.winners.essay_a
    winner_is_a = balanced_sides([(winner.id, loser.id) for _, _, winner, loser in outcomes], target, *key)
    return tuple(
        Judgement(
            wave=number,
            wave_size=size,
            shown_a=winner if is_a else loser,
            shown_b=loser if is_a else winner,
            a_wins=is_a,
            gap=ability[winner.id] - ability[loser.id],
        )
        for (number, size, winner, loser), is_a in zip(outcomes, winner_is_a, strict=True)
    )


def round_robin(items: Sequence[T], count: int) -> list[list[tuple[T, T]]]:
    """Return waves of disjoint pairs, `count` in all: the circle method's rounds, again from the first when need be."""
    circle: list[T | None] = [*items, *([None] if len(items) % 2 else [])]
    waves: list[list[tuple[T, T]]] = []
    while count > 0:
        seats = zip(circle[: len(circle) // 2], reversed(circle), strict=False)
        wave = [(left, right) for left, right in seats if left is not None and right is not None][:count]
        waves.append(wave)
        count -= len(wave)
        circle = [circle[0], circle[-1], *circle[1:-1]]
    return waves


def balanced_sides(pairs: Sequence[tuple[str, str]], a_wins: int, *key: KeyPart) -> list[bool]:
    """Say for each (winner, loser) whether the winner is A: `a_wins` times, and each item as often A as B.

    Starts from a drawn choice and trades sides between two comparisons as long as that makes no item more lopsided.
    Where that leads nowhere it starts afresh, at most forty times; then the least lopsided choice is returned.
    """
    degrees: dict[str, int] = {}
    for item in (item for pair in pairs for item in pair):
        degrees[item] = degrees.get(item, 0) + 1
    unavoidable = sum(degree % 2 for degree in degrees.values())
    best: tuple[int, list[bool]] | None = None
    for attempt in range(40):
        drawn = sorted(range(len(pairs)), key=lambda index: uniform(*key, "sides", attempt, index))
        sides = [False] * len(pairs)
        for index in drawn[:a_wins]:
            sides[index] = True
        lopsided = _traded(pairs, sides, (*key, "trade", attempt), unavoidable)
        if best is None or lopsided < best[0]:
            best = (lopsided, sides)
        if lopsided == unavoidable:
            break
    return best[1] if best else []


def _traded(pairs: Sequence[tuple[str, str]], sides: list[bool], key: tuple[KeyPart, ...], goal: int) -> int:
    """Trade sides in place until the sum of squared (A minus B) over items is the goal, or 4,000 trades were tried."""
    lead: dict[str, int] = {}

    def turn(index: int, direction: int) -> None:
        for item, sign in zip(pairs[index], (1, -1) if sides[index] else (-1, 1), strict=True):
            lead[item] = lead.get(item, 0) + sign * direction

    def trade(first: int, second: int) -> None:
        for index in (first, second):
            turn(index, -1)
            sides[index] = not sides[index]
            turn(index, 1)

    def lopsided() -> int:
        return sum(value * value for value in lead.values())

    for index in range(len(pairs)):
        turn(index, 1)
    now = lopsided()
    for step in range(4000):
        if now == goal:
            break
        first = int(uniform(*key, step, 0) * len(pairs))
        second = int(uniform(*key, step, 1) * len(pairs))
        if sides[first] == sides[second]:
            continue
        trade(first, second)
        then = lopsided()
        if then > now:
            trade(first, second)
        else:
            now = then
    return now


def _same_pair(scenario: Scenario, published: Published, key: tuple[KeyPart, ...]) -> tuple[Judgement, ...]:
    """Return the one ordered pair again and again, each time a wave of its own: a wave never shows an item twice."""
    if published.same_pair is None or published.winners is None:
        raise CannotReconstruct("needed when the same pair is judged again and again", field="winners")
    by_label = {item.label: item for item in scenario.net.items}
    shown = [_item(by_label, label, "same_pair") for label in published.same_pair]
    order = sorted(range(published.counts.events), key=lambda index: uniform(*key, "a wins", index))
    a_wins = set(order[: published.winners.essay_a])
    return tuple(
        Judgement(wave=index, wave_size=1, shown_a=shown[0], shown_b=shown[1], a_wins=index in a_wins, gap=0.0)
        for index in range(published.counts.events)
    )


def _listed(scenario: Scenario, published: Published, outcomes: Sequence[Outcome]) -> tuple[Judgement, ...]:
    """Return the comparisons of a table; for confidences, essays are spaced evenly by the share of calls they won."""
    by_label = {item.label: item for item in scenario.net.items}
    sizes = Counter(one.wave for one in outcomes)
    won, judged = Counter[str](), Counter[str]()
    for one in outcomes:
        if one.winner != "error":
            won[one.shown_a if one.winner == "A" else one.shown_b] += 1
            judged.update((one.shown_a, one.shown_b))
    ranked = sorted(by_label, key=lambda label: (won[label] / max(judged[label], 1), label))
    span = published.assumed.ability_span
    ability = {label: span * (2 * rank / (len(ranked) - 1) - 1) for rank, label in enumerate(ranked)}
    found: list[Judgement] = []
    failed: set[tuple[str, str]] = set()
    for one in outcomes:
        shown_a, shown_b = (_item(by_label, label, "outcomes") for label in (one.shown_a, one.shown_b))
        lead = ability[one.shown_a] - ability[one.shown_b]
        a_wins = None if one.winner == "error" else one.winner == "A"
        retry = (one.shown_a, one.shown_b) in failed
        gap = lead if a_wins else -lead
        found.append(Judgement(one.wave, sizes[one.wave], shown_a, shown_b, a_wins, gap, one.confidence, retry))
        if a_wins is None:
            failed.add((one.shown_a, one.shown_b))
        else:
            failed.discard((one.shown_a, one.shown_b))
    return tuple(found)


def _ranked(scenario: Scenario, published: Published, key: tuple[KeyPart, ...]) -> list[Item]:
    """Return the items from best to worst: by the published ladder, else by known grade, then by scenario order."""
    items = scenario.net.items
    if published.ladder is not None:
        by_label = {item.label: item for item in items}
        ranked = [
            _item(by_label, label, "ladder")
            for group in published.ladder
            for label in sorted(group, key=lambda label: uniform(*key, "rung", label))
        ]
        if len(ranked) != len(items) or len({item.id for item in ranked}) != len(items):
            raise CannotReconstruct(f"must name each of the scenario's {len(items)} items once", field="ladder")
        return ranked
    scale = scenario.net.grade_scale or ()
    if any(item.grade is None for item in items):
        raise CannotReconstruct("needed for a net whose items are not all graded", field="ladder")
    return sorted(items, key=lambda item: scale.index(item.grade or ""))


def _item(by_label: dict[str, Item], label: str, field: str) -> Item:
    if label not in by_label:
        raise CannotReconstruct(f"'{label}' is not in the scenario's net. {did_you_mean(label, by_label)}", field=field)
    return by_label[label]
