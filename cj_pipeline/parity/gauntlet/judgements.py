"""This module lists the wrong mocks that judge otherwise: who wins is drawn by a changed judge."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cj_pipeline.mock.model.answers import BoolArray, FloatArray, IntArray
from cj_pipeline.parity.comparison import Sample
from cj_pipeline.parity.gauntlet.faithful import DrawnJudge, Faithful
from cj_pipeline.parity.gauntlet.wrong_mock import SAME, DrawnMock, Group, LeftOut

FEWEST_DIFFERENT = 0.005
"""A mock that changes fewer answers than one in 200 judges as the recorded judge does."""

_NEVER_WINS = 50.0  # logits
_FEW_PAIRS = 3
_NO_PROMPT = LeftOut("no prompt was answered on both sides")

Change = Callable[[Faithful, DrawnJudge], BoolArray]


def flipped(faithful: Faithful, judge: DrawnJudge, share: float) -> BoolArray:
    """Return answers of which a share is the other letter."""
    other = faithful.generator("flips").random(judge.free.shape) < share
    return judge.answers() ^ other


def shifted(judge: DrawnJudge, logits: float) -> BoolArray:
    """Return answers of a judge that prefers the first place by more."""
    return judge.answers(judge.log_odds + logits)


def forgetful(faithful: Faithful, judge: DrawnJudge, share: float) -> BoolArray:
    """Return answers of a judge that answers a share of the fixed prompts afresh each time."""
    kept = faithful.generator("forgets").random(judge.fixed.shape) >= share
    return judge.answers(fixed=judge.fixed & kept)


def _always_a_on_close_pairs(faithful: Faithful, judge: DrawnJudge) -> BoolArray:
    close = faithful.gaps <= np.quantile(faithful.gaps, 1 / 3)
    return judge.answers() | close[judge.prompt]


def _second_half_a_coin(faithful: Faithful, judge: DrawnJudge) -> BoolArray:
    second = np.arange(len(faithful.gaps)) >= len(faithful.gaps) / 2
    log_odds = np.where(second, 0.0, judge.log_odds)
    return judge.answers(log_odds, fixed=judge.fixed & ~second)


def _neighbours_swapped(faithful: Faithful, judge: DrawnJudge) -> BoolArray:
    order = faithful.order
    pairs = order[: len(order) // 2 * 2].reshape(-1, 2)
    return _answers_for(judge, pairs[:, ::-1].ravel(), pairs.ravel())


def _lower_third_inverted(faithful: Faithful, judge: DrawnJudge) -> BoolArray:
    lower = faithful.order[-max(2, len(faithful.order) // 3) :]
    return _answers_for(judge, lower[::-1], lower)


def _answers_for(judge: DrawnJudge, source: IntArray, target: IntArray) -> BoolArray:
    """Return answers of a judge that takes some essays for others."""
    theta = judge.draws.theta.copy()
    theta[:, target] = judge.draws.theta[:, source]
    return judge.answers(judge.moved(theta))


def _best_at_the_median(faithful: Faithful, judge: DrawnJudge) -> BoolArray:
    theta = judge.draws.theta.copy()
    theta[:, faithful.order[0]] = np.median(theta[:, faithful.order], axis=1)
    return judge.answers(judge.moved(theta))


def _one_middle_essay_loses(faithful: Faithful, judge: DrawnJudge) -> BoolArray:
    theta = judge.draws.theta.copy()
    theta[:, faithful.order[len(faithful.order) // 2]] = -_NEVER_WINS
    return judge.answers(judge.moved(theta))


def _recorded_only(faithful: Faithful, judge: DrawnJudge) -> BoolArray:
    recorded, wins = judge.asked.recorded, judge.asked.recorded_wins
    fixed = np.ones_like(judge.fixed)
    # Where recorded answers differ, the mock keeps the one that was given more often.
    certain = np.where(2 * wins > recorded, np.inf, np.where(2 * wins < recorded, -np.inf, judge.log_odds))
    return judge.answers(np.where(recorded > 0, certain, judge.log_odds), fixed=fixed)


def _sides_swapped(faithful: Faithful, judge: DrawnJudge) -> BoolArray:
    """The other way around is another prompt, so nothing is fixed."""
    position = judge.draws.position[:, None]
    return judge.answers(judge.log_odds - 2 * position, fixed=np.zeros_like(judge.fixed))


def _pairs_flipped(*, closest: bool) -> Change:
    def change(faithful: Faithful, judge: DrawnJudge) -> BoolArray:
        asked = judge.asked
        pair = np.sort(np.stack([asked.first, asked.second], axis=1), axis=1)
        kinds, of_prompt = np.unique(pair, axis=0, return_inverse=True)
        of_prompt = of_prompt.ravel()
        gap = np.zeros(len(kinds))
        gap[of_prompt] = faithful.gaps
        chosen = np.argsort(gap if closest else -gap, kind="stable")[:_FEW_PAIRS]
        return judge.answers() ^ np.isin(of_prompt, chosen)[judge.prompt]

    return change


def _mock(name: str, change: str, answers: Change) -> DrawnMock:
    def draw(faithful: Faithful) -> Sample | LeftOut:
        judge = faithful.judge
        if judge is None:
            return _NO_PROMPT
        changed = answers(faithful, judge)
        if float((changed != judge.answers()).mean()) < FEWEST_DIFFERENT:
            return SAME
        return Sample(wins=judge.wins(changed))

    return DrawnMock(name, Group.JUDGEMENTS, change, draw)


def _more_noise(times: float) -> Change:
    return lambda faithful, judge: judge.answers(judge.log_odds / times)


def _certain(faithful: Faithful, judge: DrawnJudge) -> FloatArray:
    return np.asarray(np.where(judge.log_odds >= 0, np.inf, -np.inf))


MOCKS: tuple[DrawnMock, ...] = (
    _mock("always A on close pairs", "takes the first essay wherever two are close", _always_a_on_close_pairs),
    _mock("position +1.5", "prefers the first place by 1.5 logits more", lambda _, judge: shifted(judge, 1.5)),
    _mock("position +3", "prefers the first place by 3 logits more", lambda _, judge: shifted(judge, 3.0)),
    _mock("neighbours swapped", "takes each essay for its neighbour in rank", _neighbours_swapped),
    _mock("best at the median", "takes the best essay for a middling one", _best_at_the_median),
    _mock("a middle essay loses all", "lets one middling essay lose every comparison", _one_middle_essay_loses),
    _mock("lower third inverted", "turns the order of the lower third around", _lower_third_inverted),
    _mock("second half a coin", "tosses a coin in the second half of a batch", _second_half_a_coin),
    _mock("10 % flipped", "gives the other answer in 10 % of comparisons", lambda f, judge: flipped(f, judge, 0.1)),
    _mock("20 % flipped", "gives the other answer in 20 % of comparisons", lambda f, judge: flipped(f, judge, 0.2)),
    _mock(
        "scale only",
        "keeps the scale and repeats no answer",
        lambda _, judge: judge.answers(fixed=np.zeros_like(judge.fixed)),
    ),
    _mock("recorded answers only", "repeats every recorded answer", _recorded_only),
    _mock("noise x3", "judges with three times the noise", _more_noise(3.0)),
    _mock("noise x6", "judges with six times the noise", _more_noise(6.0)),
    _mock("no noise", "always prefers the essay with the better score", lambda f, j: j.answers(_certain(f, j))),
    _mock("3 closest pairs flipped", "turns the three closest pairs around", _pairs_flipped(closest=True)),
    _mock("3 farthest pairs flipped", "turns the three clearest pairs around", _pairs_flipped(closest=False)),
    _mock("sides swapped", "shows each pair the other way around", _sides_swapped),
)
