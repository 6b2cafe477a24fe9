"""The suites as a team runs them: served processes, Kafka between them, real time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cj_pipeline.local.ports import free_port
from tests.house import REPOSITORY

CLI = str(Path(sys.executable).with_name("cj-pipeline"))
OURS = ("KAFKA_", "CJ_ASSESSMENT_SERVICE_", "LLM_PROVIDER_SERVICE_", "CJ_PIPELINE_")

# What the example workflow sets the CJ service to.
CJ = {
    "ENABLE_LLM_BATCHING_METADATA_HINTS": "true",
    "PAIR_GENERATION_SEED": "42",
    "MAX_PAIRWISE_COMPARISONS": "288",
    "MIN_COMPARISONS_FOR_STABILITY_CHECK": "289",
    "MIN_RESAMPLING_NET_SIZE": "5",
    "MAX_RESAMPLING_PASSES_FOR_SMALL_NET": "3",
    # A broker that other tests use has their callbacks, which are orphans to a new database.
    "UNREAD_TOPICS_BEGIN": "latest",
}


class Deployment:
    """Served processes on one broker."""

    def __init__(self, started: ExitStack, kafka: str, folder: Path) -> None:
        self._started = started
        self._folder = folder
        self.kafka = kafka
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        self.environment |= {"CJ_PIPELINE_DATA_DIR": str(folder), "CJ_PIPELINE_TRACES_DIR": str(REPOSITORY / "traces")}

    def serve(self, *words: str, **environment: str) -> str:
        """Serve until the end of the test, and give back where."""
        log = self._started.enter_context((self._folder / f"{'-'.join(words[:2])}.log").open("w"))
        process = self._started.enter_context(
            subprocess.Popen(
                [CLI, *words, "--host", "127.0.0.1", "--port", "0", "--kafka", self.kafka],
                env=self.environment | environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        )
        self._started.callback(process.terminate)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on "), Path(log.name).read_text()
        return line.removeprefix("listening on ").strip()

    def content(self) -> str:
        port = free_port()
        command = [sys.executable, "-m", "cj_pipeline.local.content", str(port), str(self._folder / "texts")]
        self._started.callback(self._started.enter_context(subprocess.Popen(command)).terminate)
        return f"http://127.0.0.1:{port}/v1/content"

    def suite(self, *words: str) -> dict[str, Any]:
        done = subprocess.run(
            [CLI, *words, "--kafka", self.kafka, "--json"],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=500,
        )
        document: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == document["exit_code"], done.stderr
        return document


def broken(document: dict[str, Any]) -> list[str]:
    return [
        f"{test['name']} {rule['name']}: {rule['sentence']} ({rule['limit']})"
        for test in document["tests"]
        for rule in test["rules"]
        if rule["verdict"] != "pass"
    ]


@pytest.fixture
def deployment(kafka: str, tmp_path: Path) -> Iterator[Deployment]:
    with ExitStack() as started:
        yield Deployment(started, kafka, tmp_path)


@pytest.mark.servers("kafka")
def test_lower5_passes_twice_in_a_row(deployment: Deployment) -> None:
    mode = ("--mode", "eng5_lower5_gpt51_low")
    lps = deployment.serve("lps", "serve", *mode, LLM_PROVIDER_SERVICE_QUEUE_PROCESSING_MODE="serial_bundle")
    for _ in range(2):
        document = deployment.suite("lps", "suite", "eng5-lower5", "--lps", lps)
        assert broken(document) == []
        assert [test["name"] for test in document["tests"]] == ["parity", "diagnostics"]


@pytest.mark.servers("kafka")
@pytest.mark.parametrize(
    ("suite", "strategy"), [("regular", "serial_bundle"), ("batch-api", "batch_api")], ids=["regular", "batch-api"]
)
def test_a_cj_service_passes_its_suites(suite: str, strategy: str, deployment: Deployment, tmp_path: Path) -> None:
    mode = ("--mode", "cj_generic_batch")
    lps = deployment.serve("lps", "serve", *mode, LLM_PROVIDER_SERVICE_QUEUE_PROCESSING_MODE=strategy)
    content = deployment.content()
    settings = {f"CJ_ASSESSMENT_SERVICE_{name}": value for name, value in CJ.items()}
    settings["CJ_ASSESSMENT_SERVICE_CONTENT_SERVICE_URL"] = content
    database = ("--database", f"sqlite:///{tmp_path / 'cj.db'}", "--lps", f"{lps}/api/v1")
    cj = deployment.serve("cj", "serve", *database, **settings)
    document = deployment.suite("cj", "suite", suite, "--cj", cj, "--lps", lps, "--content", content)
    assert broken(document) == []
