"""This module lists the statistical gates: which statistic, in which direction, with which margin, in which family."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

import numpy as np

from cj_pipeline.mock.model.errors import LEAST_ERRORS
from cj_pipeline.parity import statistics
from cj_pipeline.parity.comparison import DRAWS, Comparison
from cj_pipeline.parity.gate import Direction, Family, Gate, Limits, Margin, Statistic
from cj_pipeline.traces.scenario import Profile

__all__ = ["GATES", "Direction", "Family", "Gate", "Margin"]

LOW, HIGH, BOTH = Direction.LOW, Direction.HIGH, Direction.BOTH

ByProfile: TypeAlias = Mapping[Profile, Limits]
MarginOf: TypeAlias = Callable[[Comparison, Limits], Margin]


# Limits, by profile


def _everywhere(**limits: float) -> ByProfile:
    return {profile: dict(limits) for profile in Profile}


def _by_profile(judge: Limits, production: Limits, **others: Limits) -> ByProfile:
    """Return limits by profile. others: by the name of a profile, where one differs from production's usual ones."""
    return {
        profile: judge if profile is Profile.JUDGE else others.get(profile.value, production) for profile in Profile
    }


_HALF = {"share": 0.5, "slack": 5.0}
_TWICE = {"share": 1.0, "slack": 10.0}
_MEAN = _by_profile({"share": 0.10, "slack_ms": 2.0}, {"above_ms": 100.0, "at_least_share": 0.5, "slack_ms": 5.0})
_P95 = _by_profile({"share": 0.15, "slack_ms": 2.0}, {"above_ms": 200.0, "at_least_share": 0.5, "slack_ms": 5.0})
_SHARE_OF_A = _by_profile(
    {"difference": 0.10},
    {"difference": 0.10, "at_least_a": 0.90},
    eng5_anchor={"difference": 0.20},
    eng5_lower5={"difference": 0.30},
)
_COMPLETION = _by_profile({"share": 0.05}, _HALF, eng5_anchor=_TWICE)


# Margins, from limits


def _difference(case: Comparison, limits: Limits) -> Margin:
    return Margin(-limits["difference"], limits["difference"])


def _share_above(case: Comparison, limits: Limits) -> Margin:
    return Margin(-1.0, limits["share"])


def _latency_of(statistic: Statistic) -> MarginOf:
    def margin(case: Comparison, limits: Limits) -> Margin:
        value = float(statistic(case, case.recorded_sample)[0])
        if case.host_latency:
            return Margin(-0.75 * value, 3.0 * value)
        if "above_ms" in limits:
            return Margin((limits["at_least_share"] - 1) * value - limits["slack_ms"], limits["above_ms"])
        reach = max(limits["share"] * value, limits.get("slack_ms", 0.0))
        return Margin(-reach, reach)

    return margin


# The load of a host may change by a factor of 4, as its margins of latency say, evenly on the logarithmic scale.
_LOAD_VARIANCE = math.log(4.0) ** 2 / 12


def _link_margin(case: Comparison, limits: Limits) -> Margin:
    """By how much a host's load moves the correlation of latency and tokens: it adds to the variance of one of them.

    The live host may have such a load and the recorded one none: then the correlation is lower. Or the other way round:
    then it is higher, by any amount, since all that tokens do not explain of the recorded latencies may be load.
    """
    plain = _difference(case, limits)
    billed = case.recorded.billed
    latency, tokens = case.recorded.latency_ms[None, billed], case.recorded.completion_tokens[None, billed]
    variance, link = float(np.log(latency + 1).var()), float(statistics.link(latency, tokens)[0])
    if not case.host_latency or variance == 0.0 or link == 0.0:
        return plain
    loaded = link * math.sqrt(variance / (variance + _LOAD_VARIANCE))
    low, high = sorted((loaded - link, math.copysign(1.0, link)))
    return Margin(min(low, plain.low), max(high, plain.high))


def _unless_of_host(margin: MarginOf, otherwise: Margin) -> MarginOf:
    """Another margin where the latency is that of a host."""
    return lambda case, limits: otherwise if case.host_latency else margin(case, limits)


def _share_of_recorded(*columns: str) -> MarginOf:
    """A share of the recorded tokens of some columns together."""

    def margin(case: Comparison, limits: Limits) -> Margin:
        billed = case.recorded.billed
        tokens = sum(float(getattr(case.recorded, column)[billed].mean()) for column in columns)
        reach = max(limits["share"] * tokens, limits.get("slack", 0.0))
        return Margin(-reach, reach)

    return margin


