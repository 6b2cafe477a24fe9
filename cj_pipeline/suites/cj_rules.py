"""This module holds what must come of a batch of a CJ service, as far as its bus and both /metrics tell.

What production's suites read in the service's database beside (stored metadata, passes, flags) follows from these, or
is tested where the database is ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.contracts.cj_events import COMPLETED_SUCCESSFULLY
from cj_pipeline.contracts.comparison import MAX_BUNDLE
from cj_pipeline.engine.scoring.places import Places, pairs_in_one_order, places_of
from cj_pipeline.runs.cj_service import CjAnswer
from cj_pipeline.runs.record import Sample
from cj_pipeline.suites.cj_cases import CjCase
from cj_pipeline.suites.result import Rule, held, skipped

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class CjPlayed:
    """A batch that is over.

    events: its callbacks, read until nothing more came; cj_metrics: what the CJ service counted meanwhile.
    """

    case: CjCase
    bos_batch_id: str
    answer: CjAnswer
    events: tuple[CallbackEvent, ...]
    cj_metrics: tuple[Sample, ...]

    def shown(self) -> list[tuple[str, str]]:
        """Return the pairs as the judge saw them, each comparison once."""
        return list({event.data.correlation_id: event.data.essay_ids() for event in self.events}.values())


def rules_of(played: CjPlayed) -> Iterator[Rule]:
    """Yield the rules of one batch."""
    yield _completed(played)
    if played.answer.result is None or not played.events:
        return
    yield _callbacks(played)
    yield _budget(played)
    yield _bundle_sizes(played)
    yield _end(played)
    yield _mode(played)
    if played.case.most_skew is not None:
        yield _skew(played, played.case.most_skew)
        yield _orders(played)
        yield _both_places(played)
    if played.case.passes is not None:
        yield _passes(played, played.case.passes)
    yield from _counted(played)


def _completed(played: CjPlayed) -> Rule:
    answer, essays = played.answer, len(played.case.essays)
    limit = f"{COMPLETED_SUCCESSFULLY}, {essays} essays scored, none failed"
    if answer.result is None or answer.completed is None:
        return held("completed", False, f"the batch failed: {answer.failure}", limit)
    summary = answer.completed.processing_summary
    scored = {essay.essay_id for essay in answer.result.essay_results}
    good = answer.completed.status == COMPLETED_SUCCESSFULLY and scored == set(played.case.essays)
    told = f"{answer.completed.status}, {summary.successful} scored, {summary.failed} failed"
    return held("completed", good and (summary.successful, summary.failed) == (essays, 0), told, limit)


def _callbacks(played: CjPlayed) -> Rule:
    """As many as the result counts, each once, none of them an error."""
    came, ids = len(played.events), {event.data.correlation_id for event in played.events}
    errors = sum(not event.data.succeeded for event in played.events)
    result = played.answer.result
    counted = None if result is None else result.assessment_metadata.get("comparison_count")
    told = f"{came} on the topic, {len(ids)} comparisons, {errors} errors; {counted} counted"
    return held("on_topic", (came, len(ids), errors) == (counted, came, 0), told, "equal, no error")


def _budget(played: CjPlayed) -> Rule:
    pairs = len({frozenset(pair) for pair in played.shown()})
    told = f"{len(played.shown())} comparisons of {pairs} of {played.case.pairs} pairs"
    return held("budget", len(played.shown()) <= played.case.budget, told, f"at most {played.case.budget} comparisons")


def _bundle_sizes(played: CjPlayed) -> Rule:
    sizes = [event.data.request_metadata.get("preferred_bundle_size") for event in played.events]
    if all(size is None for size in sizes):
        return skipped("bundle_sizes", "no callback carries a hint: ENABLE_LLM_BATCHING_METADATA_HINTS is off")
    wrong = [size for size in sizes if type(size) is not int or not 1 <= size <= MAX_BUNDLE]
    return held("bundle_sizes", not wrong, f"{len(wrong)} of {len(sizes)} are none", f"whole, 1 to {MAX_BUNDLE}")


def _end(played: CjPlayed) -> Rule:
    """No callback is newer than the end of its batch."""
    completed = played.answer.completed
    ended = None if completed is None else completed.system_metadata.completed_at
    if ended is None:
        return skipped("end", "the completed event does not say when the batch ended")
    newest = max(event.event_timestamp for event in played.events)
    late = (newest - ended).total_seconds()
    return held("end", late <= 0, f"the newest callback is {-late:.3f} s before the end", "0 s or more before it")


def _mode(played: CjPlayed) -> Rule:
    """The LPS did what the request asked for, and says so."""
    worked = Counter(event.data.request_metadata.get("queue_processing_mode") for event in played.events)
    hinted = {event.data.request_metadata.get("cj_llm_batching_mode") for event in played.events} - {None}
    good = set(worked) == {played.case.strategy.value} and hinted <= {played.case.batching_mode.value}
    told = f"worked as {', '.join(map(str, worked))}, asked as {', '.join(map(str, hinted)) or 'not said'}"
    return held("mode", good, told, f"{played.case.strategy.value}, {played.case.batching_mode.value}")


def _places(played: CjPlayed) -> dict[str, Places]:
    shown = places_of((first, second, None) for first, second in played.shown())
    return {essay: shown.get(essay, Places()) for essay in played.case.essays}


def _skew(played: CjPlayed, most: float) -> Rule:
    """No essay stands too often in one place."""
    skews = {essay: places.skew for essay, places in _places(played).items()}
    worst = max(skews, key=skews.__getitem__)
    told = f"largest {skews[worst]:.3f} ({worst})"
    if len(played.shown()) < played.case.budget and played.case.passes is None:
        told += f"; {len(played.shown())} of {played.case.budget} comparisons: is MAX_PAIRWISE_COMPARISONS lower?"
    return held("skew", skews[worst] <= most + _ROUNDING, told, f"at most {most:g}")


def _orders(played: CjPlayed) -> Rule:
    """A pair that was seen twice was seen in both orders."""
    again, one_way = pairs_in_one_order((first, second, None) for first, second in played.shown())
    return held("orders", not one_way, f"{one_way} of {again} repeated pairs were seen in one order", "none")


def _both_places(played: CjPlayed) -> Rule:
    both = sum(places.as_a > 0 and places.as_b > 0 for places in _places(played).values())
    essays = len(played.case.essays)
    return held("both_places", 2 * both >= essays, f"{both} of {essays} essays", "at least half")


def _passes(played: CjPlayed, passes: int) -> Rule:
    """A small net is covered, and gone over again so many times."""
    times = Counter(frozenset(pair) for pair in played.shown())
    wanted = {1 + passes}
    told = f"{len(times)} of {played.case.pairs} pairs, each {'/'.join(map(str, sorted(set(times.values()))))} times"
    good = len(times) == played.case.pairs and set(times.values()) == wanted
    if not good:
        told += (
            f"; the service needs MIN_RESAMPLING_NET_SIZE={len(played.case.essays)}, "
            f"MAX_RESAMPLING_PASSES_FOR_SMALL_NET={passes} and MIN_COMPARISONS_FOR_STABILITY_CHECK above "
            f"{played.case.budget}"
        )
    return held("passes", good, told, f"every pair {1 + passes} times")


def _counted(played: CjPlayed) -> Iterator[Rule]:
    """What the CJ service counted in this batch's mode; in a shared service that is more than the batch's own."""
    mode = played.case.batching_mode.value
    for series in ("cj_llm_requests_total", "cj_llm_batches_started_total"):
        count = _total(played.cj_metrics, series, batching_mode=mode)
        yield held(series, count >= 1, f"{count:g} in mode {mode}", "at least 1")
    orphans = _total(played.cj_metrics, "cj_orphan_callbacks_total")
    yield held("orphans", orphans == 0, f"{orphans:g} callbacks of unknown comparisons", "none")


def _total(samples: Sequence[Sample], name: str, **labels: str) -> float:
    return sum(
        sample.value
        for sample in samples
        if sample.name == name and all(sample.labels.get(key) == value for key, value in labels.items())
    )
