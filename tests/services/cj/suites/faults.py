"""Engines that are wrong in one way each, to see that the rules notice.

Here: the faults, as replacements of one function of the engine for as long as a context lasts. Not here: which rules
each of them must break (test_faults.py). The engine's own guard against its counters is in place throughout; a fault
that it stops never gets as far as a rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from cj_pipeline.bus.memory import MemoryBus
from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.engine import engine
from cj_pipeline.engine.effects import CallbackKind, Finalize, Taken
from cj_pipeline.engine.engine import Step
from cj_pipeline.engine.facts import facts_of
from cj_pipeline.engine.intake import Delivery
from cj_pipeline.engine.intake import _answer as answer_of
from cj_pipeline.engine.scoring.scores import rescore
from cj_pipeline.engine.state import Answer, BatchStatus, Comparison, State, UploadStatus, WaveKind
from cj_pipeline.engine.waves.next_wave import next_wave
from cj_pipeline.foundation.seeding import uniform

Pair = tuple[str, str]
Fault = Callable[[], Any]
"""A context in which the engine is wrong."""


@contextmanager
def _replaced(by: object, *places: str) -> Iterator[None]:
    with ExitStack() as stack:
        for place in places:
            stack.enter_context(patch(place, by))
        yield


def _advance(by: object) -> Any:
    """Every name under which the engine is driven."""
    return _replaced(by, "cj_pipeline.runs.batch_run.advance", "cj_pipeline.services.cj.batch.steps.advance")


def orientation_is_off() -> Any:
    """The smaller id is always shown as A."""

    def orient(state: State, pairs: Sequence[Pair], kind: WaveKind) -> list[Pair]:
        return [(min(pair), max(pair)) for pair in pairs]

    return _replaced(orient, "cj_pipeline.engine.waves.next_wave.orient")


def orientation_is_a_coin() -> Any:
    """Fair in the long run, which no batch is."""

    def orient(state: State, pairs: Sequence[Pair], kind: WaveKind) -> list[Pair]:
        turned = (uniform("coin", len(state.waves), number) < 0.5 for number in range(len(pairs)))
        return [(b, a) if turn else (a, b) for (a, b), turn in zip(pairs, turned, strict=True)]

    return _replaced(orient, "cj_pipeline.engine.waves.next_wave.orient")


def duplicates_count() -> Any:
    """A callback that came twice is two in the batch's books."""
    repeats = 0

    def advance(state: State, callbacks: Iterable[Delivery]) -> Step:
        nonlocal repeats
        state, effects = engine.advance(state, callbacks)
        repeats += sum(isinstance(effect, Taken) and effect.kind is CallbackKind.DUPLICATE for effect in effects)
        # Only then: the engine's own decisions would stumble over books that do not balance.
        if any(isinstance(effect, Finalize) for effect in effects):
            state = replace(state, completed=state.completed + repeats)
        return state, effects

    return _advance(advance)


def ends_early() -> Any:
    """The batch is over with the first callback of its third wave, while the others are on their way."""

    def advance(state: State, callbacks: Iterable[Delivery]) -> Step:
        state, effects = engine.advance(state, callbacks)
        if state.finished or len(state.waves) != 3 or len(state.waves[-1].answers) != 1:
            return state, effects
        ended = replace(
            state,
            status=BatchStatus.COMPLETED,
            upload_status=UploadStatus.COMPLETE_STABLE,
            abandoned=state.pending,
            scores=rescore(state),
        )
        return ended, (*effects, Finalize(UploadStatus.COMPLETE_STABLE, "stable"))

    return _advance(advance)


def nothing_is_resampled() -> Any:
    """A net that is covered is a net that is done."""
    return _replaced(lambda state: 0, "cj_pipeline.engine.facts.resampling_cap")


def one_pass_is_enough() -> Any:
    """A small net gets what a regular one gets."""
    return _replaced(lambda state: 1, "cj_pipeline.engine.facts.resampling_cap")


def passes_are_not_counted() -> Any:
    """Passes are made until the budget is used up."""

    def ask(state: State, kind: WaveKind) -> Step | None:
        uncounted = replace(state, resampling_pass_count=0)
        comparisons = next_wave(uncounted, kind)
        return engine._submit(uncounted, kind, comparisons) if comparisons else None

    return _replaced(ask, "cj_pipeline.engine.engine._ask")


def orders_are_pairs() -> Any:
    """A pair that is shown both ways is covered twice."""

    def successful_pairs(state: State) -> int:
        return len({(c.essay_a, c.essay_b) for c in state.comparisons()})

    return _replaced(
        successful_pairs,
        "cj_pipeline.engine.facts.successful_pairs",
        "cj_pipeline.runs.record.successful_pairs",
        "cj_pipeline.services.cj.batch.stored_batch.successful_pairs",
    )


def hints_have_no_cap() -> Any:
    """A wave of 276 asks for a bundle of 276."""
    return _replaced(1_000, "cj_pipeline.engine.waves.requests.MAX_BUNDLE")


def hints_are_one() -> Any:
    """Every comparison asks to be alone."""
    return _replaced(1, "cj_pipeline.engine.waves.requests.MAX_BUNDLE")


def the_single_wave_is_a_matching() -> Any:
    """`provider_batch_api` gets the first wave of any other mode, and nothing more."""

    def first_wave(state: State) -> Any:
        return next_wave(state, WaveKind.COVERAGE)

    return _replaced(first_wave, "cj_pipeline.engine.engine.first_wave")


def the_single_wave_is_not_the_last() -> Any:
    """`provider_batch_api` goes on like any other mode."""

    def facts(*arguments: Any) -> Any:
        return replace(facts_of(*arguments), single_wave=False)

    def first_wave(state: State) -> Any:
        return next_wave(state, WaveKind.COVERAGE)

    context = ExitStack()
    context.enter_context(_replaced(facts, "cj_pipeline.engine.engine.facts_of"))
    context.enter_context(_replaced(first_wave, "cj_pipeline.engine.engine.first_wave"))
    return context


def the_requested_mode_is_lost() -> Any:
    """The service's own mode is used, whatever the request says."""
    return _replaced(
        lambda hint, override: None,
        "cj_pipeline.engine.waves.batching.requested_mode",
        "cj_pipeline.services.cj.intake.new_batch.requested_mode",
    )


def essay_a_is_the_one_that_lost() -> Any:
    """A verdict is taken for its opposite."""

    def answer(comparison: Comparison, delivery: Delivery) -> Answer:
        taken = answer_of(comparison, delivery)
        loser = comparison.essay_b if taken.winner == comparison.essay_a else comparison.essay_a
        return taken if taken.winner is None else replace(taken, winner=loser)

    return _replaced(answer, "cj_pipeline.engine.intake._answer")


class RepeatingBus(MemoryBus):
    """A bus that brings every tenth callback twice, as one does whose publisher crashed before it was told."""

    async def publish(self, topic: str, value: bytes, *, key: bytes | None = None) -> None:
        await super().publish(topic, value, key=key)
        if topic == COMPARISON_RESULT_TOPIC and len(self._logs[topic]) % 11 == 10:
            await super().publish(topic, value, key=key)
