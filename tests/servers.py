"""This module says which tests need a server program, and stops any other test from starting one.

`make test` runs what needs none; `make test-servers` and `make test-nights` run the rest, and name what they skip.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from cj_pipeline.local import small_judge
from tests.deploy.compose import compose_command
from tests.kafka import what_is_missing
from tests.nights import clock
from tests.postgres import BINARIES
from tests.reports.page import browser
from tests.services.lps.redis_server import redis_binary

MARKER = "servers"

# A test that asks for one of these fixtures, itself or through another fixture, needs the server beside it.
SERVER_OF_FIXTURE: Mapping[str, str] = {
    "kafka": "kafka",
    "kafka_files": "kafka",
    "own_kafka": "kafka",
    "redis": "redis",
    "redis_server": "redis",
    "own_redis": "redis",
    "postgres_url": "postgresql",
    "s3": "s3",
}

_NOT_INSTALLED = "{0} is not installed (apt-get install {0})"

REASON_TO_SKIP: Mapping[str, Callable[[], str | None]] = {
    "kafka": what_is_missing,
    "browser": browser.missing,
    "celery": lambda: None if find_spec("dagster_celery") else "dagster-celery is not installed (make celery)",
    "dg": lambda: None if find_spec("dagster_dg_cli") else "dagster-dg-cli is not installed (make setup)",
    "judge": small_judge.missing,
    "faketime": clock.missing,
    "redis": lambda: None if redis_binary() else "redis-server is not installed (apt-get install redis-server)",
    "prometheus": lambda: (
        None if shutil.which("prometheus") and shutil.which("promtool") else _NOT_INSTALLED.format("prometheus")
    ),
    "jq": lambda: None if shutil.which("jq") else _NOT_INSTALLED.format("jq"),
    "s3": lambda: (
        None if find_spec("s3fs") and find_spec("moto") else "s3fs or moto is not installed (make .venv/.s3_server)"
    ),
    "compose": lambda: (
        None if compose_command() else "docker-compose is not installed (apt-get install docker-compose)"
    ),
    "systemd": lambda: None if shutil.which("systemd-analyze") else _NOT_INSTALLED.format("systemd"),
    "services": lambda: None,  # our own, as processes; those that take long
    "postgresql": lambda: None if BINARIES else "PostgreSQL is not installed (apt-get install postgresql)",
}

PROGRAMS = {"java", "initdb", "pg_ctl", "postgres", "prometheus", "redis-server", "valkey-server", *browser.NAMES}


def needs(server: str, *values: object) -> Any:
    """Return a parameter that marks its tests; the value is the server's name unless others are given."""
    return pytest.param(*(values or (server,)), marks=pytest.mark.servers(server), id=server)


def servers_of(item: pytest.Item) -> set[str]:
    """Return the servers that a test needs, by its fixtures and its markers."""
    found = {SERVER_OF_FIXTURE[name] for name in getattr(item, "fixturenames", ()) if name in SERVER_OF_FIXTURE}
    return found.union(*(marker.args for marker in item.iter_markers(MARKER)))


def mark(item: pytest.Item) -> None:
    """Give a test the marker where its fixtures ask for a server."""
    servers = servers_of(item)
    if servers and item.get_closest_marker(MARKER) is None:
        item.add_marker(pytest.mark.servers(*sorted(servers)))


def skip_where_one_is_missing(item: pytest.Item) -> None:
    """Skip a test whose server cannot be had here, with one text per server, so that a report counts them in a line."""
    servers = servers_of(item)
    if os.environ.get("KAFKA_BOOTSTRAP_SERVERS") and "kafka_files" not in getattr(item, "fixturenames", ()):
        servers -= {"kafka"}
    for server in sorted(servers):
        if reason := REASON_TO_SKIP[server]():
            pytest.skip(reason)


def counts(stats: Mapping[str, Sequence[Any]]) -> dict[str, tuple[int, int]]:
    """Return (ran, skipped) of each server from the reports of a session."""
    outcomes = Counter(
        (server, outcome == "skipped")
        for outcome in ("passed", "failed", "error", "skipped")
        for report in stats.get(outcome, ())
        for name, server in getattr(report, "user_properties", ())  # a file that cannot be collected has none
        if name == MARKER
    )
    servers = sorted({server for server, _ in outcomes})
    return {server: (outcomes[server, False], outcomes[server, True]) for server in servers}


class Guard:
    """Fail a test that starts a server program without the marker. Programs that a test has written itself may run."""

    def __init__(self) -> None:
        self.item: pytest.Item | None = None
        sys.addaudithook(self._on_event)

    def _on_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "subprocess.Popen" or self.item is None or self.item.get_closest_marker(MARKER) is not None:
            return
        executable, command = arguments[0], arguments[1]
        words = [executable] if isinstance(command, str | bytes) else [executable, *command]
        if program := server_program([os.fsdecode(word) for word in words if word is not None]):
            pytest.fail(f"starts {program}: a test that needs a server asks for its fixture or has the marker {MARKER}")


def server_program(command: Iterable[str]) -> str | None:
    """Return the server that a command line starts; None for other programs, a fake and the question for a version."""
    words = list(command)
    if "-version" in words or not words:
        return None
    found = Path(words[0])
    return found.name if found.name in PROGRAMS and not found.is_relative_to(tempfile.gettempdir()) else None
