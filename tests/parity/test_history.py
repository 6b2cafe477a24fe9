"""A series of runs is compared with its own past; what has a name is named, and what has none is found."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtri

from cj_pipeline.parity.history.changes import BETS, alarm_threshold, bets, find_changes
from cj_pipeline.parity.history.history import history_of
from cj_pipeline.parity.history.tables import sentences
from tests.parity.history_rows import FIRST, night, nights

THRESHOLD = alarm_threshold(9)


def noise(n: int, seed: int = 1) -> list[float]:
    return list(map(float, np.random.default_rng(seed).normal(0.0, 0.2, n)))


def test_a_bet_is_fair_and_is_the_chance_of_a_rank_under_a_shift() -> None:
    n = 17
    assert bets(n).mean(axis=0) == pytest.approx(np.ones(len(BETS)))
    for shift, one in zip(BETS, bets(n)[4], strict=True):
        area, _ = quad(lambda p, shift=shift: np.exp(shift * ndtri(p) - shift**2 / 2), 4 / n, 5 / n)
        assert one == pytest.approx(area * n)


def test_a_drift_of_half_a_logit_is_found_and_said_in_words() -> None:
    values = [*noise(60), *(value + 0.5 for value in noise(15, seed=2))]
    (check,) = history_of(nights(values), THRESHOLD).checks
    (shift,) = check.shifts
    assert abs((shift.begins - FIRST).days - 60) <= 1
    assert (shift.found - FIRST).days <= 72
    assert shift.sentence.startswith("position_effect changed about 2026-03-0")
    assert "Mode, recording, code and scenario file are the same" in shift.sentence
    assert check.mean == pytest.approx(0.5, abs=0.2)


def test_a_second_change_is_found_against_what_came_after_the_first() -> None:
    steps = [*noise(60), *(value + 2 for value in noise(60, seed=2)), *noise(60, seed=3)]
    first, second = find_changes(steps, THRESHOLD)
    assert (first.begins, second.begins) == (60, 120)
    assert second.found < 140


def test_a_shift_of_less_than_one_spread_is_found_where_the_past_is_long() -> None:
    """Without the bets of half a spread it is found in 13 of 20 series: a bet of one gains little from .7."""
    shifted = [np.random.default_rng(seed).normal(0.0, 1.0, 480) + 0.7 * (np.arange(480) >= 180) for seed in range(20)]
    found = [find_changes(values.tolist(), alarm_threshold(13)) for values in shifted]
    assert all(changes and changes[0].found >= 180 for changes in found)
    assert np.median([changes[0].found - 180 for changes in found]) < 75


@pytest.mark.parametrize("values", [[0.0] * 2000, [0.0, 1.0] * 500, [0.0] * 9 + [5.0] * 9])
def test_what_is_constant_or_too_short_never_changes(values: list[float]) -> None:
    assert find_changes(values, THRESHOLD) == ()


def test_null_years_of_discrete_and_heavy_tailed_values_raise_no_alarm() -> None:
    """The bound is one false alarm for 300 of them; benchmarks/history.py simulates 50 years of nine scenarios."""
    rng = np.random.default_rng(3)
    for draw in (rng.standard_cauchy, lambda n: rng.binomial(1, 0.1, n), lambda n: rng.poisson(1.0, n)):
        alarms = [find_changes(list(map(float, np.asarray(draw(365)))), THRESHOLD) for _ in range(20)]
        assert alarms == [()] * 20


def test_the_threshold_grows_with_the_scenarios() -> None:
    assert alarm_threshold(1) == alarm_threshold(10) == alarm_threshold(20) / 2


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("mode_sha", "the mode (same -> other) changed"),
        ("recording_sha", "the recording (same -> other) changed"),
        ("code_sha", "the code (same -> other) changed"),
        ("scenario_sha", "the scenario file (same -> other) changed"),
    ],
)
def test_what_has_a_name_is_named_and_not_guessed(column: str, words: str) -> None:
    later = [night(60 + number, value + 2, **{column: "other"}) for number, value in enumerate(noise(30, seed=2))]
    found = history_of([*nights(noise(60)), *later], THRESHOLD)
    assert found.shifts == ()
    assert [one.sentence for one in found.named] == [words]
    assert sentences(found) == [f"2026-03-02: {words}; series start afresh."]


def test_the_same_answers_again_are_no_new_evidence() -> None:
    again = [night(60 + number, 3.0, answers_sha="once") for number in range(60)]
    found = history_of([*nights(noise(60)), *again], THRESHOLD)
    assert found.shifts == ()
    assert found.checks[0].nights == 61


def test_red_since_is_the_first_night_of_the_red_ones_at_the_end() -> None:
    verdicts = ["fail", "pass", "fail", "fail"]
    rows = [
        night(number, 0.0, verdict=verdict, run_verdict="NO PARITY" if verdict == "fail" else "PARITY")
        for number, verdict in enumerate(verdicts)
    ]
    found = history_of(rows, THRESHOLD)
    assert found.red_since == found.checks[0].red_since == rows[2]["time"]
    assert sentences(found)[:2] == [
        "Not as expected since 2026-01-03 (NO PARITY).",
        "position_effect is red since 2026-01-03.",
    ]
    assert history_of(rows[:2], THRESHOLD).red_since is None


def test_a_check_that_was_never_on_has_no_history_and_an_exact_one_no_trend() -> None:
    rows = [night(0, None, check="never", verdict="off"), night(0, None, check="identity"), night(0, 0.1)]
    found = {check.check: check for check in history_of(rows, THRESHOLD).checks}
    assert set(found) == {"identity", "position_effect"}
    assert (found["identity"].mean, found["identity"].nights) == (None, 0)


def test_a_series_of_one_value_gains_one_for_each_night_after_the_first() -> None:
    # Every rank has its part: the bets neither win nor lose, so R after n nights is n.
    found = [find_changes([7.0] * 40, threshold - 1e-9)[0].found for threshold in (5, 15)]
    assert found[1] - found[0] == 10
