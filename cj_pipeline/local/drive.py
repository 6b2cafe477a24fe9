"""This module asks a running stack for one batch, as the essay lifecycle service does, and waits for its end.

What the batch is compared with is in driven_batch.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cj_pipeline.bus.kafka.bus import KafkaBus
from cj_pipeline.bus.kafka.settings import KafkaSettings
from cj_pipeline.contracts.els_request import (
    ASSESSMENT_REQUEST_TOPIC,
    AssessmentOverrides,
    AssessmentRequestEvent,
    AssessmentRequestV1,
    EssayReference,
)
from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.local.content import CONTENT_PATH
from cj_pipeline.mock.mode.mode import Mode
from cj_pipeline.runs.cj_service import CjAnswer, ask_cj, store_texts
from cj_pipeline.runs.remote import Deployment, deployed
from cj_pipeline.runs.scenario_run import placeholder_text
from cj_pipeline.traces.scenario import Scenario

SOURCE_SERVICE = "essay_lifecycle_service"
_OWNER = "cj-pipeline-stack"

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class StackAddress:
    """Where a running stack is reached. kafka: the cluster that both services use."""

    content_url: str
    lps_url: str
    kafka: KafkaSettings


@dataclass(frozen=True, slots=True)
class DriveRequest:
    """One batch. scenario_folder: of the scenario, whose net and settings the captured trace takes over.

    label: one label, one batch: ids and answers follow from it; output_dir: gets the captured trace as a new folder;
    timeout_s: seconds that the batch may take.
    """

    scenario: Scenario
    scenario_folder: Path
    mode: Mode
    label: str
    output_dir: Path
    timeout_s: float

    @property
    def bos_batch_id(self) -> str:
        """Return the batch's id on the stack."""
        return f"stack-{self.scenario.scenario_id}-{self.label}"

    @property
    def trace_id(self) -> str:
        """Return the scenario id of the captured trace."""
        return f"stack_{self.scenario.scenario_id}_{self.label}"


def assessment_request(request: DriveRequest, storage_ids: Mapping[str, str]) -> AssessmentRequestEvent:
    """Return the event that asks for the scenario's net, with what the wire can say of its judge and settings.

    storage_ids: of the stored texts, by essay id. The net's known grades are not sent: the CJ service takes grades from
    anchors that are registered with an assignment, and gives those ids of its own.
    """
    scenario, bos_batch_id = request.scenario, request.bos_batch_id
    engine, provider = scenario.engine, scenario.provider
    event_id = keyed_uuid("stack-request", bos_batch_id)
    return AssessmentRequestEvent(
        event_id=event_id,
        event_type=ASSESSMENT_REQUEST_TOPIC,
        event_timestamp=utc_now(),
        source_service=SOURCE_SERVICE,
        # The seed of the batch, and with it every correlation id, follows from this one.
        correlation_id=keyed_uuid("stack-correlation", bos_batch_id),
        data=AssessmentRequestV1(
            entity_id=bos_batch_id,
            essays_for_cj=tuple(
                EssayReference(essay_id=item.id, text_storage_id=storage_ids[item.id]) for item in scenario.net.items
            ),
            language="en",
            course_code="ENG5",
            user_id=_OWNER,
            llm_config_overrides=AssessmentOverrides(
                provider_override=provider.name,
                model_override=provider.model,
                temperature_override=provider.temperature,
                reasoning_effort=provider.reasoning_effort,
                output_verbosity=provider.output_verbosity,
            ),
        ),
        metadata={
            "max_comparisons": engine.max_pairwise_comparisons,
            "batch_config_overrides": {"llm_batching_mode_override": engine.llm_batching_mode.value},
        },
    )


async def ask_stack(stack: StackAddress, request: DriveRequest, report: Report) -> CjAnswer:
    """Ask for the batch, and wait for its end.

    Raises NotFinished after the request's time, when the batch may still end; ServiceUnreachable where nobody answers.
    """
    deployment = Deployment(stack.lps_url, lambda: KafkaBus(stack.kafka), notice=report, takes_mode=True)
    async with deployed(deployment, request.mode, request.scenario.service.queue_processing_mode) as lps:
        storage_ids = await store_texts(f"{stack.content_url}{CONTENT_PATH}", scenario_texts(request.scenario))
        return await ask_cj(lps, assessment_request(request, storage_ids), request.timeout_s)


def scenario_texts(scenario: Scenario) -> dict[str, str]:
    """Return by essay id the text that an embedded run shows for each essay."""
    return {item.id: placeholder_text(item.id) for item in scenario.net.items}
