"""This module finds the first answer that the two sides gave differently, and what it alone changes.

The counterfactual replays the recording with that one answer flipped: does the engine decide otherwise, do essays
change places, does an essay move to another grade?
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.engine.waves.plan import plan_of
from cj_pipeline.parity.check import Case
from cj_pipeline.runs.record import RunDocument, RunRecord
from cj_pipeline.runs.scenario_run import JudgeIdentity, replay
from cj_pipeline.traces.scenario import Net


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first different answer, in the recording's order. wave, comparison: from 1. pair: as shown, A first.

    recorded, live: labels of the winners, or `error`. decisions, ranking, grades: what flipping this answer alone
    changes in the recorded run, in words; empty where it changes nothing.
    """

    wave: int
    comparison: int
    pair: tuple[str, str]
    recorded: str
    live: str
    decisions: str
    ranking: str
    grades: str

    @property
    def place(self) -> str:
        """Where and what: wave, comparison, pair, both answers."""
        pair = " against ".join(self.pair)
        return f"wave {self.wave}, comparison {self.comparison}, {pair}: {self.recorded}, live {self.live}"

    @property
    def sentence(self) -> str:
        """The place, and what this one answer changes."""
        changes = [change for change in (self.decisions, self.ranking, self.grades) if change]
        effect = "; ".join(changes) if changes else "no decision, no rank and no grade"
        return f"First different answer: {self.place}. Flipped alone, it changes {effect}."


def first_divergence(case: Case) -> Divergence | None:
    """Return the first different answer with its counterfactual; None where every common comparison agrees."""
    found = _first_different(case)
    if found is None:
        return None
    index, other = found
    events = case.recorded.events
    callback = events[index].data
    wave_of = {
        pair.correlation_id: number
        for number, wave in enumerate(plan_of(case.recorded.callbacks, keep_ids=True), start=1)
        for pair in wave
    }
    before = case.recorded.document
    after = _replayed(case, (*events[:index], _flipped(events[index]), *events[index + 1 :]))
    essay_a, essay_b = callback.essay_ids()
    return Divergence(
        wave=wave_of[callback.correlation_id],
        comparison=index + 1,
        pair=(label(case, essay_a), label(case, essay_b)),
        recorded=_named(case, callback.winning_essay()),
        live=_named(case, other),
        decisions=_decisions(before, after),
        ranking=_ranking(case, before, after),
        grades=_grades(case, before, after),
    )


def first_divergence_sentence(case: Case) -> str:
    """Say where the two sides first answer differently, without the counterfactual."""
    found = _first_different(case)
    if found is None:
        return "every common comparison has the same answer"
    index, other = found
    callback = case.recorded.callbacks[index]
    pair = " against ".join(label(case, essay) for essay in callback.essay_ids())
    answers = f"{_named(case, callback.winning_essay())}, live {_named(case, other)}"
    return f"first different answer: comparison {index + 1}, {pair}: {answers}"


def label(case: Case, essay_id: str) -> str:
    """Return the name that people use for an essay."""
    return next((item.label for item in case.scenario.net.items if item.id == essay_id), essay_id)


def _named(case: Case, winner: str | None) -> str:
    return "error" if winner is None else label(case, winner)


def _first_different(case: Case) -> tuple[int, str | None] | None:
    """Return the place of the recorded callback, and the essay that won live (None for an error)."""
    live = dict(zip(_occurrences(case.live), case.live.callbacks, strict=True))
    for index, (key, callback) in enumerate(zip(_occurrences(case.recorded), case.recorded.callbacks, strict=True)):
        other = live.get(key)
        if other is not None and other.winning_essay() != callback.winning_essay():
            return index, other.winning_essay()
    return None


def _occurrences(run: RunRecord) -> list[tuple[tuple[str, ...], int]]:
    """Each callback's unordered pair and how often it came before: the same on both sides of a followed trace."""
    seen: Counter[tuple[str, ...]] = Counter()
    keys = []
    for callback in run.callbacks:
        pair = tuple(sorted(callback.essay_ids()))
        keys.append((pair, seen[pair]))
        seen[pair] += 1
    return keys


def _flipped(event: CallbackEvent) -> CallbackEvent:
    """The same event with the other winner; an error becomes a win of A."""
    data = event.data
    winner = Winner.B if data.winner is Winner.A else Winner.A
    reasons = {"justification": data.justification or "", "confidence": data.confidence or 3.0}
    changed = data.model_copy(update={"winner": winner, "error_detail": None, **reasons})
    return event.model_copy(update={"data": changed})


def _replayed(case: Case, events: tuple[CallbackEvent, ...]) -> RunDocument:
    before = case.recorded.document
    judge = JudgeIdentity(before.judge, before.judge_sha256)
    return replay(case.scenario, events, side=before.side, judge=judge, seed=before.seed).document


def _decisions(before: RunDocument, after: RunDocument) -> str:
    kinds = [[decision.kind for decision in document.decisions] for document in (before, after)]
    if kinds[0] == kinds[1]:
        return ""
    for number, (left, right) in enumerate(zip(*kinds, strict=False), start=1):
        if left != right:
            return f"decision {number} from {left} to {right}"
    return f"the number of decisions from {len(kinds[0])} to {len(kinds[1])}"


def _ranks(document: RunDocument) -> dict[str, int]:
    return {row.essay_id: row.rank for row in document.fit.essays}


def _ranking(case: Case, before: RunDocument, after: RunDocument) -> str:
    ranks = _ranks(before), _ranks(after)
    moved = sorted(essay for essay in ranks[0] if ranks[0][essay] != ranks[1][essay])
    if not moved:
        return ""
    first = max(moved, key=lambda essay: abs(ranks[0][essay] - ranks[1][essay]))
    return f"the rank of {len(moved)} essays ({label(case, first)} from {ranks[0][first]} to {ranks[1][first]})"


def _grades(case: Case, before: RunDocument, after: RunDocument) -> str:
    """Essays without a grade that come to lie between other graded essays."""
    places = [_place_among_graded(case.scenario.net, document) for document in (before, after)]
    moved = sorted(essay for essay in places[0] if places[0][essay] != places[1][essay])
    return f"the place among graded essays of {', '.join(label(case, essay) for essay in moved)}" if moved else ""


def _place_among_graded(net: Net, document: RunDocument) -> dict[str, int]:
    ranks = _ranks(document)
    graded = sorted(ranks[item.id] for item in net.items if item.grade is not None and item.id in ranks)
    if not graded:
        return {}
    return {
        item.id: sum(rank < ranks[item.id] for rank in graded)
        for item in net.items
        if item.grade is None and item.id in ranks
    }
