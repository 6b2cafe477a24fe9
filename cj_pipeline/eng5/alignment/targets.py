"""This module holds a result against the reference's targets, and says whether a repeat could have said otherwise."""

from __future__ import annotations

from dataclasses import dataclass

from cj_pipeline.eng5.alignment.result import AlignmentResult, Interval, Measure

TARGET_TAU = 0.90
TARGET_INVERSIONS = 1
TARGET_ZERO_WIN = 0
TARGET_AB_REGRESSION = 0


@dataclass(frozen=True, slots=True)
class Target:
    """One target. name: of its check; value, interval, repeat, wanted: as people read them; met: of this run.

    settled: whether the interval, or for a count 95 % of the repeats, falls on the same side of it. number, floor,
    ceiling: the value and what is wanted of it as numbers; None where there is none.
    """

    name: str
    measure: str
    value: str
    interval: str
    repeat: str
    wanted: str
    met: bool
    settled: bool
    number: float | None = None
    floor: float | None = None
    ceiling: float | None = None

    @property
    def verdict(self) -> str:
        """In words."""
        word = "met" if self.met else "missed"
        return word if self.settled else f"{word}, within sampling noise"


def targets(result: AlignmentResult) -> tuple[Target, ...]:
    """Return every target with what became of it. A tau that is not defined is missed."""
    counts = (
        ("inversions", "direct inversions", result.inversion_count, TARGET_INVERSIONS),
        ("zero_win", "anchors without a win", result.zero_win_count, TARGET_ZERO_WIN),
    )
    return (
        _tau(result),
        *(_at_most(name, measure, found, most) for name, measure, found, most in counts),
        Target(
            "ab_regression",
            "A/B regression",
            f"{result.ab_regression} ({result.ab_inversions} inversions between A and B)",
            "",
            "",
            f"at most {TARGET_AB_REGRESSION}",
            result.ab_regression <= TARGET_AB_REGRESSION,
            True,
            number=result.ab_regression,
            ceiling=TARGET_AB_REGRESSION,
        ),
    )


def _tau(result: AlignmentResult) -> Target:
    wanted = f"at least {TARGET_TAU:.2f}"
    tau = result.tau_a
    if tau is None:
        return Target("tau", "Kendall tau-a", "not defined", "", "", wanted, False, True, floor=TARGET_TAU)
    met, interval = tau.value >= TARGET_TAU, tau.interval
    settled = interval is None or (interval.low >= TARGET_TAU if met else interval.high < TARGET_TAU)
    return Target("tau", "Kendall tau-a", *in_words(tau, 3), wanted, met, settled, number=tau.value, floor=TARGET_TAU)


def _at_most(name: str, measure: str, found: Measure, most: int) -> Target:
    met, repeat = found.value <= most, found.repeat
    settled = repeat is None or (repeat.high <= most if met else repeat.low > most)
    return Target(name, measure, *in_words(found, 0), f"at most {most}", met, settled, number=found.value, ceiling=most)


def in_words(measure: Measure | None, digits: int) -> tuple[str, str, str]:
    """Return a number, its interval, and what a repeat gives."""
    if measure is None:
        return "not defined", "", ""
    return f"{measure.value:.{digits}f}", _range(measure.interval, digits), _range(measure.repeat, digits)


def _range(interval: Interval | None, digits: int) -> str:
    return "" if interval is None else f"{interval.low:.{digits}f} to {interval.high:.{digits}f}"
