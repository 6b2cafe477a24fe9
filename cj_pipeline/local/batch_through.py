"""From a scenario to a verdict on the whole stack: drive a batch, capture it, replay it, make its twin, compare.

Here: the order of these. Not here: any of them (drive.py, collect.py, twin.py, verdict.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cj_pipeline.bus.kafka.bus import KafkaBus
from cj_pipeline.bus.kafka.settings import KafkaSettings, kafka_settings_from_environment
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.local.collect import captured_batch
from cj_pipeline.local.drive import Driven, batch_id_of, drive, scenario_texts
from cj_pipeline.local.stack_file import StackPlan
from cj_pipeline.local.stack_plan import KAFKA
from cj_pipeline.local.twin import twin_of
from cj_pipeline.local.verdict import Finding, findings
from cj_pipeline.runs.record import Side
from cj_pipeline.runs.scenario_run import JudgeIdentity, replay
from cj_pipeline.traces.scenario import Scenario


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What became of one batch.

    outcome: a sentence; trace: the captured folder; seconds: from the request to the last event;
    ranking: essay id, rank and score in logits as published, empty for a failed batch.
    """

    bos_batch_id: str
    outcome: str
    trace: Path
    seconds: float
    ranking: tuple[tuple[str, int, float], ...]
    findings: tuple[Finding, ...]

    @property
    def agrees(self) -> bool:
        """Whether everything that was held together is alike."""
        return all(finding.holds for finding in self.findings)

    def document(self) -> dict[str, Any]:
        """As one JSON document."""
        return {**asdict(self), "trace": str(self.trace), "agrees": self.agrees}


def batch_through(
    plan: StackPlan,
    scenario: Scenario,
    label: str,
    *,
    output_dir: Path,
    timeout_s: float,
    told: Callable[[str], None] = lambda _: None,
) -> BatchReport:
    """Drive the scenario's net through the stack, and hold what comes of it against its embedded twin.

    label: one that no batch had before; output_dir: gets the captured trace as a folder of its own;
    told: called with a sentence as each step begins.
    Raises NotFinished, BadInput where there is a trace of that label, NotWhole, and whatever capture raises.
    """
    bos_batch_id, trace_id = batch_id_of(scenario, label), f"stack_{scenario.scenario_id}_{label}"
    if (output_dir / trace_id).exists():
        # Found out in a moment instead of after the batch; the CJ service would not even begin the same one again.
        raise BadInput("is there already.", path=output_dir / trace_id, remedy="Give the batch another --label.")
    kafka = (
        KafkaSettings(bootstrap_servers=plan.bootstrap_servers)
        if KAFKA in plan.ports  # the stack's own, which wants nothing that the environment says of another
        else kafka_settings_from_environment(bootstrap_servers=plan.bootstrap_servers)
    )

    async def driven() -> Driven:
        bus = KafkaBus(kafka)
        try:
            return await drive(plan, scenario, bos_batch_id, bus, timeout_s=timeout_s)
        finally:
            await bus.aclose()

    told(f"{bos_batch_id}: asked on {plan.bootstrap_servers}")
    began = time.perf_counter()
    batch = asyncio.run(driven())
    seconds = time.perf_counter() - began
    told(f"over after {seconds:.1f} s; capturing")
    trace = captured_batch(
        kafka,
        scenario,
        plan.traces_dir / scenario.scenario_id,
        bos_batch_id,
        trace_id,
        output_dir,
    )
    told("replaying, and judging the same batch on the embedded stack")
    events = [line.event for line in trace.callbacks.events]
    replayed = replay(scenario, events, side=Side.RECORDED, judge=JudgeIdentity(bos_batch_id, trace.sha256))
    twin = twin_of(batch.request, scenario_texts(scenario), plan.cj, plan.lps, cj_batch_id=batch.cj_batch_id)
    return BatchReport(
        bos_batch_id=bos_batch_id,
        outcome="completed" if batch.failure is None else f"failed: {batch.failure}",
        trace=trace.folder,
        seconds=seconds,
        ranking=_ranking(batch),
        findings=findings(batch, events, replayed, twin),
    )


def _ranking(batch: Driven) -> tuple[tuple[str, int, float], ...]:
    results = () if batch.result is None else batch.result.essay_results
    return tuple((essay.essay_id, essay.rank, essay.bt_score) for essay in results)
