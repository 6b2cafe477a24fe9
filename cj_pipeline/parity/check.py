"""What a parity check is: a named question about two runs, its limits, and the answer.

Here: `Check`, `Case`, `Outcome` and the decorator that makes a check of a function. Not here: any check
(judgements.py, timing.py, ...), running them all (compare.py).

A limit whose name begins with `at_least` is a lower bound, every other one an upper bound. The floors are production's
own tolerances where it has one; a scenario may tighten a limit and may not loosen it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from cj_pipeline.parity.evidence import Evidence
from cj_pipeline.parity.noise_floor import NoiseFloor, noise_floor
from cj_pipeline.runs.record import RunRecord
from cj_pipeline.traces.scenario import Profile, Scenario

Limits = Mapping[str, float]

ANY_PROFILE = tuple(Profile)


@dataclass(frozen=True)
class Case:
    """The two runs held against each other, and the scenario they are runs of."""

    scenario: Scenario
    recorded: RunRecord
    live: RunRecord

    @cached_property
    def noise(self) -> NoiseFloor:
        """How far two faithful runs of this net lie apart; computed on first use."""
        return noise_floor(self.scenario, self.recorded)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer of a check.

    recorded, live: the two values side by side, None where the check is not about a pair of numbers.
    value: the number held against the tolerance, in `unit`; tolerance: the limits in words; sentence: the result.
    """

    passed: bool
    tolerance: str
    sentence: str
    recorded: float | None = None
    live: float | None = None
    value: float | None = None
    unit: str = ""
    evidence: Evidence | None = None
    details: tuple[str, ...] = ()


CheckFunction = Callable[[Case, Limits], Outcome]


@dataclass(frozen=True, slots=True)
class Check:
    """One named question. `floors`: limits by profile; a profile that is not there is one the check is not part of."""

    name: str
    group: str
    question: str
    floors: Mapping[Profile, Limits]
    function: CheckFunction
    not_applicable: Callable[[Case], str | None] = field(default=lambda case: None)
    """Why the check says nothing about this case, or None when it does."""

    def limits(self, profile: Profile, tightened: Limits) -> Limits:
        """The floor of a profile with a scenario's own limits over it."""
        return {**self.floors[profile], **tightened}


def check(
    name: str,
    *,
    group: str,
    floors: Mapping[Profile, Limits] | None = None,
    not_applicable: Callable[[Case], str | None] = lambda case: None,
) -> Callable[[CheckFunction], Check]:
    """Make a check of a function whose docstring begins with its question.

    floors: limits by profile; None is every profile, without limits.
    """

    def make(function: CheckFunction) -> Check:
        question = (function.__doc__ or "").strip().splitlines()[0]
        return Check(
            name=name,
            group=group,
            question=question,
            floors={profile: {} for profile in ANY_PROFILE} if floors is None else floors,
            function=function,
            not_applicable=not_applicable,
        )

    return make


def everywhere(**limits: float) -> dict[Profile, Limits]:
    """The same limits in every profile."""
    return {profile: dict(limits) for profile in ANY_PROFILE}


def needs_grades(case: Case) -> str | None:
    """For checks against known grades."""
    grades = {item.grade for item in case.scenario.net.items if item.grade is not None}
    return None if len(grades) >= 2 else "fewer than two different known grades in this net"


def needs_repeats(case: Case) -> str | None:
    """For checks over several live batches."""
    return None if case.live.repeats else "the live side has one batch only"


def needs_metrics(case: Case) -> str | None:
    """For the guardrails on /metrics."""
    return None if case.live.document.service_metrics else "the live side came without /metrics"
