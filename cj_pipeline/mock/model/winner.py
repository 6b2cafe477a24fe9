"""This module models which essay a judge prefers, by prompt: scale, position and repeatability.

The numbers are fitted in `bt/judgements.py`; here answers become prompts, and draws become answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from cj_pipeline.bt.judgements import Draws, JudgementFit, Judgements, fit_judgements
from cj_pipeline.mock.model.answers import Answers, BoolArray, FloatArray, IntArray, Prompt, RealArray

# Answers to a prompt up to which drawing each takes less time than a binomial: 3 ns against 80 ns.
_ONE_BY_ONE = 16


@dataclass(frozen=True, slots=True, eq=False)
class WinnerFit:
    """The winner part, fitted to recorded answers. prompts: in the order of the fit's rows. items: ids by index."""

    items: tuple[str, ...]
    prompts: tuple[Prompt, ...]
    fit: JudgementFit
    by_hash: bool

    @property
    def judgements(self) -> Judgements:
        """The answers by prompt."""
        return self.fit.judgements


@dataclass(frozen=True, slots=True, eq=False)
class AskedPrompts:
    """Prompts that a live side answered, beside what was recorded of them.

    first, second: (p,) items. answers: (p,) live answers. recorded: (p,) recorded answers, 0 for a prompt that was not
    recorded. recorded_wins: (p,) how many of those were A. row: (p,) its row in the fit, -1 where there is none.
    """

    first: IntArray
    second: IntArray
    answers: FloatArray
    recorded: FloatArray
    recorded_wins: FloatArray
    row: IntArray


def fit_winner(
    recordings: Sequence[Answers], items: Sequence[str], *, by_hash: bool, repeatability: float | None = None
) -> WinnerFit | None:
    """Fit the winner part to some recordings; None when they hold no answer.

    items: ids of the net, judged or not. by_hash: whether a prompt is known by its hash, else by pair and side.
    repeatability: what is known of it from elsewhere.
    """
    table = counted(recordings, by_hash=by_hash)
    if not table:
        return None
    place = {item: index for index, item in enumerate(items)}
    prompts = tuple(table)
    judgements = Judgements(
        n_items=len(items),
        first=np.array([place[a] for _, a, _ in prompts], dtype=np.intp),
        second=np.array([place[b] for _, _, b in prompts], dtype=np.intp),
        asked=np.array([table[prompt][0] for prompt in prompts], dtype=float),
        first_wins=np.array([table[prompt][1] for prompt in prompts], dtype=float),
    )
    return WinnerFit(tuple(items), prompts, fit_judgements(judgements, repeatability=repeatability), by_hash)


def counted(recordings: Sequence[Answers], *, by_hash: bool) -> dict[Prompt, tuple[int, int]]:
    """Return answers and wins of A by prompt, in the order in which prompts first appear."""
    table: dict[Prompt, tuple[int, int]] = {}
    for answers in recordings:
        for prompt, winner in zip(answers.prompts(by_hash=by_hash), answers.winner.tolist(), strict=True):
            if winner >= 0:
                asked, wins = table.get(prompt, (0, 0))
                table[prompt] = (asked + 1, wins + winner)
    return table


def asked_prompts(winner: WinnerFit, live: Mapping[Prompt, tuple[int, int]]) -> AskedPrompts:
    """Set the prompts of a live side beside the recorded ones. live: answers and wins by prompt."""
    place = {item: index for index, item in enumerate(winner.items)}
    rows = {prompt: row for row, prompt in enumerate(winner.prompts)}
    row = np.array([rows.get(prompt, -1) for prompt in live], dtype=np.intp)
    known = row >= 0
    recorded = np.where(known, winner.judgements.asked[row], 0.0)
    wins = np.where(known, winner.judgements.first_wins[row], 0.0)
    return AskedPrompts(
        first=np.array([place[a] for _, a, _ in live], dtype=np.intp),
        second=np.array([place[b] for _, _, b in live], dtype=np.intp),
        answers=np.array([asked for asked, _ in live.values()], dtype=float),
        recorded=recorded,
        recorded_wins=wins,
        row=row,
    )


def chances(draws: Draws, asked: AskedPrompts) -> tuple[RealArray, RealArray]:
    """Return (d, p) the chance that a free answer is A, and the chance that the answer to a prompt is fixed.

    A fixed answer is the recorded one where all recorded answers are equal (the more of them, the likelier), another
    draw where nothing was recorded; where recorded answers differ, the answer is never fixed.
    """
    chance = expit(draws.log_odds(asked.first, asked.second).astype(np.float32))
    r = draws.repeatability[:, None].astype(np.float32)
    if (asked.recorded <= 1).all():
        return chance, np.broadcast_to(r, chance.shape)
    wins, n = asked.recorded_wins, asked.recorded.astype(np.float32)
    equal = (wins == 0) | (wins == n)
    likely = np.where(wins > 0, chance, 1 - chance)
    with np.errstate(invalid="ignore", divide="ignore"):
        # r p / ((1 - r) p^n + r p)
        known = np.where(equal, r / ((1 - r) * likely ** (n - 1) + r), 0.0)
    return chance, np.where(n > 0, np.nan_to_num(known, nan=1.0), r)


def draw_wins(draws: Draws, asked: AskedPrompts, rng: np.random.Generator) -> FloatArray:
    """Draw (d, p) wins of A that a faithful judge gives to some prompts."""
    chance, fixed_chance = chances(draws, asked)
    fixed = rng.random(chance.shape, dtype=np.float32) < fixed_chance
    free_answer = rng.random(chance.shape, dtype=np.float32) < chance
    answer = np.where(asked.recorded > 0, asked.recorded_wins > 0, free_answer)
    return np.where(fixed, answer * asked.answers, free_wins(free_answer, chance, asked.answers, rng))


def free_wins(first: BoolArray, chance: RealArray, answers: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Draw (d, p) wins of A among free answers. first: (d, p) whether the first of them is A. chance: (d, p) of A."""
    wins = first * answers
    again = answers > 1
    if not again.any():
        return np.asarray(wins)
    most = int(answers.max())
    if most > _ONE_BY_ONE:
        wins[:, again] = rng.binomial(answers[again].astype(np.int64), chance[:, again])
        return np.asarray(wins)
    total = first.astype(np.int8)
    for number in range(1, most):
        more = np.flatnonzero(answers > number)
        if len(more) == len(answers):
            total += rng.random(chance.shape, dtype=np.float32) < chance
        else:
            total[:, more] += rng.random((len(chance), len(more)), dtype=np.float32) < chance[:, more]
    return total.astype(float)
