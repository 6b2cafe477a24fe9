"""This module holds the decision table: what happens when every callback of a wave is in.

Rules of this file: everything that decides is a row of `TABLE`; the first row that holds wins; a row sees `Facts` and
nothing else. It does not know how pairs are found, whether answers are recorded or live, or what an effect does.
The table in docs/architecture.md is printed from `TABLE`.

The rows of retries and the last row are ours. Production has a retry pool that its live path never fills; here failed
comparisons are asked again, many at once or all that are left at the end. And production asks for more comparisons
when none can be made, logs it, and waits for a sweep five minutes later that finalises without looking at the success
rate; so here a wave that comes out empty falls through to `FINALIZE_NOTHING_SCHEDULABLE`, and the guard is asked again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cj_pipeline.engine.facts import Facts
from cj_pipeline.engine.state import DecisionKind


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: when it holds, and what is then done."""

    kind: DecisionKind
    when: str
    holds: Callable[[Facts], bool]


def ended(facts: Facts) -> bool:
    """Return whether some limit says that no more may be asked."""
    return facts.reached_cap or facts.budget_exhausted or facts.small_cap_reached


def guard_refuses(facts: Facts) -> bool:
    """Return whether too few answers were usable for a scale to be published."""
    return facts.callbacks > 0 and (facts.completed == 0 or facts.low_success)


def can_resample(facts: Facts) -> bool:
    """Return whether covered pairs may be judged once more."""
    allowed = facts.remaining > 0 and facts.resampling_passes < facts.resampling_cap and not facts.stable
    return allowed and facts.unique_coverage_complete and facts.callbacks > 0 and not facts.reached_cap


def can_retry(facts: Facts) -> bool:
    """Return whether failed comparisons may be asked again."""
    return facts.eligible_retries > 0 and facts.remaining > 0 and not facts.stable and not facts.single_wave


TABLE: tuple[Row, ...] = (
    Row(
        DecisionKind.RETRY_FAILED,
        "as many failed comparisons as make a retry wave, or any once a small net is through its passes; "
        "budget left, not stable",
        lambda facts: can_retry(facts) and (facts.eligible_retries >= facts.retry_threshold or facts.small_cap_reached),
    ),
    Row(
        DecisionKind.RESAMPLE,
        "net fully covered, passes and budget left, not stable, guard not refusing at a limit",
        lambda facts: can_resample(facts) and not facts.single_wave and not (guard_refuses(facts) and ended(facts)),
    ),
    Row(
        DecisionKind.FINALIZE_FAILURE,
        "a limit is reached and the success rate is too low",
        lambda facts: guard_refuses(facts) and ended(facts),
    ),
    Row(
        DecisionKind.FINALIZE_SCORING,
        "stable, or a limit is reached",
        lambda facts: facts.stable or ended(facts),
    ),
    Row(
        DecisionKind.REQUEST_MORE_COMPARISONS,
        "budget left, and more than one wave allowed",
        lambda facts: facts.remaining > 0 and not facts.single_wave,
    ),
    Row(
        DecisionKind.RETRY_FAILED,
        "any failed comparison left that may be asked again, budget left",
        can_retry,
    ),
    Row(
        DecisionKind.FINALIZE_NOTHING_SCHEDULABLE,
        "no pair left that may be asked",
        lambda facts: True,
    ),
)


def decisions_for(facts: Facts) -> list[DecisionKind]:
    """Return every row that holds, in order: the first is tried, the next one if it finds nothing to send."""
    return [row.kind for row in TABLE if row.holds(facts)]


def reason_for(kind: DecisionKind, facts: Facts) -> str:
    """Return the facts that led to a decision, by name, for the log."""
    if kind is DecisionKind.RETRY_FAILED:
        return f"{facts.eligible_retries} failed, to be retried"
    if kind is DecisionKind.RESAMPLE:
        return f"pass {facts.resampling_passes + 1} of {facts.resampling_cap}"
    if kind is DecisionKind.FINALIZE_FAILURE:
        return "low_success_rate"
    if kind is DecisionKind.FINALIZE_NOTHING_SCHEDULABLE:
        return "low_success_rate" if guard_refuses(facts) else "nothing_schedulable"
    if kind is DecisionKind.REQUEST_MORE_COMPARISONS:
        return f"{facts.remaining} comparisons left"
    named = ("stable", "reached_cap", "budget_exhausted", "small_cap_reached")
    return ", ".join(name for name in named if getattr(facts, name))
