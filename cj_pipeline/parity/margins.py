"""This module says in words what the margins of gates are and why, and proposes margins that a recording supports."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from cj_pipeline.foundation.text import signed
from cj_pipeline.parity.check import Case, Limits
from cj_pipeline.parity.gates import GATES, Gate
from cj_pipeline.parity.noise import Noise, noise_of
from cj_pipeline.parity.tolerances import most_of
from cj_pipeline.runs.record import RunRecord
from cj_pipeline.traces.scenario import Scenario

REASONS: Mapping[str, str] = {
    "answer_agreement": "real judges asked again agree with themselves in .92 to .97 of prompts",
    "agreement_drift": "a judge that changes during a batch: half of it is seldom a tenth harder to repeat",
    "winner_share": "production's suites allow .10 to .30",
    "rank_agreement": "scales of two different judges correlate .95, so little may be lost",
    "anchor_tau": "one neighbouring pair of twelve anchors more or less in the wrong order moves it by .03",
    "inversions": "one graded pair in twenty more or less in the wrong order",
    "zero_win": "one essay more or less that never wins",
    "position_effect": "another prompt template moves it by 1 to 3 logits",
    "sharpness": "a judge a quarter less sharp says .68 where the recorded one says .73",
    "essay_shift": "one logit takes an even pair to .73",
    "repeatability": "one prompt in ten more or less that gets its answer again",
    "confidence": "production's suites do not look; .3 is three answers in ten that move by a point",
    "confidence_spread": "a constant confidence has none",
    "confidence_link": "confidence that has nothing to do with the pair has none",
    "latency_mean": "production allows +100 ms, and 0 ms; a share bounds both sides",
    "latency_p95": "production allows +200 ms, and 0 ms; a tail is less certain than a mean",
    "latency_p99": "the last answers decide how long a wave takes",
    "latency_shape": "equal means can hide two humps: this is the distance between the distributions",
    "latency_drift": "a provider may slow down during a batch: this is its second half over its first",
    "latency_link": "longer answers take longer",
    "tokens_prompt": "prompts are known to the token; production allows 50 %",
    "tokens_per_essay": "two swapped essays cancel in a mean: this looks at each essay's prompts",
    "tokens_completion": "they are what one pays for; production allows 50 to 100 %",
    "tokens_total": "prompt and completion together; production allows 50 to 100 %",
    "tokens_spread": "a constant number of tokens has none",
    "bt_se": "it decides when the engine stops asking",
    "error_rate": "one call in twenty more or less that fails",
    "error_mix": "one error in ten of another kind",
    "error_bursts": "errors that come together take a wave with them",
    "retry_success": "it decides how often the engine asks again",
}
"""Why the margin of each gate is what it is."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """The margin of one gate that a recording supports.

    limits: as `tolerances:` takes them; empty where no margin within the allowed range covers the noise.
    """

    gate: Gate
    limits: Limits
    reason: str


def limits_in_words(limits: Limits, unit: str) -> str:
    """Return the limits of one profile as a difference from the recorded value, or as a floor of the live one."""
    words = []
    for name, value in limits.items():
        if name == "above_ms":
            low = f"-{100 * (1 - limits['at_least_share']):.0f} % and {limits['slack_ms']:g} ms"
            words.append(f"{low} to +{value:g} ms")
        elif name == "difference":
            words.append(f"{value:g} {unit}")
        elif name == "share":
            slack = limits.get("slack_ms", limits.get("slack"))
            words.append(f"{100 * value:g} %" + (f", at least {slack:g} {unit}" if slack else ""))
        elif name in ("at_least_a", "at_least_tau"):
            words.append(f"live at least {value:g}")
        elif name not in ("at_least_share", "slack_ms", "slack"):
            words.append(f"{name} {value:g}")
    return "; ".join(words)


def proposed(scenario: Scenario, recorded: RunRecord, further: tuple[RunRecord, ...] = ()) -> tuple[Proposal, ...]:
    """Return the margin of each gate that applies to a recording: the profile's, or the noise where that is larger.

    The live side is taken to be as large as the scenario asks: its batch and its repeats.
    """
    case = Case(scenario=scenario, recorded=recorded, live=_second_run(scenario, recorded), further=further)
    comparison = case.comparison
    limits = {gate: _profile_limits(gate, scenario) for gate in GATES if scenario.profile in gate.limits}
    on = {
        gate: gate.margin(comparison, own)
        for gate, own in limits.items()
        if gate.missing(comparison) is None and gate.name not in scenario.checks_off
    }
    noise = noise_of(comparison, on) if on else {}
    answers = int(comparison.recorded.answered.sum())
    return tuple(_proposal(case, one, limits[one.gate], answers) for one in noise.values())


def _profile_limits(gate: Gate, scenario: Scenario) -> Limits:
    """Return the limits of the profile, with the floor that the scenario sets: a floor has no noise."""
    floors = {name: value for name, value in scenario.own_limits(gate.name).items() if name == gate.floor}
    return {**gate.limits[scenario.profile], **floors}


def _second_run(scenario: Scenario, recorded: RunRecord) -> RunRecord:
    """Return the recording as if it were a live run of the scenario: of its batch, and of its repeats."""
    repeats = scenario.live.repeats
    if repeats is None or not recorded.events:
        return recorded
    events = recorded.events
    batch = tuple(events[number % len(events)] for number in range(repeats.comparisons))
    return recorded.model_copy(update={"repeats": (batch,) * repeats.batches})


def _proposal(case: Case, noise: Noise, limits: Limits, answers: int) -> Proposal:
    gate = noise.gate
    widened = {name: _widened(case, noise, name, limits) for name in limits}
    size = f"noise of {answers} answers is {_span(noise)} {gate.unit}"
    if widened == limits:
        return Proposal(gate, limits, f"the profile's, since {REASONS[gate.name]}; {size}")
    if any(not 0 <= value <= most_of(gate.name, name) for name, value in widened.items() if value != limits[name]):
        return Proposal(gate, {}, f"{size}, more than a margin may be; it takes more recorded comparisons")
    profile = limits_in_words({name: value for name, value in limits.items() if name != gate.floor}, gate.unit)
    return Proposal(gate, widened, f"{size}; the profile's {profile} is less")


def _widened(case: Case, noise: Noise, name: str, limits: Limits) -> float:
    """Return one limit, moved so far that the margin covers the noise; as it is where that changes nothing."""
    value = limits[name]
    goal = _goal(noise, name)
    if goal is None:
        return value
    # Margins are linear in a limit, so two points give the value that is needed.
    at_0, at_1 = (
        noise.gate.margin(case.comparison, {**limits, **_NO_SLACK.get(name, {}), name: at}) for at in (0.0, 1.0)
    )
    if name == "at_least_share":
        slope, wanted = at_1.low - at_0.low, noise.low - at_0.low
        return min(value, math.floor(100 * wanted / slope) / 100) if slope > 0 else value
    slope = at_1.high - at_0.high
    return _rounded_up(goal / slope) if slope > 0 and goal / slope > value + 1e-9 else value


_NO_SLACK: Mapping[str, Limits] = {"share": {"slack": 0.0, "slack_ms": 0.0}}


def _goal(noise: Noise, name: str) -> float | None:
    """Return how far the margin must reach on the side of a limit; None for one that has no part in it."""
    sides = {
        "difference": (-noise.low, noise.high),
        "share": (-noise.low, noise.high),
        "above_ms": (noise.high,),
        "at_least_share": (-noise.low,),
    }
    return max((side for side in sides.get(name, ()) if math.isfinite(side)), default=None)


def _rounded_up(value: float) -> float:
    """Return a number of two digits that is not less."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / step - 1e-9) * step:.6g}")


def _span(noise: Noise) -> str:
    low, high = (f"{signed(value)}" if math.isfinite(value) else "" for value in (noise.low, noise.high))
    return f"{low} to {high}" if low and high and low != high else low or high
