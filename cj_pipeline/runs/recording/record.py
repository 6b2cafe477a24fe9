"""This module records a real judge: run after run, resumable, within a spend limit, into one trace folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event as Flag

from cj_pipeline.bus.protocol import Subscription
from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.contracts.engine_settings import EngineSettings, MetadataHint, Pairing
from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.engine.state import Batch, PlannedPair, State
from cj_pipeline.engine.waves.plan import Plan
from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.runs.batch_run import run_batch
from cj_pipeline.runs.recording.asking import PATIENCE_S, Asked, JudgeAway, RecordingJudge, Session
from cj_pipeline.runs.recording.books import Books, JudgeBehindLps, require_key, require_price
from cj_pipeline.runs.recording.design import all_pairs
from cj_pipeline.runs.recording.draft import RecordingDraft, draft_folder
from cj_pipeline.runs.recording.publishing import publish, publish_addition
from cj_pipeline.runs.recording.request import RecordingRequest, require_usable
from cj_pipeline.runs.remote import DistinctMessages
from cj_pipeline.runs.stack import Stack
from cj_pipeline.runs.virtual_time import run_real
from cj_pipeline.traces.captured_scenario import require_choices
from cj_pipeline.traces.draft import disk_errors_in_words
from cj_pipeline.traces.writing import WrittenTrace


class RecordingStopped(CjPipelineError):
    """A recording was stopped before its end; what was answered is kept. answered, wanted: comparisons of all runs."""

    def __init__(self, why: str, answered: int, wanted: int, remedy: str) -> None:
        self.answered = answered
        super().__init__(f"{why}: {answered} of {wanted} comparisons are answered and kept. {remedy}")


@dataclass(frozen=True, slots=True)
class RecordingProgress:
    """How far a recording is. answered, wanted: comparisons of all runs; new: whether it was asked in this session.

    spent_usd: the most that it can have cost; None where the price is unknown.
    """

    run: int
    answered: int
    wanted: int
    event: CallbackEvent
    spent_usd: float | None


OnProgress = Callable[[RecordingProgress], None]


def record(
    request: RecordingRequest,
    judge: JudgeBehindLps,
    *,
    on_progress: OnProgress = lambda _: None,
    stop: Flag | None = None,
    patience_s: float = PATIENCE_S,
) -> WrittenTrace:
    """Record a judge into the folder `request.target`, which is there afterwards, whole, or not at all.

    A recording that was begun goes on where it was. on_progress: called with each answer. stop: set by anybody, it
    ends the asking once what is in flight is answered.
    Raises BadInput: a request that cannot be meant, a target in the way, a draft of another request, a limit without
    a price; RecordingStopped: by `stop` or by the limit; JudgeAway.
    """
    require_usable(request)
    require_choices(request.choices)
    require_price(request, judge)
    require_key(judge)
    if request.addition is None and request.target.exists():
        raise BadInput(
            "is there already.", path=request.target, remedy="Choose another scenario id, or move the folder away."
        )
    with disk_errors_in_words(draft_folder(request.target)), RecordingDraft(request) as draft:
        flag = Flag() if stop is None else stop
        try:
            broke = run_real(_ask(request, draft, judge, on_progress, flag, patience_s))
        except JudgeAway:
            if not (judge.answers_once or any(run.taken for run in draft.runs) or draft.exposure_usd):
                draft.discard()  # nothing was recorded, so nothing binds the next try
            raise
        answered, wanted = sum(run.taken for run in draft.runs), request.comparisons_a_run * request.runs
        if answered < wanted:
            raise _stopped(request, draft, answered, wanted, broke)
        add_or_publish = publish if request.addition is None else publish_addition
        written = add_or_publish(request, draft, judge)
        draft.discard()
        return written


def _stopped(request: RecordingRequest, draft: RecordingDraft, answered: int, wanted: int, broke: bool) -> Exception:
    if broke:
        why = f"the spend limit of {request.budget_usd:g} USD allows no further comparison"
        why += f" ({draft.exposure_usd:.4f} USD are spent at most)"
        return RecordingStopped(why, answered, wanted, "Go on with the same command and a higher --budget-usd.")
    return RecordingStopped("stopped", answered, wanted, "Go on with the same command.")


async def _ask(
    request: RecordingRequest,
    draft: RecordingDraft,
    judge: JudgeBehindLps,
    on_progress: OnProgress,
    stop: Flag,
    patience_s: float,
) -> bool:
    """Ask every run, and return whether the limit ended it."""
    books = Books(draft.exposure_usd, request.budget_usd, judge)
    async with judge.entered(books.purse, sum(run.calls for run in draft.runs)) as (stack, meter):
        books.meter = meter
        topic = stack.callback_topic or COMPARISON_RESULT_TOPIC
        subscription = await _listen(stack, topic, judge, draft)
        plan = None if request.chosen_by_engine else _planned(request)
        first = 1 if request.addition is None else request.addition.number
        for number, run in enumerate(draft.runs, start=1):
            books.turn_to(run)

            def on_callback(event: CallbackEvent, number: int = number) -> None:
                books.came(event)
                answered = sum(one.taken for one in draft.runs)
                spent = None if judge.price is None else books.purse.spent
                wanted = request.comparisons_a_run * request.runs
                on_progress(RecordingProgress(first + number - 1, answered, wanted, event, spent))

            asker = RecordingJudge(
                Session(
                    client=stack.client,
                    subscription=subscription,
                    callback_topic=topic,
                    concurrency=request.concurrency,
                    affords=books.affords,
                    broke=lambda: books.purse.refused,
                    nobody_there=lambda: meter.nobody_there,
                    stop=stop,
                    on_asked=books.asked,
                    on_callback=on_callback,
                    patience_s=patience_s,
                ),
                run,
                Asked(request.prompt, request.essays.texts, request.overrides()),
            )
            state, _ = await run_batch(_batch(request, draft.batch_id(number), plan), asker)
            if not (stop.is_set() or books.purse.refused):
                asker.finish()
            if run.taken < request.comparisons_a_run:
                return asker.out_of_money or books.purse.refused
            plan = plan or _same_again(state)
    return False


async def _listen(stack: Stack, topic: str, judge: JudgeBehindLps, draft: RecordingDraft) -> Subscription:
    """Return a reader of callbacks. A service that answers once may have answered while nobody listened."""
    if not judge.answers_once:
        return await stack.listen(topic)
    first = draft.runs[0]
    if first.noted("topic_ends") is None:
        first.note("topic_ends", {str(number): end for number, end in (await stack.bus.end(topic)).items()})
    ends = {int(number): end for number, end in first.noted("topic_ends").items()}
    return DistinctMessages(stack.bus.subscribe(topic, ends))


def _planned(request: RecordingRequest) -> Plan:
    if request.addition is not None:
        return request.addition.plan
    return all_pairs(list(request.essays.texts), request.seed, both_orders=request.both_orders)


def _same_again(state: State) -> Plan:
    """Return what a run was asked, for a run that is to be asked the same."""
    return tuple(tuple(PlannedPair(one.essay_a, one.essay_b) for one in wave.comparisons) for wave in state.waves)


def _batch(request: RecordingRequest, batch_id: str, plan: Plan | None) -> Batch:
    """Return the batch of one run: a plan to its end, or as many comparisons as the engine may choose."""
    wanted = request.comparisons_a_run
    settings = EngineSettings(
        pairing=Pairing.BALANCED if plan is None else Pairing.RECORDED,
        max_pairwise_comparisons=wanted,
        # A recording goes on whatever the scores do, and asks nothing for the engine's own reasons.
        min_comparisons_for_stability_check=wanted + 1,
        min_success_rate_threshold=0.0,
        max_resampling_passes_for_small_net=0,
        max_resampling_passes_for_regular_batch=0,
        enable_failed_comparison_retry=False,
        metadata_hints=(
            MetadataHint.CJ_BATCH_ID,
            MetadataHint.CJ_SOURCE,
            MetadataHint.CJ_REQUEST_TYPE,
            MetadataHint.ITERATION,
        ),
    )
    return Batch(
        bos_batch_id=batch_id,
        cj_batch_id=0,
        items=tuple(sorted(request.essays.texts)),
        settings=settings,
        seed=request.seed,
        plan=plan or (),
    )
