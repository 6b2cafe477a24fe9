"""This module describes the parts of a stack as servers: their commands, their environments, when they are up."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cj_pipeline.bus.kafka.settings import ENVIRONMENT_PREFIX as KAFKA_PREFIX
from cj_pipeline.local.kafka_broker import KafkaBroker
from cj_pipeline.local.ports import LOOPBACK
from cj_pipeline.local.programs import CannotStart
from cj_pipeline.local.server import Server, ServerSpec, http_answers
from cj_pipeline.local.stack_plan import DAGSTER, KAFKA, StackPlan
from cj_pipeline.services.cj.settings import ENVIRONMENT_PREFIX as CJ_PREFIX
from cj_pipeline.services.lps.settings import ENVIRONMENT_PREFIX as LPS_PREFIX

# Twice the drain that the plan gives the LPS.
_STOP_TIMEOUT_S = 10.0


def servers_of(plan: StackPlan) -> dict[str, Server]:
    """Return the servers of a plan by part, in the order in which they are started; none runs yet."""
    makers = {KAFKA: _kafka, "content": _content, "lps": _lps, "cj": _cj, DAGSTER: _dagster}
    return {part: makers[part](plan) for part in plan.parts}


def _kafka(plan: StackPlan) -> Server:
    return KafkaBroker(plan.folder / "kafka", plan.port(KAFKA))


def _content(plan: StackPlan) -> Server:
    command = [sys.executable, "-m", "cj_pipeline.local.content", str(plan.port("content")), str(plan.folder / "texts")]
    return Server(_http_spec(plan, "content", command))


def _lps(plan: StackPlan) -> Server:
    return Server(_http_spec(plan, "lps", _service(plan, "lps"), _as_environment(LPS_PREFIX, plan.lps_settings())))


def _cj(plan: StackPlan) -> Server:
    # The database's URL is not an option: its password would be in every list of processes.
    return Server(_http_spec(plan, "cj", _service(plan, "cj"), _as_environment(CJ_PREFIX, plan.cj_settings())))


def _dagster(plan: StackPlan) -> Server:
    home, project = plan.folder / "dagster", Path.cwd()

    def command() -> list[str]:
        for name in ("dagster.yaml", "workspace.yaml"):
            if not (project / name).is_file():
                raise CannotStart(
                    f"There is no {name} in '{project}', and Dagster needs it. Run this from the project's folder, or "
                    "with --no-dagster."
                )
        home.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(project / "dagster.yaml", home / "dagster.yaml")
        workspace = str(project / "workspace.yaml")
        return [_program("dagster"), "dev", "-h", LOOPBACK, "-p", str(plan.port(DAGSTER)), "-w", workspace]

    environment = {
        "DAGSTER_HOME": str(home),
        "KAFKA_BOOTSTRAP_SERVERS": plan.bootstrap_servers,
        "CJ_PIPELINE_DATA_DIR": plan.datasets or str(plan.data_dir.absolute()),
        "CJ_PIPELINE_LOCAL_DIR": str(plan.data_dir.absolute()),
        "CJ_PIPELINE_TRACES_DIR": str(plan.traces_dir.absolute()),
    }
    return Server(
        ServerSpec(
            name=DAGSTER,
            address=plan.url(DAGSTER),
            log=plan.folder / "logs" / "dagster.log",
            command=command,
            answers=lambda: http_answers(plan.port(DAGSTER), f"{plan.url(DAGSTER)}/server_info"),
            environment=_inherited(plan) | environment,
            folder=project,
            # `dagster dev` goes on after a SIGTERM; its state is in SQLite and its runs are processes of their own.
            stop_signal=signal.SIGKILL,
        )
    )


def _http_spec(
    plan: StackPlan, part: str, command: Sequence[str], environment: Mapping[str, str] | None = None
) -> ServerSpec:
    return ServerSpec(
        name=part,
        address=plan.url(part),
        log=plan.folder / "logs" / f"{part}.log",
        command=lambda: command,
        answers=lambda: http_answers(plan.port(part), f"{plan.url(part)}/healthz"),
        environment=_inherited(plan) | dict(environment or {}),
        stop_timeout_s=_STOP_TIMEOUT_S,
    )


def _service(plan: StackPlan, name: str) -> list[str]:
    place = ["--host", LOOPBACK, "--port", str(plan.port(name)), "--kafka", plan.bootstrap_servers]
    return [_program("cj-pipeline"), name, "serve", *place]


def _inherited(plan: StackPlan) -> dict[str, str]:
    """Return this process's environment without settings that a shell exported for other instances of the services."""
    # How another cluster is reached does not apply to the stack's own.
    others = (LPS_PREFIX, CJ_PREFIX, *((KAFKA_PREFIX,) if plan.kafka is None else ()))
    return {name: value for name, value in os.environ.items() if not name.startswith(others)}


def _as_environment(prefix: str, settings: Mapping[str, Any]) -> dict[str, str]:
    return {f"{prefix}{name.upper()}": _text(value) for name, value in settings.items()}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(str(part) for part in value) if isinstance(value, list | tuple) else str(value)


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
