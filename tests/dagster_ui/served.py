"""This module serves the Dagster UI as `cj-pipeline ui` does, and asks its GraphQL what a browser would ask."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx

from cj_pipeline.local.ports import free_port
from tests.house import REPOSITORY

COMMAND = "from cj_pipeline.cli.main import main; main()"
PATIENCE_S = 300.0

_LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""


@dataclass(frozen=True)
class Place:
    """The folders of one installation."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def traces(self) -> Path:
        return self.folder / "traces"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PYTHONPATH": str(REPOSITORY),
            "DAGSTER_HOME": str(self.home),
            "CJ_PIPELINE_DATA_DIR": str(self.data),
            "CJ_PIPELINE_TRACES_DIR": str(self.traces),
            "CJ_PIPELINE_CODE_URL": "https://code.example/cj-pipeline/blob/main",
        }


@dataclass(frozen=True)
class Served:
    """A UI that answers."""

    url: str

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """Return the data of a GraphQL answer."""
        answer = httpx.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=60)
        document: dict[str, Any] = answer.json()
        assert "errors" not in document, document
        data: dict[str, Any] = document["data"]
        return data

    def launch(self, job: str, partition: str, **config: object) -> dict[str, Any]:
        """Launch a run as the launchpad does; return what came of the request."""
        selector = {"jobName": job, "repositoryName": "__repository__", "repositoryLocationName": "cj_pipeline"}
        params = {
            "selector": selector,
            "mode": "default",
            "runConfigData": config,
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": partition}]},
        }
        found: dict[str, Any] = self.ask(_LAUNCH, params=params)["launchRun"]
        return found

    def ended(self, run_id: str) -> str:
        """Wait until a run has ended; return how."""
        end, status = monotonic() + PATIENCE_S, ""
        while monotonic() < end:
            query = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
            status = self.ask(query, id=run_id)["runOrError"]["status"]
            if status in ("SUCCESS", "FAILURE", "CANCELED"):
                return status
            sleep(0.5)
        raise AssertionError(f"run {run_id} is {status} after {PATIENCE_S:.0f} s")


@contextmanager
def served(place: Place, *options: str) -> Iterator[Served]:
    """Run `cj-pipeline ui` until the block ends."""
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(REPOSITORY / name, place.folder)
    port = free_port()
    command = [sys.executable, "-c", COMMAND, "ui", "--port", str(port), *options]
    environment = {**os.environ, **place.environment}
    with subprocess.Popen(command, cwd=place.folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line.startswith(f"Dagster is on http://127.0.0.1:{port};"), line
            yield Served(f"http://127.0.0.1:{port}")
        finally:
            process.send_signal(signal.SIGTERM)
            process.stdout.read()
