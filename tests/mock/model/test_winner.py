"""Drawn answers: what a judge that repeats itself repeats, and what it draws again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cj_pipeline.bt.judgements import Draws
from cj_pipeline.bt.posterior import posterior
from cj_pipeline.mock.model.winner import AskedPrompts, asked_prompts, counted, draw_wins, fit_winner
from tests.mock.model.columns import answers

NET = ("a", "b", "c")
DRAWS = 4_000


def judge(r: float, *, log_odds: float = 0.0) -> Draws:
    """Many copies of one judge to whom all essays are equal, and whose position effect is all there is."""
    ones = np.ones(DRAWS)
    return Draws(np.zeros((DRAWS, 3)), log_odds * ones, ones, r * ones, 0.0)


def asked(*rows: tuple[int, int, int]) -> AskedPrompts:
    """Prompts as (live answers, recorded answers, recorded wins)."""
    n = len(rows)
    live, recorded, wins = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    return AskedPrompts(np.zeros(n, int), np.ones(n, int), live, recorded, wins, np.arange(n))


def drawn(r: float, prompts: AskedPrompts, **judged: float) -> np.ndarray:
    return draw_wins(judge(r, **judged), prompts, np.random.default_rng(1))


def test_a_judge_that_always_repeats_itself_gives_the_recorded_answer_again() -> None:
    wins = drawn(1.0, asked((1, 1, 1), (1, 1, 0), (3, 1, 1), (3, 2, 0)))
    assert (wins == [1, 0, 3, 0]).all()


def test_a_judge_that_never_repeats_itself_draws_from_its_scale() -> None:
    wins = drawn(0.0, asked((1, 1, 1), (1, 1, 0), (4, 1, 1)), log_odds=1.0)
    assert wins.mean(axis=0) == pytest.approx(np.array([1, 1, 4]) / (1 + np.exp(-1.0)), abs=0.06)


def test_of_a_prompt_that_was_not_recorded_an_answer_of_its_own_is_fixed() -> None:
    wins = drawn(1.0, asked((5, 0, 0)))
    assert set(np.unique(wins)) == {0.0, 5.0}
    assert wins.mean() == pytest.approx(2.5, abs=0.15)


def test_a_prompt_with_unequal_recorded_answers_is_never_fixed() -> None:
    wins = drawn(0.95, asked((4, 2, 1)))
    assert set(np.unique(wins)) == {0.0, 1.0, 2.0, 3.0, 4.0}
    assert (wins == 2).mean() == pytest.approx(6 / 16, abs=0.03)


@pytest.mark.parametrize("recorded", [1, 2, 5])
def test_the_more_equal_answers_were_recorded_the_likelier_they_were_fixed(recorded: int) -> None:
    # Bayes: fixed with r p, free with (1 - r) p^n; at p = 1/2.
    wins = drawn(0.5, asked((1, recorded, recorded)))
    fixed = 0.5 / (0.5 + 0.5 * 0.5 ** (recorded - 1))
    assert wins.mean() == pytest.approx(fixed + (1 - fixed) / 2, abs=0.03)


def test_two_recordings_that_agree_make_a_judge_that_repeats_itself_and_two_that_do_not_make_none() -> None:
    pairs = [(a, b) for a in "abcdefgh" for b in "abcdefgh" if a < b]
    one = answers([(a, b, number % 2) for number, (a, b) in enumerate(pairs)])
    other = answers([(a, b, 1 - number % 2) for number, (a, b) in enumerate(pairs)])
    agreed = fit_winner((one, one), tuple("abcdefgh"), by_hash=False)
    split = fit_winner((one, other), tuple("abcdefgh"), by_hash=False)
    assert agreed is not None
    assert split is not None
    assert agreed.fit.mean_repeatability > 0.75
    assert split.fit.mean_repeatability < 0.1
    draws = posterior(agreed.fit, DRAWS, np.random.default_rng(3))
    wins = draw_wins(draws, asked_prompts(agreed, counted((one,), by_hash=False)), np.random.default_rng(4))
    assert (wins == one.winner).mean() > 0.85


def test_errors_are_no_answers_and_a_judge_without_answers_has_no_winner_part() -> None:
    silent = answers([("a", "b", -1), ("b", "c", -1)])
    assert counted((silent,), by_hash=False) == {}
    assert fit_winner((silent,), NET, by_hash=False) is None


def test_a_prompt_is_its_hash_where_hashes_are_known_and_else_pair_and_side() -> None:
    two = replace(answers([("a", "b", 1), ("a", "b", 0), ("b", "a", 1)]), prompt_sha256=("x", "y", "z"))
    assert len(counted((two,), by_hash=True)) == 3
    assert counted((two,), by_hash=False) == {("", "a", "b"): (2, 1), ("", "b", "a"): (1, 1)}