def _share_of(statistic: Statistic) -> MarginOf:
    def margin(case: Comparison, limits: Limits) -> Margin:
        reach = limits["share"] * float(statistic(case, case.recorded_sample)[0])
        return Margin(-reach, reach)

    return margin


# Why a gate says nothing


def _no_prompt(case: Comparison) -> str | None:
    return None if case.common is not None else "no prompt was answered on both sides"


def _one_prompt(case: Comparison) -> str | None:
    one = case.common is not None and len(case.common.wins) == 1
    return "one prompt has no second half" if one else _no_prompt(case)


def _no_answer(case: Comparison) -> str | None:
    return None if case.measures is not None and case.live.answered.any() else "a side has no answer"


def _no_tokens(case: Comparison) -> str | None:
    known = case.recorded.billed.any() and case.live.billed.any()
    return _no_answer(case) or (None if known else "a side has no answer whose tokens are known")


def _no_confidence(case: Comparison) -> str | None:
    known = case.recorded.rated.any() and case.live.rated.any()
    return _no_answer(case) or (None if known else "a side has no answer whose confidence is known")


def _no_grades(case: Comparison) -> str | None:
    if len({case.grades[item] for item in case.items if item in case.grades}) < 2:
        return "fewer than two different known grades in this net"
    return _no_prompt(case)


def _no_repeats(case: Comparison) -> str | None:
    if case.common is None:
        return _no_prompt(case)
    return None if case.common.asked.answers.max() > 1 else "the live side was asked each prompt once"


def _many_essays(case: Comparison) -> str | None:
    most = statistics.MOST_SE_ITEMS
    few = len(case.items) <= most
    return _no_prompt(case) if few else f"standard errors of more than {most} essays take too long"


def _no_call(case: Comparison) -> str | None:
    return None if len(case.recorded) and len(case.live) else "a side has no call"


def _few_errors(case: Comparison) -> str | None:
    if (missing := _no_call(case)) is not None:
        return missing
    recorded = case.errors.errors
    if recorded >= LEAST_ERRORS:
        return None
    return f"{recorded} recorded errors say nothing about this; it takes {LEAST_ERRORS}"


def _no_retries(case: Comparison) -> str | None:
    return _few_errors(case) or case.no_retries


def _few_answers(case: Comparison) -> str | None:
    n = min(int(case.live.answered.sum()), int(case.recorded.answered.sum()))
    return _no_answer(case) if n >= 100 else f"a 99th percentile takes 100 answers a side (there are {n})"


# The rows. Each: name, direction, unit, statistic, limits; then what differs from the others of its family.


def _gate(
    family: Family,
    missing: Callable[[Comparison], str | None],
    parts: tuple[str, ...],
    name: str,
    direction: Direction,
    unit: str,
    statistic: Statistic,
    limits: ByProfile,
    margin: MarginOf = _difference,
    *,
    recorded: bool = True,
    floor: str | None = None,
    most_draws: int = DRAWS,
    most: Callable[[Comparison], float] | None = None,
) -> Gate:
    """Return a gate. recorded: whether the live value is compared with the recorded one, not with what is expected."""
    against = statistic if recorded else None
    return Gate(
        name, family, direction, unit, statistic, limits, margin, missing, against, floor, parts, most_draws, most
    )


_answers = partial(_gate, Family.JUDGEMENTS, _no_prompt, ("wins",))
_halves = partial(_gate, Family.JUDGEMENTS, _one_prompt, ("wins",))
_graded = partial(_gate, Family.JUDGEMENTS, _no_grades, ("wins",))
_repeated = partial(_gate, Family.JUDGEMENTS, _no_repeats, ("wins",))
_confidence = partial(_gate, Family.JUDGEMENTS, _no_confidence, ("confidence",))
_time = partial(_gate, Family.TIME, _no_answer, ("latency_ms",))
_tail = partial(_gate, Family.TIME, _few_answers, ("latency_ms",))
_link = partial(_gate, Family.TIME, _no_tokens, ("latency_ms", "completion_tokens"))
_prompts = partial(_gate, Family.TOKENS, _no_tokens, ("prompt_tokens",))
_completions = partial(_gate, Family.TOKENS, _no_tokens, ("completion_tokens",))
_totals = partial(_gate, Family.TOKENS, _no_tokens, ("prompt_tokens", "completion_tokens"))
_errors = partial(_gate, Family.EVENTS, _few_errors, ("errors",))

