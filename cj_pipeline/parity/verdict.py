"""This module turns gates, evidence and power into one of three verdicts, with the reasons in words.

NO PARITY    a gate fails
CANNOT TELL  no gate fails, and the comparison could not have said no, or not all of it was compared
PARITY       otherwise
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from cj_pipeline.foundation import exit_codes
from cj_pipeline.parity.power import Detection


class Parity(StrEnum):
    """The verdict of a comparison."""

    PARITY = "PARITY"
    NO_PARITY = "NO PARITY"
    CANNOT_TELL = "CANNOT TELL"


class Doubt(StrEnum):
    """Why a comparison without a failed gate is no proof."""

    NO_GATE = "no gate is on"
    NO_ANSWERS = "no answers were compared"
    PARTIAL = "the input is partial"
    SAME_FILE = "both sides are the same file"
    UNPROVEN = "a wrong mock would get past"
    NOTHING_ABOUT_ESSAYS = "the recording says nothing about the essays"
    INCONCLUSIVE = "evidence is inconclusive"


# What `--accept-unproven` takes: missing power. Never partial input, the same file, or no gate.
ACCEPTABLE = frozenset({Doubt.UNPROVEN, Doubt.NOTHING_ABOUT_ESSAYS})


# Of exit codes, the least severe first.
_SEVERITY = (
    exit_codes.PASSED,
    exit_codes.CANNOT_TELL,
    exit_codes.CHECK_FAILED,
    exit_codes.BAD_INPUT,
    exit_codes.INTERNAL_ERROR,
)


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason for CANNOT TELL."""

    doubt: Doubt
    sentence: str


def verdict_of(failed: int, reasons: tuple[Reason, ...]) -> Parity:
    """Return the verdict. failed: how many gates."""
    if failed:
        return Parity.NO_PARITY
    return Parity.CANNOT_TELL if reasons else Parity.PARITY


def exit_code(verdict: Parity, reasons: tuple[Reason, ...], *, accept_unproven: bool = False) -> int:
    """Return the exit code of a verdict. accept_unproven: whether missing power alone is let pass."""
    if verdict is Parity.NO_PARITY:
        return exit_codes.CHECK_FAILED
    if verdict is Parity.CANNOT_TELL:
        if accept_unproven and all(reason.doubt in ACCEPTABLE for reason in reasons):
            return exit_codes.PASSED
        return exit_codes.CANNOT_TELL
    return exit_codes.PASSED


def worst_code(codes: Iterable[int]) -> int:
    """Return the exit code of several verdicts together: one that failed outweighs one that cannot tell."""
    return max(codes, key=_SEVERITY.index)


def judged_exit_code(verdict: Parity, expected: Parity, reasons: tuple[Reason, ...], *, accept: bool = False) -> int:
    """Return the exit code where a certain verdict is expected: 0 for that one, and never 0 for another.

    A better verdict than the expected one fails too: the expectation is out of date. accept: `--accept-unproven`.
    """
    if verdict is expected:
        return exit_codes.PASSED
    if expected is Parity.PARITY:
        return exit_code(verdict, reasons, accept_unproven=accept)
    return exit_code(verdict, reasons) or exit_codes.CHECK_FAILED


def power_reasons(found: tuple[Detection, ...], *, nothing_about_essays: bool) -> tuple[Reason, ...]:
    """Return the reasons that lie in what the comparison could have found."""
    reasons = []
    if nothing_about_essays:
        reasons.append(
            Reason(
                Doubt.NOTHING_ABOUT_ESSAYS,
                "the recording says nothing about the essays: a coin with the recorded share of A would pass",
            )
        )
    missed = [detection for detection in found if detection.missed]
    if missed:
        listed = ", ".join(f"{one.mock} (found in {math.floor(100 * one.rate + 1e-9)} % of runs)" for one in missed)
        reasons.append(Reason(Doubt.UNPROVEN, f"this comparison would let wrong mocks past: {listed}"))
    return tuple(reasons)
