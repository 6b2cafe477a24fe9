"""This module holds what production's suites of a CJ service ask: a net, a budget, the mode of the LPS.

What must come of it is in cj_rules.py. The names of suites are those of production's script.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cj_pipeline.contracts.els_request import (
    ASSESSMENT_REQUEST_TOPIC,
    AssessmentRequestEvent,
    AssessmentRequestV1,
    EssayReference,
)
from cj_pipeline.contracts.enums import LLMBatchingMode, QueueProcessingMode
from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.seeding import keyed_uuid

_SERIAL = QueueProcessingMode.SERIAL_BUNDLE
_GENERIC = "cj_generic_batch"
_GENERIC_TRACE = "cj_lps_roundtrip_mock_20251205"

REGULAR_NET = tuple(f"essay-{number:02d}" for number in range(1, 25))
SMALL_NET = tuple(f"eng5-lower5-anchor-{number:02d}" for number in range(1, 6))


@dataclass(frozen=True, slots=True)
class CjCase:
    """One batch. mode, strategy: which the LPS must run; scenario_id: whose profile the guardrails are of.

    budget: comparisons at most; hint: the batching mode that the request asks for; budget_s: production's time.
    most_skew: largest share by which an essay may stand more often in one place, None where it is not asked;
    passes: resampling passes over the whole net that must be made, None where it is not asked.
    """

    name: str
    scenario_id: str
    mode: str
    strategy: QueueProcessingMode
    essays: tuple[str, ...]
    budget: int
    budget_s: float
    hint: LLMBatchingMode | None = None
    most_skew: float | None = None
    passes: int | None = None

    @property
    def pairs(self) -> int:
        """Pairs that there are."""
        return len(self.essays) * (len(self.essays) - 1) // 2

    @property
    def batching_mode(self) -> LLMBatchingMode:
        """The mode in which the batch is to be asked."""
        return self.hint or LLMBatchingMode.SERIAL_BUNDLE


CASES: Mapping[str, tuple[CjCase, ...]] = {
    "regular": (
        CjCase("resampling", _GENERIC_TRACE, _GENERIC, _SERIAL, REGULAR_NET, 288, 600.0, most_skew=0.2),
        CjCase("callbacks", _GENERIC_TRACE, _GENERIC, _SERIAL, REGULAR_NET, 288, 600.0),
    ),
    "small-net": (
        CjCase(
            "small-net",
            "eng5_lower5_gpt51_low_20251202",
            "eng5_lower5_gpt51_low",
            _SERIAL,
            SMALL_NET,
            60,
            360.0,
            most_skew=0.1,
            passes=3,
        ),
    ),
    "batch-api": (
        CjCase(
            "provider-batch",
            _GENERIC_TRACE,
            _GENERIC,
            QueueProcessingMode.BATCH_API,
            REGULAR_NET,
            60,
            600.0,
            hint=LLMBatchingMode.PROVIDER_BATCH_API,
        ),
    ),
}


def bos_batch_id(case: CjCase, label: str) -> str:
    """Return the batch's id. label: of this run; a CJ service begins a batch once."""
    return f"bos-suite-{case.name}-{label}"


def text_of(essay: str) -> str:
    """Return a text that stands for one essay and no other."""
    return f"Words that stand for one essay and no other, {keyed_uuid('suite-words', essay)}."


def request_of(case: CjCase, storage_ids: Mapping[str, str], label: str) -> AssessmentRequestEvent:
    """Return the event with which the batch begins. storage_ids: of the stored texts, by essay."""
    batch = bos_batch_id(case, label)
    metadata: dict[str, object] = {"max_comparisons": case.budget}
    if case.hint is not None:
        metadata["llm_batching_mode_hint"] = case.hint.value
        metadata["batch_config_overrides"] = {"llm_batching_mode_override": case.hint.value}
    return AssessmentRequestEvent(
        event_id=keyed_uuid("suite-request", batch),
        event_type=ASSESSMENT_REQUEST_TOPIC,
        event_timestamp=utc_now(),
        source_service="eng5_np_batch_runner",
        correlation_id=keyed_uuid("suite-correlation", batch),
        data=AssessmentRequestV1(
            entity_id=batch,
            essays_for_cj=tuple(
                EssayReference(essay_id=essay, text_storage_id=storage_ids[essay]) for essay in case.essays
            ),
            language="en",
            course_code="ENG5",
            user_id="cj-pipeline-suite",
        ),
        metadata=metadata,
    )
