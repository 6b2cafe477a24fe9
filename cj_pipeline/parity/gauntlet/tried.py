"""This module holds what became of one wrong mock, and says it in words."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cj_pipeline.parity.evidence import POWER
from cj_pipeline.parity.gauntlet.closing import Closing
from cj_pipeline.parity.gauntlet.wrong_mock import Group
from cj_pipeline.parity.power import MOST_MISSED


@dataclass(frozen=True, slots=True)
class Tried:
    """One wrong mock against one comparison.

    change: what the mock does: "A mock that ...". essential: whether every proof of parity must find it. rate: share of
    runs in which it fails a check; None where it is left out. first: the check that finds it most often, empty for
    none. left_out: why it was not looked for. closing: the larger comparison that would find it, as far as one was
    tried. allowed_by: the gate whose margin it comes nearest to, where it lies within every margin; empty otherwise.
    """

    name: str
    group: Group
    change: str
    essential: bool
    rate: float | None
    first: str = ""
    left_out: str = ""
    closing: Closing | None = None
    allowed_by: str = ""

    @property
    def missed(self) -> bool:
        """Whether it is essential, and gets past in more than 5 % of runs."""
        return self.essential and self.rate is not None and 1 - self.rate > MOST_MISSED

    @property
    def blind(self) -> bool:
        """Whether it is found in less than 80 % of runs."""
        return self.rate is not None and self.rate < POWER

    def with_closing(self, closing: Closing | None) -> Tried:
        """Return the same with the larger comparison that would find it."""
        return replace(self, closing=closing)
