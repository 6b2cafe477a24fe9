"""The parts of deploy/compose.yaml as processes, on real PostgreSQL, Redis and Kafka: ready, at work, ended."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from cj_pipeline.contracts.callback import parse_callback
from tests.deploy.parts import COMPOSE, PARTS, Elsewhere, Parts
from tests.kafka import create_topic, fresh_topic, values_of
from tests.postgres import fresh_database
from tests.services.lps.lab import body
from tests.services.lps.redis_server import RedisServer, redis_binary
from tests.sides import GENERIC, LOWER5

# Seven processes that import half of what there is, on two cores that others use as well.
pytestmark = [pytest.mark.servers("postgresql", "redis", "kafka"), pytest.mark.timeout(1800)]

LAUNCH = """
mutation($job: JobOrPipelineSelector!, $tags: [ExecutionTag!]) {
  launchPipelineExecution(executionParams: {selector: $job, mode: "default", executionMetadata: {tags: $tags}}) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    binary = redis_binary()
    assert binary is not None
    with RedisServer(binary, tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def parts(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: str, kafka: str, redis: RedisServer
) -> Iterator[Parts]:
    """All five, started in the order of `depends_on`, each once the probes of those before it are content."""
    servers = Elsewhere(
        dagster_url=fresh_database(postgres_server),
        cj_url=fresh_database(postgres_server),
        redis=f"127.0.0.1:{redis.port}",
        kafka=kafka,
    )
    found = Parts(tmp_path_factory.mktemp("deployed") / "here", servers, (GENERIC, LOWER5))
    try:
        for wave in waves():
            for part in wave:
                found.start(part, **SLOW if part == "lps" else {})
            for part in wave:
                found.wait_until(part)
        yield found
    finally:
        found.kill_all()


SLOW = {"LLM_PROVIDER_SERVICE_MOCK_LATENCY_MS": 200}


def waves() -> Iterator[list[str]]:
    """The parts by `depends_on`: first those that wait for none of the others."""
    left = {part: set(COMPOSE["services"][part]["depends_on"]) & set(PARTS) for part in PARTS}
    while left:
        wave = [part for part, needed in left.items() if not needed & left.keys()]
        yield wave
        for part in wave:
            del left[part]


def ask(parts: Parts, query: str, variables: Mapping[str, Any]) -> Any:
    url = f"http://{parts.address('webserver')}/graphql"
    answer = httpx.post(url, json={"query": query, "variables": variables}, timeout=120, trust_env=False).json()
    assert "errors" not in answer, answer
    return answer["data"]


def launch(parts: Parts, scenario: str) -> str:
    """Launch all assets of a scenario as a person in the UI does, and return the run's id."""
    job = {
        "repositoryLocationName": "cj_pipeline", "repositoryName": "__repository__", "jobName": "parity_all"
    }  # fmt: skip
    tags = [{"key": "dagster/partition", "value": scenario}]
    answer = ask(parts, LAUNCH, {"job": job, "tags": tags})["launchPipelineExecution"]
    assert answer["__typename"] == "LaunchRunSuccess", answer
    return str(answer["run"]["runId"])


def wait_for(parts: Parts, run_id: str, *states: str) -> str:
    """Wait until a run is in one of the states, and return it."""
    deadline = time.monotonic() + 600
    while True:
        question = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
        state = str(ask(parts, question, {"id": run_id})["runOrError"]["status"])
        if state in states:
            return state
        assert time.monotonic() < deadline, f"{state}\n{parts.log('code-server')[-3000:]}"
        time.sleep(0.2)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_ready_and_alive_by_its_probe(part: str, parts: Parts) -> None:
    assert parts.health(part)[0] == 0
    assert parts.health(part, "--live")[0] == 0


def test_a_run_is_launched_by_the_webserver_and_writes_the_shared_folders(parts: Parts) -> None:
    run_id = launch(parts, GENERIC)
    assert wait_for(parts, run_id, "SUCCESS", "FAILURE") == "SUCCESS"
    assert (parts.folder / "data/published" / f"{GENERIC}.json").is_file()
    # What the run printed, which the webserver shows.
    assert list((parts.folder / "home/storage" / run_id).rglob("*.err"))


def test_an_lps_without_redis_is_alive_and_not_ready_until_it_is_back(parts: Parts, redis: RedisServer) -> None:
    redis.kill()
    try:
        assert parts.wait_until("lps", ready=False) == "lps: not ready. The queue's store cannot be reached."
        assert parts.health("lps", "--live")[0] == 0
    finally:
        redis.start()
    parts.wait_until("lps")


def test_a_code_server_that_cannot_import_the_code_ends_and_is_never_ready(tmp_path: Path) -> None:
    alone = Parts(tmp_path / "alone", Elsewhere())
    shutil.rmtree(alone.folder / "secrets")
    try:
        process = alone.start("code-server")
        while process.poll() is None:
            assert alone.health("code-server")[0] != 0
        assert process.returncode != 0
    finally:
        alone.kill_all()
    assert "CJ_PIPELINE_POSTGRES_URL_FILE" in alone.log("code-server")
    assert "cannot be read: No such file or directory" in alone.log("code-server")


def test_a_sigterm_ends_every_part_and_nothing_is_lost(parts: Parts, kafka: str) -> None:
    topic = fresh_topic("test.deployed")
    create_topic(kafka, topic)
    run_id = launch(parts, LOWER5)
    with httpx.Client(base_url=f"http://{parts.address('lps')}", trust_env=False, timeout=60) as client:
        bodies = [body(number) | {"callback_topic": topic} for number in range(1000, 1040)]
        assert {client.post("/api/v1/comparison", json=one).status_code for one in bodies} == {202}
    wait_for(parts, run_id, "STARTED", "SUCCESS")

    # The run that has begun is finished before its server ends; the webserver says that the code is away.
    assert parts.terminate("code-server") == 0
    assert wait_for(parts, run_id, "SUCCESS", "FAILURE", "CANCELED", "STARTED") == "SUCCESS"
    assert "cj_pipeline is not loaded" in parts.wait_until("webserver", ready=False)
    assert parts.health("webserver", "--live")[0] == 0

    for part in ("daemon", "webserver", "cj", "lps"):
        assert parts.terminate(part) == 0, parts.log(part)[-3000:]
        code, said = parts.health(part, "--within", "1")
        assert (code, "not ready" in said) == (1, True), said

    # What the LPS had not answered by then waits in Redis for its successor.
    parts.start("lps")
    parts.wait_until("lps")
    deadline = time.monotonic() + 120
    while len(answers := values_of(kafka, topic)) < len(bodies):
        assert time.monotonic() < deadline, f"{len(answers)} of {len(bodies)}\n{parts.log('lps')[-3000:]}"
    told = [str(parse_callback(answer).data.correlation_id) for answer in answers]
    assert sorted(told) == sorted(one["correlation_id"] for one in bodies)
