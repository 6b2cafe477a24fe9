"""This module makes a judge of a recording that answers any comparison: from its verdicts, or from its scale.

    recalled   the pair was recorded, and not asked so often yet: its verdicts in the order of the record
    repeated   it is asked more often than it was recorded: one of its verdicts is drawn once more
    invented   it was never recorded: drawn from the Bradley-Terry model of the whole recording

Only the first kind is evidence (judges.py gives nothing else). A verdict is which essay won, wherever it was shown:
what a judge would have said in the other order is not on record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp

from cj_pipeline.bt.comparisons import Comparisons
from cj_pipeline.bt.fit import NoComparisons, fit
from cj_pipeline.contracts.callback import CallbackEvent, LLMComparisonResultV1
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.engine.effects import SubmitWave
from cj_pipeline.engine.state import Batch, Comparison, Pair
from cj_pipeline.engine.waves.plan import Plan, plan_of
from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.foundation.seeding import uniform


class NothingToRecall(CjPipelineError):
    """A recording without a verdict has no scale to compare with."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What a trace says, by pair.

    scores: logits by essay, of the fit over every recorded verdict, whatever its replay makes of them;
    answers: the first callback of each recorded comparison, by pair (ids in sorted order), in order of record;
    pattern: a callback with a winner, whose form an invented one takes; plan: the waves that were asked.
    """

    scores: Mapping[str, float]
    answers: Mapping[Pair, tuple[CallbackEvent, ...]]
    pattern: CallbackEvent
    plan: Plan


def recording_of(events: Sequence[CallbackEvent], essays: Sequence[str], alpha: float) -> Recording:
    """Return what a trace says, by pair, with its scale.

    essays: all of the net, compared or not; alpha: of the estimator's prior.
    Raises NothingToRecall when no callback names a winner, KeyError for one about another essay.
    """
    # A comparison that was answered twice was asked once, and the engine took the first answer.
    first: dict[str, CallbackEvent] = {}
    for event in events:
        first.setdefault(str(event.data.correlation_id), event)
    answers: dict[Pair, list[CallbackEvent]] = {}
    index = {essay: place for place, essay in enumerate(sorted(essays))}
    won: list[tuple[int, int]] = []
    for event in first.values():
        shown = event.data.essay_ids()
        answers.setdefault(_unordered(*shown), []).append(event)
        winner = event.data.winning_essay()
        if winner is not None:
            loser = shown[0] if winner == shown[1] else shown[1]
            won.append((index[winner], index[loser]))
    try:
        fitted = fit(Comparisons([w for w, _ in won], [loser for _, loser in won], len(index)), alpha=alpha)
    except NoComparisons:
        raise NothingToRecall("no recorded callback names a winner, so there is no scale to try settings on.") from None
    return Recording(
        scores=dict(zip(index, fitted.theta.tolist(), strict=True)),
        answers={pair: tuple(recorded) for pair, recorded in answers.items()},
        pattern=next(event for event in first.values() if event.data.succeeded),
        plan=plan_of([event.data for event in events], keep_ids=False),
    )


class RecallingJudge:
    """Answers every comparison of one batch from a recording; one judge a batch, for it counts what it was asked.

    Chance depends on the seed, the pair and how often it was asked, and on nothing else: two batches under different
    settings that ask the same get the same answer.
    """

    def __init__(self, recording: Recording, seed: int) -> None:
        self._recording = recording
        self._seed = seed
        self._asked: Counter[Pair] = Counter()
        self.recalled = 0
        self.repeated = 0
        self.invented = 0

    async def judge(self, batch: Batch, wave: SubmitWave) -> AsyncIterator[CallbackEvent]:
        """Yield one callback for each comparison of the wave, in its order."""
        for comparison in wave.comparisons:
            yield self._answer(comparison)

    def _answer(self, comparison: Comparison) -> CallbackEvent:
        pair = comparison.pair
        turn = self._asked[pair]
        self._asked[pair] += 1
        recorded = self._recording.answers.get(pair)
        if recorded is None:
            self.invented += 1
            scores = self._recording.scores
            first_won = uniform("what-if", self._seed, "invented", *pair, turn) < _chance(
                scores[pair[0]] - scores[pair[1]]
            )
            return _addressed(self._recording.pattern, comparison, pair[0] if first_won else pair[1])
        if turn < len(recorded):
            self.recalled += 1
            event = recorded[turn]
        else:
            self.repeated += 1
            event = recorded[int(uniform("what-if", self._seed, "repeated", *pair, turn) * len(recorded))]
        return _addressed(event, comparison, event.data.winning_essay())


def _unordered(first: str, second: str) -> Pair:
    return (first, second) if first < second else (second, first)


def _chance(difference: float) -> float:
    """Return the logistic function, by the branch in which exp cannot overflow."""
    if difference >= 0:
        return 1 / (1 + exp(-difference))
    return exp(difference) / (1 + exp(difference))


def _addressed(event: CallbackEvent, comparison: Comparison, winner: str | None) -> CallbackEvent:
    """Return a recorded callback as the answer to another comparison. winner: an essay; None for the recorded error."""
    position = Winner.A if winner == comparison.essay_a else Winner.B
    changes: dict[str, object] = {
        "correlation_id": comparison.correlation_id,
        "winner": None if winner is None else position,
        "request_metadata": {"essay_a_id": comparison.essay_a, "essay_b_id": comparison.essay_b},
    }
    data: LLMComparisonResultV1 = event.data.model_copy(update=changes)
    return event.model_copy(update={"correlation_id": comparison.correlation_id, "data": data})
