"""This module lists the statistical gates: which statistic, in which direction, with which margin, in which family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from cj_pipeline.mock.model.answers import FloatArray
from cj_pipeline.mock.model.errors import LEAST_ERRORS
from cj_pipeline.parity import statistics
from cj_pipeline.parity.comparison import Comparison, Sample
from cj_pipeline.traces.scenario import Profile

Limits = Mapping[str, float]
Statistic = Callable[[Comparison, Sample], FloatArray]


class Direction(StrEnum):
    """Which differences matter."""

    LOW = "low"
    HIGH = "high"
    BOTH = "both"


class Family(StrEnum):
    """Gates that share one rate of false alarms."""

    JUDGEMENTS = "judgements"
    TIME = "time"
    TOKENS = "tokens"
    EVENTS = "events"
    ENGINE = "engine"


@dataclass(frozen=True, slots=True)
class Margin:
    """How far a live value may lie from the recorded one before the drift matters, in the gate's unit."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Gate:
    """One statistical gate. `question` is what it asks, `unit` that of its value and of its margin.

    limits: by profile, as a scenario writes them. margin: from those limits to the unit of the gate. recorded: the
    recorded value; None where the live side is compared with what a faithful judge gives on average. floor: the name of
    a limit that is an absolute floor of the live value, as production has it: a gate without noise.
    missing: why the gate says nothing about a comparison.
    """

    name: str
    family: Family
    direction: Direction
    unit: str
    statistic: Statistic
    limits: Mapping[Profile, Limits]
    margin: Callable[[Comparison, Limits], Margin]
    missing: Callable[[Comparison], str | None]
    recorded: Statistic | None = None
    floor: str | None = None
    of_wins: bool = False

    @property
    def question(self) -> str:
        """What the gate measures."""
        return (self.statistic.__doc__ or "").splitlines()[0]

    def reference(self, case: Comparison) -> float | None:
        """Return the recorded value; None where there is none."""
        return None if self.recorded is None else float(self.recorded(case, case.recorded_sample)[0])


def _everywhere(**limits: float) -> dict[Profile, Limits]:
    return {profile: dict(limits) for profile in Profile}


def _by_profile(judge: Limits, production: Limits, **others: Limits) -> dict[Profile, Limits]:
    """Return limits by profile. others: by the name of a profile, where one differs from production's usual ones."""
    return {
        profile: judge if profile is Profile.JUDGE else others.get(profile.value, production) for profile in Profile
    }


def _difference(case: Comparison, limits: Limits) -> Margin:
    return Margin(-limits["difference"], limits["difference"])


def _no_prompt(case: Comparison) -> str | None:
    return None if case.asked is not None else "no prompt was answered on both sides"


def _no_answer(case: Comparison) -> str | None:
    return None if case.measures is not None and case.live.answered.any() else "a side has no answer"


def _no_grades(case: Comparison) -> str | None:
    if len({case.grades[item] for item in case.items if item in case.grades}) < 2:
        return "fewer than two different known grades in this net"
    return _no_prompt(case)


def _no_repeats(case: Comparison) -> str | None:
    if case.asked is None:
        return _no_prompt(case)
    return None if case.asked.answers.max() > 1 else "the live side was asked each prompt once"


def _many_essays(case: Comparison) -> str | None:
    most = statistics.MOST_SE_ITEMS
    return None if len(case.items) <= most else f"standard errors of more than {most} essays take too long"


def _no_call(case: Comparison) -> str | None:
    return None if len(case.recorded) and len(case.live) else "a side has no call"


def _few_errors(case: Comparison) -> str | None:
    if (missing := _no_call(case)) is not None:
        return missing
    recorded = case.errors.errors
    if recorded >= LEAST_ERRORS:
        return None
    return f"{recorded} recorded errors say nothing about this; it takes {LEAST_ERRORS}"


def _few_answers(case: Comparison) -> str | None:
    n = min(int(case.live.answered.sum()), int(case.recorded.answered.sum()))
    return _no_answer(case) if n >= 100 else f"a 99th percentile takes 100 answers a side (there are {n})"


def _latency(case: Comparison, limits: Limits, recorded: Statistic) -> Margin:
    value = float(recorded(case, case.recorded_sample)[0])
    if case.host_latency:
        return Margin(-0.75 * value, 3.0 * value)
    if "above_ms" in limits:
        return Margin((limits["at_least_share"] - 1) * value - limits["slack_ms"], limits["above_ms"])
    reach = max(limits["share"] * value, limits.get("slack_ms", 0.0))
    return Margin(-reach, reach)


def _latency_margin(recorded: Statistic) -> Callable[[Comparison, Limits], Margin]:
    return lambda case, limits: _latency(case, limits, recorded)


