"""The limits of one gate leave out the share of faithful runs that they are made for, on both sides together."""

from __future__ import annotations

import numpy as np
import pytest

from cj_pipeline.parity.gates import GATES, Direction
from cj_pipeline.parity.noise import _limits


@pytest.mark.parametrize("direction", list(Direction))
def test_a_share_of_faithful_runs_lies_on_or_beyond_the_limits(direction: Direction) -> None:
    gate = next(gate for gate in GATES if gate.direction is direction)
    ordered = np.linspace(-1.0, 1.0, 10_001)
    low, high = _limits(gate, ordered, 0.02)
    beyond = float(np.mean((ordered <= low) | (ordered >= high)))
    assert beyond == pytest.approx(0.02, abs=0.0005)
