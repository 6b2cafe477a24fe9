"""This module asks the judge of an embedded run: wave after wave, resumable, within a time and a spend limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event as Flag

from cj_pipeline.contracts.callback import CallbackEvent, Rejection, parse_callback
from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.eng5.counters import counted
from cj_pipeline.eng5.design import Design
from cj_pipeline.eng5.draft import Draft
from cj_pipeline.eng5.facts import Answers
from cj_pipeline.eng5.judges import MockJudge
from cj_pipeline.eng5.options import RunnerOptions
from cj_pipeline.engine.state import Batch
from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.runs.batch_run import run_batch
from cj_pipeline.runs.recording.asking import PATIENCE_S, Asked, RecordingJudge, Session
from cj_pipeline.runs.recording.books import Books, JudgeBehindLps, require_key
from cj_pipeline.runs.recording.spending import OpenPurse, Purse
from cj_pipeline.runs.virtual_time import run_real, run_virtual

TIMED_OUT = "the time was over"
STOPPED = "it was stopped"
OUT_OF_MONEY = "the spend limit was reached"
NO_ANSWER = "the service gave comparisons back unanswered"

COUNTERS = "counters"
"""Under which a draft has what the service counted."""


class NoPrice(CjPipelineError):
    """A spend limit for a model whose price nobody knows."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. wanted: comparisons, at most; None where a service decides; spent_usd: None where unknown."""

    answered: int
    wanted: int | None
    event: CallbackEvent
    spent_usd: float | None


OnProgress = Callable[[Progress], None]


def ask(
    options: RunnerOptions,
    design: Design,
    draft: Draft,
    judge: JudgeBehindLps,
    on_progress: OnProgress,
    stop: Flag,
    open_purse: OpenPurse = Purse,
) -> Answers:
    """Ask what is still to be asked, and return everything that was answered, in this session and before.

    open_purse: of the purse that is spent from. stop: set by anybody, it ends the asking once what is in flight is
    answered, as the time-out does. Raises BadInput without a key, NoPrice, and JudgeAway where nobody answers; what was
    answered is kept.
    """
    require_key(judge)
    if options.judging.budget_usd is not None and judge.price is None:
        raise NoPrice(f"nobody knows what {judge.judge.model} costs, so no spend limit could hold. Leave it out.")
    run = run_virtual if isinstance(judge, MockJudge) else run_real
    partial, spent = run(_ask(options, design, draft, judge, on_progress, stop, open_purse))
    raw = tuple(draft.answers.lines())
    return Answers(
        events=tuple(parsed(line) for line in raw),
        raw=raw,
        wanted=design.wanted,
        partial=partial,
        timed_out=partial == TIMED_OUT,
        asked_again=draft.answers.asked_again,
        spent_usd=spent,
        counters=draft.answers.noted(COUNTERS) or {},
    )


async def _ask(
    options: RunnerOptions,
    design: Design,
    draft: Draft,
    judge: JudgeBehindLps,
    on_progress: OnProgress,
    stop: Flag,
    open_purse: OpenPurse,
) -> tuple[str | None, float | None]:
    """Ask, and return why the run ended too early, and what was spent at most."""
    kept = draft.answers
    books = Books(kept.exposure_usd, options.judging.budget_usd, judge, open_purse)
    over = Flag()
    timer = asyncio.get_running_loop().call_later(options.timeout_s, over.set)
    async with judge.entered(books.purse, kept.calls) as (stack, meter):
        books.meter = meter
        books.turn_to(kept)
        topic = stack.callback_topic or COMPARISON_RESULT_TOPIC

        def on_callback(event: CallbackEvent) -> None:
            books.came(event)
            spent = None if judge.price is None else books.purse.spent
            on_progress(Progress(kept.taken, design.wanted, event, spent))

        asker = RecordingJudge(
            Session(
                client=stack.client,
                subscription=await stack.listen(topic),
                callback_topic=topic,
                concurrency=options.in_flight,
                affords=books.affords,
                broke=lambda: books.purse.refused,
                nobody_there=lambda: meter.nobody_there,
                stop=_AnyOf(stop, over),
                on_asked=books.asked,
                on_callback=on_callback,
                patience_s=PATIENCE_S,
            ),
            kept,
            Asked(design.prompt, design.asked.texts, options.overrides().model_copy(update=_asked_of(judge))),
        )
        try:
            state, _ = await run_batch(_batch(options, design, draft), asker)
        finally:
            timer.cancel()
            kept.note(COUNTERS, await counted(stack.client, kept.noted(COUNTERS) or {}))
        if state.finished:
            asker.finish()
    broke = books.purse.refused or asker.out_of_money
    partial = None if state.finished else _why(over=over.is_set(), stopped=stop.is_set(), broke=broke)
    return partial, None if judge.price is None else books.purse.exposure


def _why(*, over: bool, stopped: bool, broke: bool) -> str:
    return TIMED_OUT if over else STOPPED if stopped else OUT_OF_MONEY if broke else NO_ANSWER


def _asked_of(judge: JudgeBehindLps) -> dict[str, object]:
    """Return who is asked by name: a run without a model asks the provider's default."""
    return {"provider_override": judge.judge.provider, "model_override": judge.judge.model}


class _AnyOf(Flag):
    """A flag that is set where one of several is."""

    def __init__(self, *flags: Flag) -> None:
        super().__init__()
        self._flags = flags

    def is_set(self) -> bool:
        """Return whether one of them is."""
        return any(flag.is_set() for flag in self._flags)


def _batch(options: RunnerOptions, design: Design, draft: Draft) -> Batch:
    return Batch(
        bos_batch_id=str(draft.identity.batch_uuid),
        cj_batch_id=0,
        items=tuple(sorted(design.asked.essays)),
        settings=design.settings,
        seed=options.judging.seed,
        plan=design.plan,
    )


def parsed(line: bytes) -> CallbackEvent:
    """Return an answer that was kept."""
    event = parse_callback(line)
    if isinstance(event, Rejection):
        raise AssertionError(f"an answer that was kept cannot be read again: {event.field}")
    return event
