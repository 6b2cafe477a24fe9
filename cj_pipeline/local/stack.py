"""The whole deployed stack on one machine: started, looked at, ended.

Here: up, down and status over the parts. Not here: what a part is (parts.py), a batch through all of them (drive.py).

The processes outlive the command. `up` again starts what is missing, on the same ports; `down` again finds nothing.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from cj_pipeline.bus.kafka.settings import kafka_settings_from_environment
from cj_pipeline.local import processes
from cj_pipeline.local.parts import ORDER, Part, parts_of
from cj_pipeline.local.ports import is_free
from cj_pipeline.local.programs import CannotStart
from cj_pipeline.local.stack_file import StackPlan, StackRecord, locked, read_record, write_record
from cj_pipeline.local.stack_plan import KAFKA, StackRequest, plan_for

_BROKERS_TIMEOUT_S = 10.0

# Of the log of a part that did not start.
_LAST_LINES = 12


@dataclass(frozen=True, slots=True)
class PartStatus:
    """A part as it is now. address: URL, or host and port of the brokers; pid: None when it does not run."""

    name: str
    address: str
    pid: int | None
    log: Path


class NoStack(CannotStart):
    """A stack was wanted, and none is up, or not all of it."""


def up(asked: StackRequest, *, told: Callable[[str], None] = lambda _: None) -> tuple[PartStatus, ...]:
    """Start what does not run yet, part by part; return when all of it answers.

    told: called with the name of each part that is about to be started.
    Raises CannotStart, with the last lines of its log, when a part does not start; what this call had started is ended
    by then. So it does when a stack of another plan runs, or a port is taken.
    """
    with locked(asked.data_dir):
        record = read_record(asked.data_dir)
        plan = plan_for(asked, None if record is None else record.plan)
        if record is None:
            record = StackRecord(plan=plan)
        running = _running(record)
        if running and record.plan != plan:
            raise CannotStart(
                f"Another stack runs here, for '{record.plan.scenario_id}' and with other settings or ports. "
                "End it first: cj-pipeline stack down"
            )
        for name in record.processes.keys() - running.keys():
            # What a part left behind that was killed alone.
            processes.end(record.processes[name], which=signal.SIGKILL, grace_s=0.0)
        record = StackRecord(plan=plan, processes=running)
        missing = [part for part in parts_of(plan) if part.name not in running]
        _require_free_ports(plan, missing)
        if KAFKA not in plan.ports:
            _require_brokers(plan.bootstrap_servers)
        started: list[Part] = []
        try:
            for part in missing:
                told(part.name)
                started.append(part)
                record = _start(part, record)
        except BaseException:
            _end(started, record)
            raise
    return status(asked.data_dir)


def down(data_dir: Path, *, wipe: Callable[[Path], None] | None = None) -> tuple[str, ...]:
    """End everything that runs, the last started first; the names of the parts that did.

    wipe: called with the stack's folder when nothing runs any more; None keeps topics, batches, texts and logs.
    """
    with locked(data_dir):
        record = read_record(data_dir)
        if record is None:
            return ()
        running = _running(record)
        _end([part for part in parts_of(record.plan) if part.name in record.processes], record)
        if wipe is not None:
            wipe(record.plan.folder)
    return tuple(name for name in ORDER if name in running)


def wipe(folder: Path) -> None:
    """Remove what a stack has written."""
    shutil.rmtree(folder)


def status(data_dir: Path) -> tuple[PartStatus, ...]:
    """Every part of the last stack, running or not; nothing when there was none."""
    record = read_record(data_dir)
    if record is None:
        return ()
    running = _running(record)
    return tuple(
        PartStatus(part.name, part.address, running[part.name].pid if part.name in running else None, part.log)
        for part in parts_of(record.plan)
    )


def running_plan(data_dir: Path) -> StackPlan:
    """The plan of the stack that is up. Raises NoStack when there is none, or a part of it is not up."""
    record = read_record(data_dir)
    if record is None:
        raise NoStack("No stack is up. Start one: cj-pipeline stack up")
    running = _running(record)
    gone = [part.name for part in parts_of(record.plan) if part.name not in running]
    if gone:
        raise NoStack(f"Not up: {', '.join(gone)}. Start what is missing: cj-pipeline stack up")
    return record.plan


def _running(record: StackRecord) -> dict[str, processes.ProcessId]:
    return {name: process for name, process in record.processes.items() if processes.runs(process)}


def _require_free_ports(plan: StackPlan, missing: list[Part]) -> None:
    """Before anything is started: a port that is taken is the most likely thing to go wrong."""
    for part in missing:
        port = plan.ports[part.name]
        if not is_free(port):
            raise CannotStart(
                f"Port {port}, meant for {part.name}, is taken by another process. End that one, or name another port "
                f"(--port {part.name}=PORT)."
            )


def _require_brokers(bootstrap_servers: str) -> None:
    """The services would start without them and wait, and every batch with them."""
    settings = kafka_settings_from_environment(bootstrap_servers=bootstrap_servers)
    # log_level 0: librdkafka would tell the terminal of every refusal.
    config: dict[str, Any] = settings.client_config() | {"log_level": 0}
    admin = AdminClient(config)
    try:
        admin.list_topics(timeout=_BROKERS_TIMEOUT_S)
    except KafkaException:
        raise CannotStart(
            f"No broker of {bootstrap_servers} answers within {_BROKERS_TIMEOUT_S:g} s. Start it, name another one "
            "(--kafka), or unset KAFKA_BOOTSTRAP_SERVERS for a broker of the stack's own."
        ) from None


def _start(part: Part, record: StackRecord) -> StackRecord:
    part.log.parent.mkdir(parents=True, exist_ok=True)
    begins_at = part.log.stat().st_size if part.log.exists() else 0
    process = processes.start(part.command(), environment=part.environment, folder=part.folder, log=part.log)
    # Before it is waited for: if this command is killed meanwhile, the next one knows what there is.
    record = record.model_copy(update={"processes": record.processes | {part.name: process}})
    write_record(record)
    try:
        part.wait(lambda: processes.runs(process))
    except CannotStart as error:
        raise CannotStart(f"{error} {_last_lines(part.log, begins_at)}") from None
    return record


def _end(parts: list[Part], record: StackRecord) -> None:
    known = read_record(record.plan.data_dir) or record
    left = dict(known.processes)
    for part in reversed(parts):
        process = left.pop(part.name, None)
        if process is not None:
            processes.end(process, which=part.ends_on, grace_s=part.grace_s)
            write_record(known.model_copy(update={"processes": left}))


def _last_lines(log: Path, begins_at: int) -> str:
    """What was written to a log since then, its end."""
    with log.open("rb") as file:
        file.seek(begins_at, os.SEEK_SET)
        lines = file.read().decode(errors="replace").splitlines()[-_LAST_LINES:]
    told = "".join(f"\n  {line[:300]}" for line in lines)
    return f"Its log, {log}, ends:{told}" if told else f"Its log, {log}, says nothing."
