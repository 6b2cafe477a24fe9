"""This module checks several live batches of the same net: what one batch cannot show.

Floors are production's coverage and small-net diagnostics suites.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from cj_pipeline.parity.check import Case, Limits, Outcome, check, needs_repeats
from cj_pipeline.parity.samples import a_wins, mean, share, tokens, within
from cj_pipeline.traces.scenario import Profile

GROUP = "repeats"


@check("repeat_counts", group=GROUP, not_applicable=needs_repeats)
def repeat_counts(case: Case, limits: Limits) -> Outcome:
    """Does every repeat bring as many callbacks as it asked comparisons, without an error?"""
    wanted = case.scenario.live.repeats
    expected = None if wanted is None else wanted.comparisons
    sizes = [len(batch) for batch in case.live.repeats]
    errors = sum(not event.data.succeeded for batch in case.live.repeats for event in batch)
    short = [size for size in sizes if size != expected]
    expected_errors = any(not callback.succeeded for callback in case.recorded.callbacks)
    return Outcome(
        passed=not short and (errors == 0 or expected_errors),
        recorded=None if expected is None else expected * len(sizes),
        live=sum(sizes),
        value=len(short),
        ceiling=0,
        unit="batches",
        tolerance="every batch complete; no error unless the recording has some",
        sentence=f"{len(sizes)} batches, {sum(sizes)} callbacks, {errors} errors",
    )


@check(
    "repeat_share",
    group=GROUP,
    floors={
        Profile.GENERIC: {"at_least_a": 1.0},
        Profile.ENG5_LOWER5: {"difference": 0.20, "b_at_least_a": 1.0},
    },
    not_applicable=needs_repeats,
)
def repeat_share(case: Case, limits: Limits) -> Outcome:
    """Does the share of `Essay A` hold in every single batch?"""
    recorded = share(*a_wins(case.recorded.callbacks))
    shares = [share(*a_wins([event.data for event in batch])) for batch in case.live.repeats]
    drift = max(abs(value - recorded) for value in shares)
    held = within(drift, limits.get("difference", 1.0)) and min(shares) >= limits.get("at_least_a", 0.0)
    b_first = not limits.get("b_at_least_a") or max(shares) <= 0.5
    return Outcome(
        passed=held and b_first,
        recorded=recorded,
        live=sum(shares) / len(shares),
        value=drift,
        ceiling=limits.get("difference"),
        unit="share",
        tolerance=_share_limits(limits),
        sentence=f"A's share runs from {min(shares):.2f} to {max(shares):.2f} over {len(shares)} batches",
    )


@check("repeat_pairs", group=GROUP, floors={Profile.ENG5_LOWER5: {}}, not_applicable=needs_repeats)
def repeat_pairs(case: Case, limits: Limits) -> Outcome:
    """Does every batch ask every pair of the net exactly once?"""
    n = len(case.scenario.net.items)
    pairs = n * (n - 1) // 2
    incomplete = 0
    for batch in case.live.repeats:
        asked = Counter(tuple(sorted(event.data.essay_ids())) for event in batch)
        incomplete += len(asked) != pairs or set(asked.values()) != {1}
    return Outcome(
        passed=incomplete == 0,
        value=incomplete,
        ceiling=0,
        unit="batches",
        tolerance=f"each of {pairs} pairs once per batch",
        sentence=f"{len(case.live.repeats) - incomplete} of {len(case.live.repeats)} batches ask each pair once",
    )


@check("repeat_winners", group=GROUP, floors={Profile.ENG5_LOWER5: {}}, not_applicable=needs_repeats)
def repeat_winners(case: Case, limits: Limits) -> Outcome:
    """Does a pair have the same winner in every batch?"""
    winners: defaultdict[tuple[str, ...], set[str | None]] = defaultdict(set)
    for batch in case.live.repeats:
        for event in batch:
            winners[tuple(sorted(event.data.essay_ids()))].add(event.data.winning_essay())
    unstable = sorted(pair for pair, seen in winners.items() if len(seen) > 1)
    return Outcome(
        passed=not unstable,
        value=len(unstable),
        ceiling=0,
        unit="pairs",
        tolerance="0 pairs with two winners",
        sentence=f"{len(unstable)} of {len(winners)} pairs change their winner over {len(case.live.repeats)} batches",
        details=tuple(" / ".join(pair) for pair in unstable[:5]),
    )


@check("repeat_tokens", group=GROUP, floors={Profile.GENERIC: {"spread": 0.0}}, not_applicable=needs_repeats)
def repeat_tokens(case: Case, limits: Limits) -> Outcome:
    """Are the mean tokens of all batches the same?"""
    spreads = []
    for kind in ("prompt_tokens", "completion_tokens", "total_tokens"):
        means = [mean(tokens([event.data for event in batch], kind)) for batch in case.live.repeats]
        spreads.append(max(means) - min(means))
    return Outcome(
        passed=within(max(spreads), limits["spread"]),
        value=max(spreads),
        ceiling=limits["spread"],
        unit="tokens",
        tolerance=f"means within {limits['spread']:g} of each other",
        sentence=f"largest spread of a mean over {len(case.live.repeats)} batches is {max(spreads):g} tokens",
    )


CHECKS = (repeat_counts, repeat_share, repeat_pairs, repeat_winners, repeat_tokens)


def _share_limits(limits: Limits) -> str:
    words = []
    if "difference" in limits:
        words.append(f"each within +-{limits['difference']:g}")
    if "at_least_a" in limits:
        words.append(f"each at least {limits['at_least_a']:g}")
    if limits.get("b_at_least_a"):
        words.append("B at least as often as A")
    return ", ".join(words)
