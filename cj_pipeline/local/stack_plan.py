"""This module turns a scenario into the plan of a stack that judges it: ports, and the settings of both services.

Both services are set up by the scenario, because the wire carries only part of it: a request can name the judge, the
budget and the batching mode, but neither the mock's mode and seed nor the engine's thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cj_pipeline.contracts.engine_settings import EngineSettings
from cj_pipeline.contracts.topics import CALLBACK_TOPICS
from cj_pipeline.local.content import CONTENT_PATH
from cj_pipeline.local.ports import LOOPBACK
from cj_pipeline.traces.scenario import Scenario

KAFKA = "kafka"
DAGSTER = "dagster"

DEFAULT_PORTS: Mapping[str, int] = {KAFKA: 9092, "content": 8081, "lps": 8080, "cj": 9090, DAGSTER: 3000}
"""By part, in the order in which the parts are started: those at which `lps serve`, `cj serve` and Dagster listen."""

# The CJ service pairs by itself, and draws its pairs from the request's seed.
_ENGINE_FIELDS = EngineSettings.model_fields.keys() - {"pairing", "pair_generation_seed"}


@dataclass(frozen=True, slots=True)
class StackPlan:
    """What a stack is made of.

    mode_expression: of the mock, files by their absolute path; ports: by part, DEFAULT_PORTS where none is given;
    kafka: brokers that somebody else runs, None for one of the stack's own;
    database_url, redis_url: None for SQLite below the data folder, and for a queue in memory;
    datasets: address of what Dagster's runs write, where it is not the data folder.
    """

    scenario: Scenario
    mode_expression: str
    traces_dir: Path
    data_dir: Path
    ports: Mapping[str, int] = field(default_factory=dict)
    with_dagster: bool = True
    kafka: str | None = None
    database_url: str | None = None
    redis_url: str | None = None
    datasets: str = ""

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the parts that this stack has, in the order in which they are started."""
        left_out = {KAFKA} if self.kafka is not None else set()
        left_out |= set() if self.with_dagster else {DAGSTER}
        return tuple(part for part in DEFAULT_PORTS if part not in left_out)

    @property
    def folder(self) -> Path:
        """Return the folder of everything that the stack writes."""
        return self.data_dir.absolute() / "stack"

    @property
    def bootstrap_servers(self) -> str:
        """Return the brokers, as clients take them."""
        return self.kafka or f"{LOOPBACK}:{self.port(KAFKA)}"

    def port(self, part: str) -> int:
        """Return the port of a part on the loopback interface."""
        return self.ports.get(part, DEFAULT_PORTS[part])

    def url(self, part: str) -> str:
        """Return the URL of a part that speaks HTTP."""
        return f"http://{LOOPBACK}:{self.port(part)}"

    def lps_settings(self) -> dict[str, Any]:
        """Return the LPS's settings that are not at their default, by the names of LpsSettings."""
        scenario = self.scenario
        settings: dict[str, Any] = {
            # Suites of a team's own ask for both at /admin/mock-mode, and skip everything where they do not fit.
            "use_mock_llm": True,
            "default_llm_provider": scenario.provider.name.value,
            "mock_mode": self.mode_expression,
            "mock_provider_seed": scenario.live.seed,
            "queue_processing_mode": scenario.service.queue_processing_mode.value,
            "serial_bundle_max_requests_per_call": scenario.service.serial_bundle_max_requests_per_call,
            # 25 s by default, all of which pass when the broker is gone; nobody waits so long after Ctrl-C.
            "shutdown_drain_seconds": 5.0,
            "callback_topics": (scenario.batch.callback_topic, *CALLBACK_TOPICS),
        }
        if self.redis_url is None:
            return settings
        # What a killed LPS was answering is taken up again when its claim runs out: after 300 s by default.
        redis = {"queue_backend": "redis", "redis_url": self.redis_url, "queue_processing_timeout_seconds": 15.0}
        return settings | redis

    def cj_settings(self) -> dict[str, Any]:
        """Return the CJ service's settings that are not at their default, by the names of CjSettings.

        The service pairs by itself, and a batch's seed follows from its request.
        """
        engine = self.scenario.engine.model_dump(mode="json")
        settings = {name: value for name, value in engine.items() if name in _ENGINE_FIELDS}
        settings |= {
            "default_llm_provider": self.scenario.provider.name.value,
            "default_llm_model": self.scenario.provider.model,
            "llm_provider_service_url": f"{self.url('lps')}/api/v1",
            "llm_provider_callback_topic": self.scenario.batch.callback_topic,
            "content_service_url": f"{self.url('content')}{CONTENT_PATH}",
            "database_url": self.database_url or f"sqlite:///{self.folder / 'cj.db'}",
            # A replica that is killed holds its wave for so long; 120 s is a deployment's number.
            "submission_lease_seconds": 5.0,
            "outbox_poll_interval_seconds": 1.0,
            # 30 s in all: an LPS that was killed is started again by a person.
            "llm_retry_attempts": 10,
            "llm_retry_wait_min_seconds": 0.5,
            "llm_retry_wait_max_seconds": 5.0,
        }
        if self.kafka is not None:
            # Months of other services' messages are not for the database of a stack that begins today.
            settings["unread_topics_begin"] = "latest"
        return {name: value for name, value in settings.items() if value is not None}
