"""This module runs a scenario twice: its recording through the engine, and the same net in front of the mock.

Both sides end in `replay`: the recorded side replays its trace, the live side the callbacks that the mock just gave.
The engine is pure, so the replay of a live batch takes the decisions that were taken while it ran.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.contracts.engine_settings import Pairing
from cj_pipeline.engine.effects import SubmitWave
from cj_pipeline.engine.engine import correlation_id
from cj_pipeline.engine.state import Batch, Comparison, PlannedPair, WaveKind
from cj_pipeline.engine.waves.plan import Plan, plan_of, repeated_pairs
from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.runs.batch_run import Progress, run_batch
from cj_pipeline.runs.record import RunDocument, RunRecord, Sample, Side, document_of
from cj_pipeline.runs.recorded_answers import AnswerColumns, answer_columns, follow
from cj_pipeline.traces.scenario import Scenario

if TYPE_CHECKING:
    from cj_pipeline.bus.protocol import Bus
    from cj_pipeline.mock.mode.mode import Mode
    from cj_pipeline.runs.judges import ProviderJudge
    from cj_pipeline.runs.remote import Deployment, NoCallbacks
    from cj_pipeline.runs.stack import Stack

Events = tuple[CallbackEvent, ...]


class StrangeEssay(CjPipelineError):
    """Callbacks about an essay which their scenario does not have."""


class Pace(StrEnum):
    """How time passes in a live run."""

    VIRTUAL = "virtual"
    """The loop jumps to its next timer: as fast as the machine computes."""
    REAL = "real"
    """An ordinary loop: as long as the latencies take."""


@dataclass(frozen=True, slots=True)
class JudgeIdentity:
    """What gave the answers of a run: a trace or a mode, and the digest of its content."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class LiveAnswers:
    """What the mock answered: the batch, its repeats, and the service's metrics at the end."""

    events: Events
    repeats: tuple[Events, ...]
    service_metrics: tuple[Sample, ...]


def replay(
    scenario: Scenario,
    events: Sequence[CallbackEvent],
    *,
    side: Side,
    judge: JudgeIdentity,
    seed: int | None = None,
    repeats: tuple[Events, ...] = (),
    service_metrics: tuple[Sample, ...] = (),
    quarantined_lines: int = 0,
    asked_batch_ids: tuple[str, ...] = (),
) -> RunRecord:
    """Feed callbacks through the engine, following the pairs they answer, under their own ids.

    Those that the engine does not come to, because its budget is spent or it has stopped, are answers all the same:
    they come last. seed: of the run that gave the callbacks; the scenario's by default. Raises StrangeEssay.
    """
    require_known_essays(scenario, events)
    document, order = replay_columns(
        scenario,
        answer_columns(event.data for event in events),
        side=side,
        judge=judge,
        seed=seed,
        service_metrics=service_metrics,
        quarantined_lines=quarantined_lines,
        asked_batch_ids=asked_batch_ids,
    )
    taken = set(order)
    rows = (*order, *(row for row in range(len(events)) if row not in taken))
    return RunRecord(document=document, events=tuple(events[row] for row in rows), repeats=repeats)


def replay_columns(
    scenario: Scenario,
    answers: AnswerColumns,
    *,
    side: Side,
    judge: JudgeIdentity,
    seed: int | None = None,
    service_metrics: tuple[Sample, ...] = (),
    quarantined_lines: int = 0,
    asked_batch_ids: tuple[str, ...] = (),
) -> tuple[RunDocument, list[int]]:
    """Feed callbacks of known essays through the engine as `replay` does.

    Returns what the engine made of them, and the rows that it took, in their order.
    """
    batch = _batch(scenario, scenario.batch.bos_batch_id, answers.plan(), seed, Pairing.RECORDED)
    state, order = follow(batch, answers)
    document = document_of(
        state,
        answers.rows(order),
        scenario_id=scenario.scenario_id,
        side=side,
        judge=judge.name,
        judge_sha256=judge.sha256,
        service_metrics=service_metrics,
        quarantined_lines=quarantined_lines,
        asked_batch_ids=asked_batch_ids,
    )
    return document, order


