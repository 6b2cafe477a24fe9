"""The parts of a stack as processes: which command, which environment, when it counts as up, how it is ended.

Here: one function a part. Not here: the order in which they are started and what happens when one is not (stack.py).
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cj_pipeline.bus.kafka.settings import ENVIRONMENT_PREFIX as KAFKA_PREFIX
from cj_pipeline.local.kafka_artifacts import KafkaArtifacts, kafka_home
from cj_pipeline.local.kafka_node import KafkaNode
from cj_pipeline.local.ports import LOOPBACK
from cj_pipeline.local.programs import CannotStart
from cj_pipeline.local.stack_file import StackPlan
from cj_pipeline.local.stack_plan import CONTROLLER, DAGSTER, KAFKA, SERVICES
from cj_pipeline.services.cj.settings import ENVIRONMENT_PREFIX as CJ_PREFIX
from cj_pipeline.services.lps.settings import ENVIRONMENT_PREFIX as LPS_PREFIX

ORDER = (KAFKA, *SERVICES, DAGSTER)

# Imports take 1.5 s of an idle core, those of Dagster and its code location 15 s; a loaded machine takes its time.
START_TIMEOUT_S = 120.0
_LOOK_S = 0.05

# Twice the drain that the plan gives the LPS.
_GRACE_S = 10.0

Alive = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Part:
    """One process. wait: returns once it answers, raises CannotStart; command: made when it is needed, likewise.

    ends_on: what it takes as a wish to end.
    """

    name: str
    address: str
    log: Path
    folder: Path
    environment: Mapping[str, str]
    command: Callable[[], list[str]]
    wait: Callable[[Alive], None]
    ends_on: signal.Signals = signal.SIGTERM
    grace_s: float = _GRACE_S


def parts_of(plan: StackPlan) -> tuple[Part, ...]:
    """The parts that the plan has, in the order in which they are started."""
    made = {
        KAFKA: _kafka,
        "content": _content,
        "lps": _lps,
        "cj": _cj,
        DAGSTER: _dagster,
    }
    return tuple(made[name](plan) for name in ORDER if name in plan.ports)


def _kafka(plan: StackPlan) -> Part:
    node = KafkaNode(plan.folder / "kafka", plan.ports[KAFKA], plan.ports[CONTROLLER])
    return Part(
        name=KAFKA,
        address=node.bootstrap_servers,
        log=node.log,
        folder=plan.folder,
        environment=dict(os.environ),
        command=lambda: node.prepare(KafkaArtifacts(kafka_home())),
        wait=node.wait_until_it_answers,
    )


def _content(plan: StackPlan) -> Part:
    port = plan.ports["content"]
    command = [_program("cj-pipeline"), "stack", "content", "--port", str(port), "--folder", str(plan.folder / "texts")]
    return _http(plan, "content", "/healthz", command, {})


def _lps(plan: StackPlan) -> Part:
    command = [_program("cj-pipeline"), "lps", "serve", "--host", LOOPBACK, "--port", str(plan.ports["lps"])]
    command += ["--kafka", plan.bootstrap_servers]
    return _http(plan, "lps", "/healthz", command, _as_environment(LPS_PREFIX, plan.lps))


def _cj(plan: StackPlan) -> Part:
    command = [_program("cj-pipeline"), "cj", "serve", "--host", LOOPBACK, "--port", str(plan.ports["cj"])]
    command += ["--kafka", plan.bootstrap_servers]
    # Not as an option: its password would be in every list of processes.
    given = plan.cj | {"database_url": plan.database_url}
    return _http(plan, "cj", "/healthz", command, _as_environment(CJ_PREFIX, given))


def _dagster(plan: StackPlan) -> Part:
    home = plan.folder / "dagster"
    project = Path.cwd()

    def command() -> list[str]:
        for name in ("dagster.yaml", "workspace.yaml"):
            if not (project / name).is_file():
                raise CannotStart(
                    f"There is no {name} in '{project}', and Dagster needs it. Run this from the project's folder, or "
                    "with --no-dagster."
                )
        home.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(project / "dagster.yaml", home / "dagster.yaml")
        port = str(plan.ports[DAGSTER])
        return [_program("dagster"), "dev", "-h", LOOPBACK, "-p", port, "-w", str(project / "workspace.yaml")]

    environment = {
        "DAGSTER_HOME": str(home),
        "KAFKA_BOOTSTRAP_SERVERS": plan.bootstrap_servers,
        "CJ_PIPELINE_DATA_DIR": str(plan.data_dir),
        "CJ_PIPELINE_TRACES_DIR": str(plan.traces_dir),
    }
    made = _http(plan, DAGSTER, "/server_info", [], environment)
    # `dagster dev` goes on after a SIGTERM; its state is in SQLite and its runs are processes of their own.
    return Part(
        name=made.name,
        address=made.address,
        log=made.log,
        folder=project,
        environment=made.environment,
        command=command,
        wait=made.wait,
        ends_on=signal.SIGKILL,
    )


def _http(plan: StackPlan, name: str, health: str, command: list[str], environment: Mapping[str, str]) -> Part:
    """A part of ours that says over HTTP whether it is up."""
    url = plan.url(name)
    return Part(
        name=name,
        address=url,
        log=plan.folder / "logs" / f"{name}.log",
        folder=plan.folder,
        environment=_inherited(plan) | dict(environment),
        command=lambda: command,
        wait=lambda alive: _until_it_answers(name, f"{url}{health}", alive),
    )


def _until_it_answers(name: str, url: str, alive: Alive) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _answers(url):
        if not alive():
            raise CannotStart(f"{name} ended while it started.")
        if time.monotonic() > deadline:
            raise CannotStart(f"{name} does not answer at {url} after {START_TIMEOUT_S:g} s.")
        time.sleep(_LOOK_S)


def _answers(url: str) -> bool:
    # Not through a proxy of the environment's: it is this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5.0) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _inherited(plan: StackPlan) -> dict[str, str]:
    """Without what a shell exported for other instances of these services: the plan says it all."""
    # How another cluster is reached keeps everybody from the stack's own.
    others = (LPS_PREFIX, CJ_PREFIX, *((KAFKA_PREFIX,) if KAFKA in plan.ports else ()))
    return {name: value for name, value in os.environ.items() if not name.startswith(others)}


def _as_environment(prefix: str, settings: Mapping[str, Any]) -> dict[str, str]:
    return {f"{prefix}{name.upper()}": _text(value) for name, value in settings.items() if value is not None}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(str(part) for part in value) if isinstance(value, list | tuple) else str(value)


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
