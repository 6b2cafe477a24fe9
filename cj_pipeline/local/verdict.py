"""What a driven batch shows: do capture, replay, the CJ service's own results and the embedded twin say the same?

Here: the comparisons and their sentences. Not here: how each side came about (drive.py, twin.py, the capture).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.contracts.cj_events import AssessmentResultV1
from cj_pipeline.engine.state import BatchStatus
from cj_pipeline.local.drive import Driven
from cj_pipeline.local.twin import Agreement, Twin, agreement
from cj_pipeline.runs.record import RunRecord

# Logits. Both sides fit the same answers by the same code; what is left is the order in which floats were added.
SCORE_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was held together. name: what; sentence: the numbers."""

    name: str
    holds: bool
    sentence: str


def findings(driven: Driven, captured: Sequence[CallbackEvent], replayed: RunRecord, twin: Twin) -> tuple[Finding, ...]:
    """Everything that must hold, in the order in which it is to be read."""
    found = agreement(captured, twin.events)
    ids = [event.data.request_id for event in captured]
    return (
        _once(ids, twin),
        _alike("pairs", "the same two essays in the same places", found.same_pair, found),
        _alike("prompts", "the same prompt, by its digest", found.same_prompt, found),
        _alike("winners", "the same winner, or the same error", found.same_winner, found),
        *_outcome(driven, replayed, twin),
    )


def _once(ids: Sequence[str], twin: Twin) -> Finding:
    distinct, wanted = len(set(ids)), len(twin.events)
    return Finding(
        "callbacks",
        len(ids) == distinct == wanted,
        f"{len(ids)} captured, {distinct} different, {wanted} on the embedded stack.",
    )


def _alike(name: str, what: str, number: int, found: Agreement) -> Finding:
    sentence = f"{number} of {found.asked} comparisons have {what}."
    if number < found.asked:
        sentence += f" Unlike: {', '.join(found.differing[:3])}."
    return Finding(name, found.asked == number > 0, sentence)


def _outcome(driven: Driven, replayed: RunRecord, twin: Twin) -> tuple[Finding, ...]:
    ended = twin.state.status
    if driven.result is None:
        holds = ended is BatchStatus.FAILED
        return (
            Finding("outcome", holds, f"The CJ service failed it ({driven.failure}); embedded it is {ended.value}."),
        )
    published = {essay.essay_id: essay.bt_score for essay in driven.result.essay_results}
    by_replay = {essay.essay_id: essay.theta for essay in replayed.document.fit.essays}
    return (
        Finding("outcome", ended is BatchStatus.COMPLETED, f"Completed; embedded it is {ended.value}."),
        _scores("scores_replayed", "the replay of the capture", published, by_replay),
        _scores("scores_embedded", "the embedded stack", published, twin.state.scores or {}),
        _ranks(driven.result, by_replay),
    )


def _scores(name: str, whose: str, published: Mapping[str, float], others: Mapping[str, float]) -> Finding:
    if published.keys() != others.keys():
        return Finding(name, False, f"{len(published)} essays were published, and {len(others)} are in {whose}.")
    # Each side may have its zero elsewhere.
    shift = sum(published.values()) / len(published) - sum(others.values()) / len(others)
    furthest = max(abs(published[essay] - others[essay] - shift) for essay in published)
    sentence = f"{len(published)} published scores are those of {whose} to {furthest:.1e} logits."
    return Finding(name, furthest <= SCORE_TOLERANCE, sentence)


def _ranks(result: AssessmentResultV1, scores: Mapping[str, float]) -> Finding:
    ranks = {essay.essay_id: essay.rank for essay in result.essay_results}
    decided = [
        (better, worse)
        for better, worse in permutations(sorted(ranks.keys() & scores.keys()), 2)
        if scores[better] > scores[worse] + SCORE_TOLERANCE
    ]
    kept = sum(ranks[better] < ranks[worse] for better, worse in decided)
    sentence = f"{kept} of {len(decided)} pairs of essays with different scores are ranked as the replay has them."
    return Finding("ranks", kept == len(decided) and len(ranks) == len(scores), sentence)
