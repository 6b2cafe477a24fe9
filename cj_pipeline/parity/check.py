"""This module says what a parity check is: a named question about two runs, its limits, and the answer.

Statistical gates (`gates.py`) are functions of arrays and draws; the checks here are exact: no chance, no noise. Both
end as an `Outcome`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256

from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.mock.model.answers import Answers, answers_of
from cj_pipeline.parity.comparison import Comparison
from cj_pipeline.parity.evidence import Evidence
from cj_pipeline.runs.record import RunRecord
from cj_pipeline.traces.scenario import Profile, Scenario

Limits = Mapping[str, float]

ANY_PROFILE = tuple(Profile)

INPUT = "input"
"""Group of checks of what there is to compare: one that does not pass makes the verdict CANNOT TELL, not NO PARITY."""


@dataclass(frozen=True)
class Case:
    """The two runs held against each other, and the scenario they are runs of.

    further: more recordings of the same judge, beside `recorded`.
    """

    scenario: Scenario
    recorded: RunRecord
    live: RunRecord
    further: tuple[RunRecord, ...] = ()

    @cached_property
    def recordings(self) -> tuple[RunRecord, ...]:
        """Every recording, `recorded` first; a copy of an earlier one is left out."""
        found: dict[tuple[str, ...], RunRecord] = {}
        for run in (self.recorded, *self.further):
            found.setdefault(request_ids(run), run)
        return tuple(found.values())

    @property
    def runs(self) -> tuple[tuple[str, RunRecord], ...]:
        """Every run with the name of its side: the recordings, then the live one."""
        return *(("recorded", run) for run in self.recordings), ("live", self.live)

    @cached_property
    def events(self) -> tuple[tuple[CallbackEvent, ...], tuple[CallbackEvent, ...]]:
        """What was recorded, in all recordings together, and what came live, repeats included."""
        return sum((run.pooled_events for run in self.recordings), ()), self.live.pooled_events

    @property
    def asked_by_us(self) -> bool:
        """Whether the live side answered a run of the scenario, so that what it was asked is known."""
        return bool(self.live.document.asked_batch_ids)

    @property
    def live_batch_ids(self) -> tuple[str, ...]:
        """The batch ids under which the live side was asked: the batch, then its repeats; empty for a recording."""
        return self.live.document.asked_batch_ids

    @property
    def live_labels(self) -> Mapping[str, frozenset[object]]:
        """The labels that the live side was asked to carry, by key of `request_metadata`; empty for a recording."""
        if not self.asked_by_us:
            return {}
        return {"queue_processing_mode": frozenset({self.scenario.service.queue_processing_mode.value})}

    def several_batches(self, side: str) -> bool:
        """Whether a side may be made of several batches: a recording is of one, a live file may have its repeats."""
        return side == "live" and not self.asked_by_us

    @cached_property
    def comparison(self) -> Comparison:
        """The answers of both sides as arrays, with the judge model of the recorded side."""
        net = self.scenario.net
        scale = {grade: index for index, grade in enumerate(net.grade_scale or ())}
        judge = self.scenario.judge
        recordings = tuple(_answers(run) for run in self.recordings)
        return Comparison(
            recordings=recordings,
            live=_answers(self.live),
            items=tuple(item.id for item in net.items),
            grades={item.id: scale[item.grade] for item in net.items if item.grade is not None},
            seed=seed_of(recordings),
            repeatability=None if judge is None else judge.repeatability,
            host_latency=self.scenario.latency == "host",
        )


def request_ids(run: RunRecord) -> tuple[str, ...]:
    """Return the request ids of a run in order: two runs with the same are one."""
    return tuple(callback.request_id for callback in run.callbacks)


def seed_of(recordings: tuple[Answers, ...]) -> int:
    """Return the seed of every draw: it follows from the recorded answers, so equal recordings give equal verdicts."""
    digest = sha256()
    for answers in recordings:
        for prompt, winner in zip(answers.prompts(by_hash=True), answers.winner.tolist(), strict=True):
            digest.update(repr((prompt, winner)).encode())
    return int.from_bytes(digest.digest()[:8])


def _answers(run: RunRecord) -> Answers:
    return answers_of([[event.data for event in batch] for batch in (run.events, *run.repeats)])


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer of a check.

    recorded, live: the two values side by side, None where the check is not about a pair of numbers.
    value: the number held against the tolerance, in `unit`; tolerance: the limits in words; floor, ceiling: those of
    `value` as numbers, None where that side has none; sentence: the result.
    """

    passed: bool
    tolerance: str
    sentence: str
    recorded: float | None = None
    live: float | None = None
    value: float | None = None
    floor: float | None = None
    ceiling: float | None = None
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
    function: CheckFunction | None = None
    """None for a statistical gate."""
    not_applicable: Callable[[Case], str | None] = field(default=lambda case: None)
    """Why the check says nothing about this case, or None when it does."""

    def limits(self, profile: Profile, own: Limits) -> Limits:
        """The limits of a profile with a scenario's own over them."""
        return {**self.floors[profile], **own}


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


def exact(problems: Sequence[str], fine: str) -> Outcome:
    """Return the answer of a check that takes no problem. fine: the sentence where there is none."""
    return Outcome(
        passed=not problems,
        value=len(problems),
        ceiling=0,
        unit="problems",
        tolerance="none",
        sentence=problems[0] + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else "") if problems else fine,
        details=tuple(problems[:5]),
    )


def everywhere(**limits: float) -> dict[Profile, Limits]:
    """The same limits in every profile."""
    return {profile: dict(limits) for profile in ANY_PROFILE}


def needs_asked(case: Case) -> str | None:
    """For checks of what came against what was asked."""
    return None if case.asked_by_us else "the live side is a recording: what it was asked is not known"


def needs_repeats(case: Case) -> str | None:
    """For checks over several live batches."""
    return None if case.live.repeats else "the live side has one batch only"


def needs_metrics(case: Case) -> str | None:
    """For the guardrails on /metrics."""
    return None if case.live.document.service_metrics else "the live side came without /metrics"