def _share_of(statistic: Statistic) -> Callable[[Comparison, Limits], Margin]:
    def margin(case: Comparison, limits: Limits) -> Margin:
        reach = max(limits["share"] * float(statistic(case, case.recorded_sample)[0]), limits.get("slack", 0.0))
        return Margin(-reach, reach)

    return margin


_HALF = {"share": 0.5, "slack": 5.0}
_PRODUCTION_MEAN = {"above_ms": 100.0, "at_least_share": 0.5, "slack_ms": 5.0}
_PRODUCTION_P95 = {"above_ms": 200.0, "at_least_share": 0.5, "slack_ms": 5.0}

GATES: tuple[Gate, ...] = (
    Gate(
        "answer_agreement",
        Family.JUDGEMENTS,
        Direction.LOW,
        "share",
        statistics.agreement,
        _everywhere(difference=0.05),
        _difference,
        _no_prompt,
        of_wins=True,
    ),
    Gate(
        "winner_share",
        Family.JUDGEMENTS,
        Direction.BOTH,
        "share",
        statistics.winner_share,
        {
            Profile.JUDGE: {"difference": 0.10},
            Profile.GENERIC: {"difference": 0.10, "at_least_a": 0.90},
            Profile.ENG5_ANCHOR: {"difference": 0.20},
            Profile.ENG5_LOWER5: {"difference": 0.30},
        },
        _difference,
        _no_prompt,
        recorded=statistics.winner_share,
        floor="at_least_a",
        of_wins=True,
    ),
    Gate(
        "rank_agreement",
        Family.JUDGEMENTS,
        Direction.LOW,
        "tau-b",
        statistics.rank_agreement,
        _everywhere(difference=0.05),
        _difference,
        _no_prompt,
        of_wins=True,
    ),
    Gate(
        "anchor_tau",
        Family.JUDGEMENTS,
        Direction.LOW,
        "tau-a",
        statistics.anchor_tau,
        _by_profile({"difference": 0.10}, {"difference": 0.10, "at_least_tau": 0.0}),
        _difference,
        _no_grades,
        recorded=statistics.anchor_tau,
        floor="at_least_tau",
        of_wins=True,
    ),
    Gate(
        "inversions",
        Family.JUDGEMENTS,
        Direction.BOTH,
        "share",
        statistics.inversions,
        _everywhere(difference=0.05),
        _difference,
        _no_grades,
        recorded=statistics.inversions,
        of_wins=True,
    ),
    Gate(
        "zero_win",
        Family.JUDGEMENTS,
        Direction.BOTH,
        "essays",
        statistics.zero_win,
        _everywhere(difference=1.0),
        _difference,
        _no_prompt,
        recorded=statistics.zero_win,
        of_wins=True,
    ),
    Gate(
        "position_effect",
        Family.JUDGEMENTS,
        Direction.BOTH,
        "logits",
        statistics.position,
        _everywhere(difference=0.5),
        _difference,
        _no_prompt,
        recorded=statistics.position,
        of_wins=True,
    ),
    Gate(
        "sharpness",
        Family.JUDGEMENTS,
        Direction.BOTH,
        "times the recorded scale",
        statistics.sharpness,
        _everywhere(difference=0.25),
        _difference,
        _no_prompt,
        recorded=statistics.sharpness,
        of_wins=True,
    ),
    Gate(
        "essay_shift",
        Family.JUDGEMENTS,
        Direction.HIGH,
        "logits",
        statistics.essay_shift,
        _everywhere(difference=1.0),
        _difference,
        _no_prompt,
        recorded=statistics.essay_shift,
        of_wins=True,
    ),
    Gate(
        "repeatability",
        Family.JUDGEMENTS,
        Direction.BOTH,
        "share",
        statistics.repeatability,
        _everywhere(difference=0.10),
        _difference,
        _no_repeats,
        of_wins=True,
    ),
    Gate(
        "confidence",
        Family.JUDGEMENTS,
        Direction.BOTH,
        "points of 5",
        statistics.confidence_mean,
        _by_profile({"difference": 0.3}, {"difference": 0.5}),
        _difference,
        _no_answer,
        recorded=statistics.confidence_mean,
    ),
    Gate(
        "confidence_spread",
        Family.JUDGEMENTS,
        Direction.BOTH,
        "points of 5",
        statistics.confidence_spread,
        _by_profile({"difference": 0.3}, {"difference": 0.5}),
        _difference,
        _no_answer,
        recorded=statistics.confidence_spread,
    ),
    Gate(
        "confidence_link",
        Family.JUDGEMENTS,
        Direction.BOTH,
        "correlation",
        statistics.confidence_link,
        _everywhere(difference=0.2),
        _difference,
        _no_answer,
    ),
    Gate(
        "latency_mean",
        Family.TIME,
        Direction.BOTH,
        "ms",
        statistics.latency_mean,
        _by_profile({"share": 0.10, "slack_ms": 2.0}, _PRODUCTION_MEAN),
        _latency_margin(statistics.latency_mean),
        _no_answer,
        recorded=statistics.latency_mean,
    ),
    Gate(
        "latency_p95",
        Family.TIME,
        Direction.BOTH,
        "ms",
        statistics.latency_p95,
        _by_profile({"share": 0.15, "slack_ms": 2.0}, _PRODUCTION_P95),
        _latency_margin(statistics.latency_p95),
        _no_answer,
        recorded=statistics.latency_p95,
    ),
    Gate(
        "latency_p99",
        Family.TIME,
        Direction.BOTH,
        "ms",
        statistics.latency_p99,
        _everywhere(share=0.25, slack_ms=5.0),
        _latency_margin(statistics.latency_p99),
        _few_answers,
        recorded=statistics.latency_p99,
    ),
    Gate(
        "latency_shape",
        Family.TIME,
        Direction.HIGH,
        "of the recorded mean",
        statistics.latency_shape,
        _everywhere(share=0.15),
        lambda case, limits: Margin(-1.0, 3.0 if case.host_latency else limits["share"]),
        _no_answer,
        recorded=statistics.latency_shape,
    ),
    Gate(
        "latency_drift",
        Family.TIME,
        Direction.BOTH,
        "times the first half",
        statistics.latency_drift,
        _everywhere(difference=0.2),
        lambda case, limits: Margin(-0.75, 3.0) if case.host_latency else _difference(case, limits),
        _no_answer,
    ),
    Gate(
        "latency_link",
        Family.TIME,
        Direction.BOTH,
        "correlation",
        statistics.latency_link,
        _everywhere(difference=0.2),
        _difference,
        _no_answer,
    ),
    Gate(
        "tokens_prompt",
        Family.TOKENS,
        Direction.BOTH,
        "tokens",
        statistics.prompt_tokens,
        _by_profile({"share": 0.05}, _HALF),
        _share_of(statistics.prompt_tokens),
        _no_answer,
    ),
    Gate(
        "tokens_per_essay",
        Family.TOKENS,
        Direction.HIGH,
        "of the recorded mean",
        statistics.prompt_tokens_per_essay,
        _by_profile({"share": 0.05}, {"share": 0.5}),
        lambda case, limits: Margin(-1.0, limits["share"]),
        _no_answer,
    ),
    Gate(
        "tokens_completion",
        Family.TOKENS,
        Direction.BOTH,
        "tokens",
        statistics.completion_tokens,
        _by_profile({"share": 0.05}, _HALF, eng5_anchor={"share": 1.0, "slack": 10.0}),
        _share_of(statistics.completion_tokens),
        _no_answer,
        recorded=statistics.completion_tokens,
    ),
    Gate(
        "tokens_total",
        Family.TOKENS,
        Direction.BOTH,
        "tokens",
        statistics.total_tokens,
        _by_profile({"share": 0.05}, _HALF, eng5_anchor={"share": 1.0, "slack": 10.0}),
        _share_of(statistics.total_tokens),
        _no_answer,
    ),
    Gate(
        "tokens_spread",
        Family.TOKENS,
        Direction.BOTH,
        "of the mean",
        statistics.completion_spread,
        _by_profile({"difference": 0.10}, {"difference": 0.5}),
        _difference,
        _no_answer,
        recorded=statistics.completion_spread,
    ),
    Gate(
        "bt_se",
        Family.ENGINE,
        Direction.BOTH,
        "logits",
        statistics.standard_error,
        _everywhere(share=0.20),
        _share_of(statistics.standard_error),
        lambda case: _no_prompt(case) or _many_essays(case),
        recorded=statistics.standard_error,
        of_wins=True,
    ),
    Gate(
        "error_rate",
        Family.EVENTS,
        Direction.BOTH,
        "share",
        statistics.error_rate,
        _everywhere(difference=0.05),
        _difference,
        _no_call,
        recorded=statistics.error_rate,
    ),
    Gate(
        "error_mix",
        Family.EVENTS,
        Direction.HIGH,
        "share of errors",
        statistics.error_mix,
        _everywhere(difference=0.10),
        _difference,
        _few_errors,
        recorded=statistics.error_mix,
    ),
    Gate(
        "error_bursts",
        Family.EVENTS,
        Direction.BOTH,
        "share of errors",
        statistics.error_bursts,
        _everywhere(difference=0.10),
        _difference,
        _few_errors,
        recorded=statistics.error_bursts,
    ),
    Gate(
        "retry_success",
        Family.EVENTS,
        Direction.BOTH,
        "share of retries",
        statistics.retry_success,
        _everywhere(difference=0.10),
        _difference,
        lambda case: _few_errors(case) or case.no_retries,
        recorded=statistics.retry_success,
    ),
)
