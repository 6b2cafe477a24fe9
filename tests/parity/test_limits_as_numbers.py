"""This module tests that the limits of a check, as numbers, say what its verdict says."""

from __future__ import annotations

import pytest

from cj_pipeline.parity.compare import Verdict
from tests.sides import ANCHORS, GENERIC, LOWER5, live, report

MODES = ("", "+coin", "+inverted", "+instant", "+tokens_x1_4")


@pytest.mark.parametrize("scenario_id", [ANCHORS, GENERIC, LOWER5])
@pytest.mark.parametrize("mode", MODES)
def test_a_value_beyond_its_limits_fails_and_one_that_passes_is_within(scenario_id: str, mode: str) -> None:
    seen = 0
    for one in report(scenario_id, live(scenario_id, mode)).results:
        if (outcome := one.outcome) is None or outcome.value is None:
            continue
        above_floor = outcome.floor is None or outcome.value >= outcome.floor - 1e-9
        below_ceiling = outcome.ceiling is None or outcome.value <= outcome.ceiling + 1e-9
        seen += outcome.floor is not None or outcome.ceiling is not None
        assert (above_floor and below_ceiling) or one.verdict is Verdict.FAIL, one
    assert seen > 35
