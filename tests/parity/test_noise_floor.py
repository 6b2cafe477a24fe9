"""What faithful re-runs look like, and that the gates follow from them."""

from __future__ import annotations

import numpy as np
import pytest
from cj_pipeline.parity.noise_floor import RERUNS, noise_floor, pair_agreement_share

from tests.sides import ANCHORS, GENERIC, LADDER, LOWER5, SCENARIOS, live, recorded, result, scenario


@pytest.mark.parametrize("scenario_id", SCENARIOS)
def test_the_floor_is_the_same_every_time(scenario_id: str) -> None:
    assert noise_floor(scenario(scenario_id), recorded(scenario_id)) == noise_floor(
        scenario(scenario_id), recorded(scenario_id)
    )


@pytest.mark.parametrize("scenario_id", [ANCHORS, LADDER])
def test_twelve_anchors_leave_room_for_noise_but_not_for_a_coin(scenario_id: str) -> None:
    # A coin's tau is .45 or more in 2.2 % of runs; the floor lies well above that and below the mean of re-runs.
    floor = noise_floor(scenario(scenario_id), recorded(scenario_id))
    assert floor.reruns == RERUNS == 400
    assert 0.6 < floor.tau_b_low < floor.tau_b_mean < 1.0
    assert 0.7 < floor.agreement_low < floor.agreement_mean < 1.0


def test_five_anchors_leave_more_room_than_twelve() -> None:
    few, many = (noise_floor(scenario(s), recorded(s)) for s in (LOWER5, LADDER))
    assert few.tau_b_low < many.tau_b_low


def test_a_net_without_grades_has_no_inversions_to_expect() -> None:
    assert noise_floor(scenario(GENERIC), recorded(GENERIC)).inversions_high is None


def test_the_gate_says_where_it_comes_from() -> None:
    outcome = result(LADDER, "rank_agreement", live(LADDER)).outcome
    assert outcome is not None
    assert outcome.tolerance.endswith("the 1% quantile of 400 faithful re-runs")


def test_a_pair_agrees_whatever_side_it_is_shown_on_and_a_split_pair_counts_half() -> None:
    # Pairs: (0, 1) twice and swapped, (0, 2) once. One side: 0 wins both; the other: 0-1 is split, 0-2 is the same.
    first, second = np.array([0, 1, 0]), np.array([1, 0, 2])
    one = np.array([True, False, True])
    others = np.array([[True, True, True], [True, False, False], [False, True, True]])
    assert pair_agreement_share(first, second, one, others).tolist() == [0.75, 0.5, 0.5]
