"""What the suites ask: a net, the settings of both services, and the request that starts the batch.

Here: the cases. Not here: what must come of them (rules.py), where they run (targets.py).

Nets, budgets, passes and modes are those that production's suites are run with. LOWER5 never stops for being stable
(a floor of 61 comparisons is above its budget of 60), nor do the cases that are about a whole budget.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from cj_pipeline.contracts.els_request import ASSESSMENT_REQUEST_TOPIC
from cj_pipeline.contracts.enums import LLMBatchingMode, QueueProcessingMode
from cj_pipeline.foundation.seeding import keyed_uuid
from tests.sides import LOWER5 as LOWER5_SCENARIO
from tests.sides import scenario

# What the engine asks for; the service answers for every provider with its mock, as production's does in its suites.
PROVIDER = "openai"
MODEL = "gpt-5.1"

REGULAR = tuple(f"essay-{number:02d}" for number in range(1, 25))
LOWER5 = tuple(sorted(item.id for item in scenario(LOWER5_SCENARIO).net.items))


@dataclass(frozen=True)
class Case:
    """One batch. mode: of the mock; engine: settings of the CJ side; max_comparisons, hint: of the request.

    lps: settings of the LPS. budget_s: from the request to the last event, on the loop's clock; production's.
    """

    name: str
    essays: tuple[str, ...]
    mode: str
    budget_s: float
    engine: Mapping[str, Any] = field(default_factory=dict)
    max_comparisons: int | None = None
    hint: str | None = None
    lps: Mapping[str, Any] = field(default_factory=dict)

    @property
    def bos_batch_id(self) -> str:
        return f"bos-suite-{self.name}"

    @property
    def correlation_id(self) -> str:
        return str(keyed_uuid("suite", self.name))

    @property
    def budget(self) -> int:
        """Comparisons that the batch may ask in all."""
        allowed = int(self.engine["max_pairwise_comparisons"])
        return allowed if self.max_comparisons is None else min(allowed, self.max_comparisons)

    @property
    def pairs(self) -> int:
        return len(self.essays) * (len(self.essays) - 1) // 2

    @property
    def asked_in(self) -> LLMBatchingMode:
        """The mode in which the batch is to be asked."""
        return LLMBatchingMode(self.hint or LLMBatchingMode.SERIAL_BUNDLE)

    @property
    def answered_in(self) -> QueueProcessingMode:
        """The mode in which the LPS is to work."""
        return QueueProcessingMode(self.lps["queue_processing_mode"])

    def with_engine(self, **settings: Any) -> Case:
        """The same case with other settings of the CJ side."""
        return replace(self, engine=MappingProxyType({**self.engine, **settings}))

    def text_of(self, essay: str) -> str:
        return f"Words that stand for one essay and no other, {keyed_uuid('words', essay)}."

    def request(self, now: datetime) -> bytes:
        """The event with which the batch begins. now: aware."""
        metadata: dict[str, Any] = {}
        if self.max_comparisons is not None:
            metadata["max_comparisons"] = self.max_comparisons
        if self.hint is not None:
            metadata["llm_batching_mode_hint"] = self.hint
            metadata["batch_config_overrides"] = {"llm_batching_mode_override": self.hint}
        document = {
            "event_id": str(keyed_uuid("suite-request", self.name)),
            "event_type": ASSESSMENT_REQUEST_TOPIC,
            "event_timestamp": now.isoformat(),
            "source_service": "eng5_np_batch_runner",
            "correlation_id": self.correlation_id,
            "metadata": metadata or None,
            "data": {
                "entity_id": self.bos_batch_id,
                "essays_for_cj": [
                    {"essay_id": essay, "text_storage_id": storage_id} for storage_id, essay in self.stored().items()
                ],
                "language": "en",
                "course_code": "ENG5",
                "user_id": "suite-teacher",
                "org_id": "suite-school",
            },
        }
        return json.dumps(document).encode()

    def stored(self) -> dict[str, str]:
        """Essays by the ids of their stored texts."""
        return {keyed_uuid("text", essay).hex: essay for essay in self.essays}


SERIAL_BUNDLES = {"queue_processing_mode": "serial_bundle"}

# What both regular suites and the small net have in common; production's settings for them.
_ENGINE = {
    "llm_batching_mode": "serial_bundle",
    "enable_llm_batching_metadata_hints": True,
    "pair_generation_seed": 42,
    "max_pairwise_comparisons": 288,
}
_NEVER_STABLE = {"min_comparisons_for_stability_check": 10_000}

CALLBACKS = Case("callbacks", REGULAR, "cj_generic_batch", 600.0, engine=_ENGINE, lps=SERIAL_BUNDLES)

RESAMPLING = Case("resampling", REGULAR, "cj_generic_batch", 600.0, engine=_ENGINE | _NEVER_STABLE, lps=SERIAL_BUNDLES)

# Every pair twice: the least number of comparisons after which no essay need be shown more often in one place.
TWICE = replace(RESAMPLING, name="twice", engine=_ENGINE | _NEVER_STABLE | {"max_pairwise_comparisons": 552})

SMALL_NET = Case(
    "small-net",
    LOWER5,
    "eng5_lower5_gpt51_low",
    360.0,
    engine=_ENGINE
    | {
        "min_resampling_net_size": 5,
        "max_resampling_passes_for_small_net": 3,
        "min_comparisons_for_stability_check": 61,
    },
    max_comparisons=60,
    lps=SERIAL_BUNDLES,
)

PROVIDER_BATCH = Case(
    "provider-batch",
    REGULAR,
    "cj_generic_batch",
    600.0,
    engine=_ENGINE,
    max_comparisons=60,
    hint="provider_batch_api",
    lps={"queue_processing_mode": "batch_api"},
)