# fmt: off
GATES: tuple[Gate, ...] = (
    _answers("answer_agreement", LOW, "share", statistics.agreement, _everywhere(difference=0.05), recorded=False),
    _halves("agreement_drift", BOTH, "share", statistics.agreement_drift, _everywhere(difference=0.10), recorded=False),
    _answers("winner_share", BOTH, "share", statistics.winner_share, _SHARE_OF_A, floor="at_least_a"),
    _answers("rank_agreement", LOW, "tau-b", statistics.rank_agreement, _everywhere(difference=0.05), recorded=False),
    _graded("anchor_tau", LOW, "tau-a", statistics.anchor_tau,
            _by_profile({"difference": 0.10}, {"difference": 0.10, "at_least_tau": 0.0}), floor="at_least_tau"),
    _graded("inversions", BOTH, "share", statistics.inversions, _everywhere(difference=0.05)),
    _answers("zero_win", BOTH, "essays", statistics.zero_win, _everywhere(difference=1.0)),
    _answers("position_effect", BOTH, "logits", statistics.position, _everywhere(difference=0.5)),
    _answers("sharpness", BOTH, "times the recorded scale", statistics.sharpness, _everywhere(difference=0.25)),
    _answers("essay_shift", HIGH, "logits", statistics.essay_shift, _everywhere(difference=1.0)),
    _repeated("repeatability", BOTH, "share", statistics.repeatability, _everywhere(difference=0.10), recorded=False),
    _confidence("confidence", BOTH, "points of 5", statistics.confidence_mean,
                _by_profile({"difference": 0.3}, {"difference": 0.5})),
    _confidence("confidence_spread", BOTH, "points of 5", statistics.confidence_spread,
                _by_profile({"difference": 0.3}, {"difference": 0.5})),
    _confidence("confidence_link", BOTH, "correlation", statistics.confidence_link, _everywhere(difference=0.2),
                recorded=False),
    _time("latency_mean", BOTH, "ms", statistics.latency_mean, _MEAN, _latency_of(statistics.latency_mean)),
    _time("latency_p95", BOTH, "ms", statistics.latency_p95, _P95, _latency_of(statistics.latency_p95)),
    _tail("latency_p99", BOTH, "ms", statistics.latency_p99, _everywhere(share=0.25, slack_ms=5.0),
          _latency_of(statistics.latency_p99)),
    _time("latency_shape", HIGH, "of the recorded mean", statistics.latency_shape, _everywhere(share=0.15),
          _unless_of_host(_share_above, Margin(-1.0, 3.0))),
    _time("latency_drift", BOTH, "times the first half", statistics.latency_drift, _everywhere(difference=0.2),
          _unless_of_host(_difference, Margin(-0.75, 3.0)), recorded=False),
    _link("latency_link", BOTH, "correlation", statistics.latency_link, _everywhere(difference=0.2), _link_margin,
          recorded=False),
    _prompts("tokens_prompt", BOTH, "tokens", statistics.prompt_tokens, _by_profile({"share": 0.05}, _HALF),
             _share_of_recorded("prompt_tokens"), recorded=False),
    _prompts("tokens_per_essay", HIGH, "of the recorded mean", statistics.prompt_tokens_per_essay,
             _by_profile({"share": 0.05}, {"share": 0.5}), _share_above, recorded=False),
    _completions("tokens_completion", BOTH, "tokens", statistics.completion_tokens, _COMPLETION,
                 _share_of_recorded("completion_tokens")),
    _totals("tokens_total", BOTH, "tokens", statistics.total_tokens, _COMPLETION,
            _share_of_recorded("prompt_tokens", "completion_tokens"), recorded=False),
    _completions("tokens_spread", BOTH, "of the mean", statistics.completion_spread,
                 _by_profile({"difference": 0.10}, {"difference": 0.5})),
    _gate(Family.ENGINE, _many_essays, ("wins",), "bt_se", BOTH, "logits", statistics.standard_error,
          _everywhere(share=0.20), _share_of(statistics.standard_error), most_draws=statistics.SE_DRAWS),
    _gate(Family.EVENTS, _no_call, ("errors",), "error_rate", BOTH, "share", statistics.error_rate,
          _everywhere(difference=0.05)),
    _errors("error_mix", HIGH, "share of errors", statistics.error_mix, _everywhere(difference=0.10),
            most=statistics.most_error_mix),
    _errors("error_bursts", BOTH, "share of errors", statistics.error_bursts, _everywhere(difference=0.10)),
    _gate(Family.EVENTS, _no_retries, ("errors",), "retry_success", BOTH, "share of retries", statistics.retry_success,
          _everywhere(difference=0.10)),
)
# fmt: on
