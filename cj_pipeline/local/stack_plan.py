"""From a scenario to the plan of a stack that judges it: ports, and the settings of both services.

Here: what the scenario means for an LPS and a CJ service, and which ports it gets. Not here: the processes
(parts.py).

Both services are set up by the scenario, because the wire carries only part of it: a request can name the judge, the
budget and the batching mode, but neither the mock's mode and seed nor the engine's thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cj_pipeline.contracts.enums import Provider
from cj_pipeline.local.content import CONTENT_PATH
from cj_pipeline.local.ports import LOOPBACK, free_port
from cj_pipeline.local.stack_file import STACK_FOLDER, StackPlan
from cj_pipeline.services.cj.settings import CjSettings
from cj_pipeline.traces.scenario import Scenario

# Parts that every stack has, and the port of one for which none was given; 0 is any free one.
SERVICES = ("content", "lps", "cj")
DAGSTER = "dagster"
KAFKA = "kafka"
CONTROLLER = "kafka_controller"

# What neither service takes from the scenario: where things are.
_ENGINE_FIELDS = CjSettings.model_fields.keys() - {"pair_generation_seed"}


@dataclass(frozen=True, slots=True)
class StackRequest:
    """What a person asks for.

    mode_expression: of the mock; ports: those given, by part;
    kafka: brokers of somebody else's, None for one of the stack's own;
    database_url, redis_url: None for SQLite below the data folder, and a queue in memory.
    parts: the services and, where it is wanted, Dagster.
    """

    scenario: Scenario
    mode_expression: str
    traces_dir: Path
    data_dir: Path
    parts: tuple[str, ...] = SERVICES
    ports: Mapping[str, int] = field(default_factory=dict)
    kafka: str | None = None
    database_url: str | None = None
    redis_url: str | None = None


def plan_for(asked: StackRequest, known: StackPlan | None = None) -> StackPlan:
    """The plan. known: an earlier one, whose ports are kept where none is given.

    Raises CannotStart where the machine has no free port.
    """
    data_dir = asked.data_dir.absolute()
    own_kafka = () if asked.kafka is not None else (KAFKA, CONTROLLER)
    before = {} if known is None else known.ports
    ports = {part: asked.ports.get(part) or before.get(part) or free_port() for part in (*own_kafka, *asked.parts)}
    return StackPlan(
        scenario_id=asked.scenario.scenario_id,
        traces_dir=asked.traces_dir.absolute(),
        data_dir=data_dir,
        bootstrap_servers=asked.kafka or f"{LOOPBACK}:{ports[KAFKA]}",
        ports=ports,
        lps=lps_settings(asked.scenario, asked.mode_expression, asked.redis_url),
        cj=cj_settings(asked.scenario, ports) | _of_shared_brokers(asked),
        database_url=asked.database_url or f"sqlite:///{data_dir / STACK_FOLDER / 'cj.db'}",
    )


def _of_shared_brokers(asked: StackRequest) -> dict[str, Any]:
    """Months of other services' messages are not for the database of a stack that begins today."""
    return {} if asked.kafka is None else {"unread_topics_begin": "latest"}


def lps_settings(scenario: Scenario, mode_expression: str, redis_url: str | None = None) -> dict[str, Any]:
    """What of an LPS's settings the scenario says, by the names of LpsSettings."""
    settings: dict[str, Any] = {
        "mock_mode": mode_expression,
        "mock_provider_seed": scenario.live.seed,
        "queue_processing_mode": scenario.service.queue_processing_mode.value,
        "serial_bundle_max_requests_per_call": scenario.service.serial_bundle_max_requests_per_call,
        # 25 s by default, all of which it takes when its broker is gone; nobody waits so long for a `down`.
        "shutdown_drain_seconds": 5.0,
    }
    if redis_url is None:
        return settings
    # What a killed LPS was answering is taken up again when its claim runs out: after 300 s by default.
    return settings | {"queue_backend": "redis", "redis_url": redis_url, "queue_processing_timeout_seconds": 15.0}


def cj_settings(scenario: Scenario, ports: Mapping[str, int]) -> dict[str, Any]:
    """What of a CJ service's settings the scenario says, and where the others are, by the names of CjSettings.

    `pairing` and `bt_alpha` are the engine's own there; a batch's seed follows from its request.
    """
    engine = scenario.engine.model_dump(mode="json")
    settings = {name: value for name, value in engine.items() if name in _ENGINE_FIELDS}
    settings |= {
        "default_llm_provider": Provider.MOCK.value,
        "llm_provider_service_url": f"http://{LOOPBACK}:{ports['lps']}/api/v1",
        "llm_provider_callback_topic": scenario.batch.callback_topic,
        "content_service_url": f"http://{LOOPBACK}:{ports['content']}{CONTENT_PATH}",
        # A replica that is killed holds its wave for so long; 120 s is a deployment's number.
        "submission_lease_seconds": 5.0,
        "outbox_poll_interval_seconds": 1.0,
        # 30 s in all: an LPS that was killed is started again by a person.
        "llm_retry_attempts": 10,
        "llm_retry_wait_min_seconds": 0.5,
        "llm_retry_wait_max_seconds": 5.0,
    }
    if scenario.provider.model is not None:
        settings["default_llm_model"] = scenario.provider.model
    return settings