def ask_live(
    scenario: Scenario,
    recorded: Sequence[CallbackEvent],
    mode: Mode,
    *,
    seed: int | None = None,
    pace: Pace = Pace.VIRTUAL,
    bus: Bus | None = None,
    deployment: Deployment | None = None,
    label: str = "",
    same_ids: bool = False,
    progress: Progress | None = None,
) -> LiveAnswers:
    """Put the scenario's net to the mock, then its repeats: on an embedded stack, or on a deployed one.

    recorded: the trace, whose pairs are asked again where the scenario says `pairing: recorded`;
    bus: where an embedded stack's callbacks travel, a new one in memory by default;
    deployment: always in real time, whatever the pace. The seed is that of the batches; the service has its own;
    label: tells runs apart that one service answers; one label gives the same answers on any stack.
    same_ids: ask under the correlation ids of the trace, so that a mock gives the answers that it gave there.
    Callbacks that do not arrive within `live.callback_budget_s` are missing from the answer, and parity says so.
    Raises ServiceRefused when the service does not take a comparison; of a deployment also ServiceUnreachable,
    NoCallbacks, and BadInput when it runs another mode.
    """
    # Here: the services and their HTTP take a quarter of a second to import, and two files need none of them.
    from cj_pipeline.runs.remote import counted_since
    from cj_pipeline.runs.stack import stack_for
    from cj_pipeline.runs.virtual_time import run_real, run_virtual
    from cj_pipeline.services.lps.settings import LpsSettings

    drawn_from = scenario.live.seed if seed is None else seed

    async def ask() -> LiveAnswers:
        settings = LpsSettings(
            # The mock stands in for the provider that the scenario names, and answers under its name.
            use_mock_llm=True,
            mock_mode=mode.expression,
            mock_provider_seed=drawn_from,
            queue_processing_mode=scenario.service.queue_processing_mode,
            serial_bundle_max_requests_per_call=scenario.service.serial_bundle_max_requests_per_call,
            # Three messages a comparison that no side of parity looks at.
            publish_llm_usage_events=False,
            callback_topics=("*",),  # a scenario names its own, and nobody else can post
        )
        plan = plan_of([event.data for event in recorded], keep_ids=same_ids)
        async with stack_for(settings, mode, deployment, bus=bus, origin=scenario.batch.started_at) as stack:
            judge = await _provider_judge(scenario, stack)
            batch = _batch(scenario, live_batch_id(scenario, 0, label), plan, drawn_from, scenario.engine.pairing)
            _, events = await run_batch(batch, judge, progress)
            if deployment is not None and not events:
                raise _no_callbacks(scenario, deployment)
            repeats: list[Events] = []
            if (wanted := scenario.live.repeats) is not None:
                pairs = repeated_pairs(plan, wanted.comparisons)
                for number in range(1, wanted.batches + 1):
                    batch = _batch(scenario, live_batch_id(scenario, number, label), (), drawn_from, Pairing.RECORDED)
                    repeats.append(await _repeat(batch, pairs, judge, progress))
            # A fresh service of this process has counted by now; a deployed one may be about to.
            answered = 0 if deployment is None else len(events) + sum(map(len, repeats))
            metrics = await counted_since(stack.client, stack.metrics_before, answered)
        return LiveAnswers(events=events, repeats=tuple(repeats), service_metrics=metrics)

    return run_real(ask()) if pace is Pace.REAL or deployment is not None else run_virtual(ask())


def run_live(
    scenario: Scenario,
    recorded: Sequence[CallbackEvent],
    mode: Mode,
    *,
    seed: int | None = None,
    pace: Pace = Pace.VIRTUAL,
    deployment: Deployment | None = None,
    label: str = "",
    same_ids: bool = False,
    progress: Progress | None = None,
) -> RunRecord:
    """Return the record of what `ask_live` answers."""
    answers = ask_live(
        scenario,
        recorded,
        mode,
        seed=seed,
        pace=pace,
        deployment=deployment,
        label=label,
        same_ids=same_ids,
        progress=progress,
    )
    return replay(
        scenario,
        answers.events,
        side=Side.LIVE,
        judge=JudgeIdentity(mode.expression, mode.sha256()),
        seed=seed,
        repeats=answers.repeats,
        service_metrics=answers.service_metrics,
        asked_batch_ids=live_batch_ids(scenario, len(answers.repeats), label),
    )


