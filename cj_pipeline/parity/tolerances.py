"""This module checks the margins that a scenario sets: names, ranges, and a reason where one is looser."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from cj_pipeline.foundation.errors import BadInput, did_you_mean
from cj_pipeline.foundation.yaml_file import read_yaml
from cj_pipeline.parity.check import INPUT, Check, Limits
from cj_pipeline.traces.scenario import Scenario

LEAST_REASON = 10

# Checks of the first edition that are called otherwise now.
RENAMED: Mapping[str, str] = {"pair_agreement": "answer_agreement", "echo": "ids"}

# The range of each limit, by its name: beyond it a check cannot fail, or cannot pass.
RANGES: Mapping[str, tuple[float, float]] = {
    "at_least_a": (0.0, 1.0),
    "at_least_share": (0.0, 1.0),
    "at_least_tau": (-1.0, 1.0),
    "above_ms": (0.0, 600_000.0),
    "slack_ms": (0.0, 1_000.0),
    "slack": (0.0, 1_000.0),
    "share": (0.0, 2.0),
    "b_at_least_a": (1.0, 1.0),
    "at_least_calls": (1.0, 1_000_000.0),
    "at_least_jobs": (1.0, 1_000_000.0),
    "spread": (0.0, 1_000.0),
    "seconds": (0.0, 86_400.0),
    "items": (0.0, 1_000_000.0),
    "difference": (0.0, 10.0),
}
_OF_SHARES = (
    "answer_agreement", "error_bursts", "error_mix", "error_rate", "inversions", "repeat_share", "repeatability",
    "retry_success", "winner_share",
)  # fmt: skip
_OF_CORRELATIONS = ("anchor_tau", "confidence_link", "latency_link", "rank_agreement")
# A share differs by 1 at most, a correlation by 2, a mean on a scale from 1 to 5 by 4, its spread by 2.
_WIDEST = {
    **dict.fromkeys(_OF_SHARES, 0.95),
    **dict.fromkeys(_OF_CORRELATIONS, 1.9),
    "confidence": 3.9,
    "confidence_spread": 1.9,
}


def validate_tolerances(scenario: Scenario, path: Path | str, checks: Mapping[str, Check]) -> None:
    """Check a scenario's `tolerances` and `checks_off` against the checks there are. Raises BadInput."""
    try:
        _validate(scenario, path, checks)
    except BadInput as error:
        line = _line(Path(path), (error.field or "").split("."))
        raise BadInput(error.problem, path=path, line=line, field=error.field, remedy=error.remedy) from None


def _line(path: Path, keys: Sequence[str]) -> int | None:
    try:
        return read_yaml(path).line(keys)
    except BadInput:  # a scenario that is in no file
        return None


def _validate(scenario: Scenario, path: Path | str, checks: Mapping[str, Check]) -> None:
    for section, names in (("tolerances", scenario.tolerances), ("checks_off", scenario.checks_off)):
        for name in names:
            if name not in checks:
                renamed = RENAMED.get(name)
                remedy = did_you_mean(name, checks) if renamed is None else f"It is now called '{renamed}'."
                raise BadInput(f"'{name}' is not a check.", path=path, field=f"{section}.{name}", remedy=remedy)
    for name in scenario.checks_off:
        if checks[name].group == INPUT:
            raise BadInput(
                "it says whether there is everything to compare, and a part of it is never parity.",
                path=path,
                field=f"checks_off.{name}",
                remedy="Leave it on, and mend the lines that cannot be used.",
            )
    for name in scenario.tolerances:
        own, profile = scenario.own_limits(name), checks[name].floors.get(scenario.profile, {})
        for limit, value in own.items():
            _validate_limit(name, limit, value, profile, path)
        looser = [limit for limit, value in own.items() if is_looser(limit, value, profile[limit])]
        if looser and len(scenario.reason_for(name)) < LEAST_REASON:
            raise BadInput(
                f"{own[looser[0]]:g} is looser than the profile's {profile[looser[0]]:g}.",
                path=path,
                field=f"tolerances.{name}.{looser[0]}",
                remedy=f"Say why: tolerances.{name}.reason, in at least {LEAST_REASON} letters.",
            )


def is_looser(limit: str, value: float, profile: float) -> bool:
    """Whether a limit lets more pass than the profile's. Names that begin with `at_least` are lower bounds."""
    return value < profile if limit.startswith("at_least") else value > profile


def looser_margins(scenario: Scenario, checks: Mapping[str, Check]) -> tuple[str, ...]:
    """Return the checks whose margins the scenario has made looser."""
    found = []
    for name in scenario.tolerances:
        profile = checks[name].floors.get(scenario.profile, {})
        if any(is_looser(limit, value, profile[limit]) for limit, value in scenario.own_limits(name).items()):
            found.append(name)
    return tuple(found)


def most_of(check: str, limit: str) -> float:
    """Return the largest value of a limit with which its check can still fail."""
    high = RANGES.get(limit, (0.0, math.inf))[1]
    return min(high, _WIDEST.get(check, high))


def _validate_limit(name: str, limit: str, value: float, profile: Limits, path: Path | str) -> None:
    field = f"tolerances.{name}.{limit}"
    if limit not in profile:
        raise BadInput(
            f"'{limit}' is not a limit of '{name}' in this profile.",
            path=path,
            field=field,
            remedy=did_you_mean(limit, profile) or "It has none.",
        )
    low, high = RANGES.get(limit, (0.0, math.inf))[0], most_of(name, limit)
    if not low <= value <= high:
        raise BadInput(
            f"{value:g} is out of range.",
            path=path,
            field=field,
            remedy=f"A value from {low:g} to {high:g} can fail." if low < high else f"It is {low:g}, or left out.",
        )
