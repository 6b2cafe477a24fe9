"""This module prints the gates that passed on evidence that settles nothing, and what would settle it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cj_pipeline.cli.output import print_table, say_wrapped

if TYPE_CHECKING:
    from cj_pipeline.parity.compare import CheckResult
    from cj_pipeline.parity.evidence import Evidence

_WHOLE = 1000
"""From here on a number is shown without decimals."""


def print_inconclusive(results: Sequence[CheckResult]) -> None:
    """Print what passed on evidence that settles nothing, and how much more would settle it."""
    rows = [
        _inconclusive_row(result.check.name, result.outcome.unit, result.evidence)
        for result in results
        if result.outcome is not None and result.evidence is not None
    ]
    if rows:
        print_table("Inconclusive", ("check", "live minus recorded [95 %]", "drift found", "would settle it"), rows)
        say_wrapped(
            "drift found: the smallest that is found in 80 % of runs. would settle it: about so many observations of "
            "the side with fewer; where the other has more already, still more of it do not help."
        )


def _inconclusive_row(name: str, unit: str, evidence: Evidence) -> list[str]:
    interval = f"{evidence.difference:.4g} [{evidence.low:.4g}, {evidence.high:.4g}] {unit}"
    size = evidence.detectable
    found = "none" if not math.isfinite(size) else f"{size:,.0f}" if size >= _WHOLE else f"{size:.3g}"
    settles = "" if evidence.needed is None else f"{evidence.needed:,} {evidence.limited_by}"
    return [name, interval, found, settles or evidence.settling]