def _no_callbacks(scenario: Scenario, deployment: Deployment) -> NoCallbacks:
    from cj_pipeline.runs.remote import CALLBACK_TOPIC, NoCallbacks

    topic, budget_s = CALLBACK_TOPIC, scenario.live.callback_budget_s
    return NoCallbacks(
        f"{deployment.url} took the comparisons, and within {budget_s:g} s no callback came on '{topic}' of the bus "
        "that was read. Is it the bus that the service publishes to? If it is, a run of this label may have been asked "
        "there before: each is answered once."
    )


async def _repeat(batch: Batch, pairs: list[PlannedPair], judge: ProviderJudge, progress: Progress | None) -> Events:
    """Ask one further batch, as one wave and without the engine: it measures the judge, not the decisions."""
    comparisons = tuple(
        Comparison(correlation_id(batch, 0, position), pair.essay_a, pair.essay_b, WaveKind.COVERAGE, 0)
        for position, pair in enumerate(pairs)
    )
    events: list[CallbackEvent] = []
    async for event in judge.judge(batch, SubmitWave(WaveKind.COVERAGE, 0, comparisons)):
        events.append(event)
        if progress is not None:
            progress(1)
    return tuple(events)


def comparisons_asked(scenario: Scenario, recorded: int) -> int:
    """Return how many comparisons a live run that follows a trace of this many will ask; for a progress bar."""
    repeats = scenario.live.repeats
    return min(recorded, scenario.engine.max_pairwise_comparisons) + (
        0 if repeats is None else repeats.batches * repeats.comparisons
    )


def live_batch_id(scenario: Scenario, number: int, label: str = "") -> str:
    """Return the batch id on the mock side; never one that a real batch has.

    number: 0 the batch itself, 1.. its repeats; label: tells runs apart that one service answers.
    """
    return "-".join(("live", scenario.scenario_id, *([label] if label else []), f"{number:03d}"))


def live_batch_ids(scenario: Scenario, repeats: int, label: str = "") -> tuple[str, ...]:
    """Return the batch ids of a live run: of the batch, then of its repeats."""
    return tuple(live_batch_id(scenario, number, label) for number in range(repeats + 1))


def _batch(scenario: Scenario, bos_batch_id: str, plan: Plan, seed: int | None, pairing: Pairing) -> Batch:
    return Batch(
        bos_batch_id=bos_batch_id,
        cj_batch_id=scenario.batch.cj_batch_id,
        items=tuple(sorted(item.id for item in scenario.net.items)),
        settings=scenario.engine.model_copy(update={"pairing": pairing}),
        seed=scenario.live.seed if seed is None else seed,
        plan=plan,
    )


async def _provider_judge(scenario: Scenario, stack: Stack) -> ProviderJudge:
    from cj_pipeline.contracts.comparison import LLMConfigOverrides
    from cj_pipeline.runs.judges import ProviderJudge

    provider = scenario.provider
    topic = stack.callback_topic or scenario.batch.callback_topic
    return ProviderJudge(
        stack.client,
        await stack.listen(topic),
        callback_topic=topic,
        overrides=LLMConfigOverrides(
            provider_override=provider.name,
            model_override=provider.model,
            temperature_override=provider.temperature,
            reasoning_effort=provider.reasoning_effort,
            output_verbosity=provider.output_verbosity,
        ),
        texts={item.id: placeholder_text(item.id) for item in scenario.net.items},
        budget_s=scenario.live.callback_budget_s,
    )


def require_known_essays(scenario: Scenario, events: Sequence[CallbackEvent]) -> None:
    """Raise StrangeEssay for the first callback about an essay that is not in the net."""
    known = {item.id for item in scenario.net.items}
    for event in events:
        for essay in event.data.essay_ids():
            if essay not in known:
                raise StrangeEssay(
                    f"callback {event.data.request_id} is about '{essay}', which is not in the net of "
                    f"'{scenario.scenario_id}'. Add it to net.items, or compare it with its own scenario."
                )


def placeholder_text(essay_id: str) -> str:
    """Return a text for an essay whose own is not part of its scenario: a distinct one, without the essay's name."""
    return f"(The text of this essay is not part of the scenario; placeholder {keyed_uuid('essay', essay_id)}.)"
