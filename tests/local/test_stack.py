"""The whole stack as processes: a batch through all of it, parts of it killed on the way, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.local import stack
from cj_pipeline.local.kafka_artifacts import KafkaArtifacts
from cj_pipeline.local.ports import free_port, listens
from cj_pipeline.local.programs import CannotStart
from cj_pipeline.local.server import Server
from cj_pipeline.local.stack import running_stack
from cj_pipeline.local.stack_plan import StackPlan
from cj_pipeline.mock.mode.files import MODES_FOLDER
from tests.cli.terminal import terminal_of
from tests.kafka import ARTIFACTS, values_of
from tests.services.lps.redis_server import RedisServer, redis_binary
from tests.sides import ANCHORS, TRACES, scenario

CLI = Path(sys.executable).with_name("cj-pipeline")
PATIENCE_S = 120.0
COMPARISONS = 66

# Of the fitted latencies: at 1.6 s each, 66 comparisons one after the other would take two minutes.
SCALE = 0.03


def free_ports() -> dict[str, int]:
    return {part: free_port() for part in ("kafka", "content", "lps", "cj")}


def plan_in(folder: Path, **given: Any) -> StackPlan:
    """A stack of the anchors under a mode that answers quickly."""
    fitted = (MODES_FOLDER / "eng5_anchor_gpt51_low.yaml").read_text(encoding="utf-8")
    scaled = fitted.replace("latency: {", f"latency: {{scale: {SCALE}, ", 1)
    assert scaled != fitted
    quick = folder / "quick.yaml"
    quick.write_text(scaled.replace("name: eng5_anchor_gpt51_low", "name: quick"), encoding="utf-8")
    plan = StackPlan(scenario(ANCHORS), str(quick), TRACES, folder / "data", free_ports(), with_dagster=False)
    return replace(plan, **given)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackPlan]:
    """Of the stack that `servers` are: with Redis where there is one, so that the LPS may be killed as well."""
    folder = tmp_path_factory.mktemp("stack")
    with ExitStack() as started:
        binary = redis_binary()
        redis = None if binary is None else started.enter_context(RedisServer(binary, folder))
        yield plan_in(folder, redis_url=None if redis is None else redis.url)


@pytest.fixture(scope="module")
def servers(plan: StackPlan, kafka_files: KafkaArtifacts) -> Iterator[dict[str, Server]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CJ_PIPELINE_KAFKA_DIR", str(kafka_files.home))
        with running_stack(plan) as running:
            yield running


def environment(plan: StackPlan) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KAFKA_")}
    return inherited | {
        "CJ_PIPELINE_DATA_DIR": str(plan.data_dir),
        "CJ_PIPELINE_TRACES_DIR": str(TRACES),
        "CJ_PIPELINE_KAFKA_DIR": str(ARTIFACTS.home),
        "CJ_PIPELINE_STACK_PORTS": " ".join(f"{part}={port}" for part, port in plan.ports.items()),
    }


@contextmanager
def driving(plan: StackPlan, label: str) -> Iterator[subprocess.Popen[str]]:
    """`cj-pipeline stack drive` as a process of its own."""
    command = [CLI, "stack", "drive", "--scenario", ANCHORS, "--mode", plan.mode_expression, "--label", label, "--json"]
    with subprocess.Popen(
        [*command, "--timeout-seconds", str(PATIENCE_S), "--output-dir", str(plan.folder / "traces")],
        env=environment(plan),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def document_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err + out
    document: dict[str, Any] = json.loads(out)
    return document


def published(plan: StackPlan) -> int:
    """Callbacks that this LPS has published since its start, as it counts them."""
    with urllib.request.urlopen(f"{plan.url('lps')}/metrics", timeout=30) as answer:  # noqa: S310
        lines = answer.read().decode().splitlines()
    counted = (line for line in lines if line.startswith("llm_provider_comparison_callbacks_total{"))
    return int(sum(float(line.rpartition(" ")[2]) for line in counted))


def until_published(plan: StackPlan, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while published(plan) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def request_ids(lines: list[bytes], bos_batch_id: str) -> list[str]:
    documents = [json.loads(line)["data"] for line in lines]
    return sorted(d["request_id"] for d in documents if d["request_metadata"]["bos_batch_id"] == bos_batch_id)


def check(plan: StackPlan, found: dict[str, Any]) -> None:
    """Everything agrees, and the capture is what the topic holds: nothing lost, nothing doubled."""
    assert found["agrees"]
    # Asked under the same ids the two sides count as one recording, so the best verdict is CANNOT TELL.
    assert found["parity"]["verdict"] == "CANNOT TELL"
    (agreement,) = [row for row in found["parity"]["checks"] if row["check"] == "answer_agreement"]
    assert agreement["live"] == 1.0
    captured = (Path(found["trace"]) / "llm_callbacks.jsonl").read_bytes().splitlines()
    ids = request_ids(captured, found["bos_batch_id"])
    assert len(ids) == len(set(ids)) == COMPARISONS
    assert ids == sorted(
        set(request_ids(values_of(plan.bootstrap_servers, COMPARISON_RESULT_TOPIC), found["bos_batch_id"]))
    )


@pytest.mark.usefixtures("servers")
def test_a_batch_asked_for_on_kafka_has_the_winners_and_scores_of_the_embedded_stack(plan: StackPlan) -> None:
    with driving(plan, "plain") as process:
        found = document_of(process)
    check(plan, found)
    assert found["failure"] is None
    assert found["bos_batch_id"] == f"stack-{ANCHORS}-plain"
    assert [row[1] for row in found["ranking"]] == sorted(row[1] for row in found["ranking"])


# Without Redis the queue of the LPS ends with its process.
@pytest.mark.parametrize("part", ["kafka", "cj", pytest.param("lps", marks=pytest.mark.servers("redis"))])
def test_a_batch_outlives_a_part_that_is_killed_and_started_again(
    plan: StackPlan, servers: dict[str, Server], part: str
) -> None:
    before = published(plan)
    with driving(plan, f"killed_{part}") as process:
        until_published(plan, before + 10)
        servers[part].kill()
        assert part == "lps" or published(plan) < before + COMPARISONS
        servers[part].start()
        found = document_of(process)
    check(plan, found)


@pytest.mark.usefixtures("servers")
def test_another_mode_than_that_of_the_stack_is_refused(
    plan: StackPlan, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    for name in ("CJ_PIPELINE_DATA_DIR", "CJ_PIPELINE_TRACES_DIR", "CJ_PIPELINE_STACK_PORTS"):
        monkeypatch.setenv(name, environment(plan)[name])
    answer = terminal_of(monkeypatch, capsys)("stack", "drive", "--scenario", ANCHORS, "--mode", "default")
    assert answer.code == 2
    assert "the service runs 'quick', and this run means 'default'" in answer.err


def test_a_second_stack_in_the_same_folder_is_refused(plan: StackPlan, servers: dict[str, Server]) -> None:
    with pytest.raises(CannotStart, match="Another stack runs on"), running_stack(plan):
        pass
    assert all(server.exit_code is None for server in servers.values())


@contextmanager
def in_the_foreground(plan: StackPlan, kafka: str) -> Iterator[subprocess.Popen[str]]:
    """`cj-pipeline stack`, once it has said that it is up."""
    command = [CLI, "stack", "--scenario", ANCHORS, "--no-dagster", "--kafka", kafka]
    with subprocess.Popen(
        command, env=environment(plan), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(4)]
            assert [line.split()[0] for line in lines] == ["content", "lps", "cj", "The"], process.communicate()
            assert f"lps      {plan.url('lps')}, up after " in lines[1]
            yield process
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def test_it_runs_until_it_is_interrupted(kafka: str, tmp_path: Path) -> None:
    plan = plan_in(tmp_path)
    with in_the_foreground(plan, kafka) as process:
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (0, "stopped; topics, batches and logs stay\n")
    assert not any(listens(port) for port in plan.ports.values())


def test_a_part_that_dies_ends_it_with_the_last_lines_of_its_log(kafka: str, tmp_path: Path) -> None:
    plan = plan_in(tmp_path)
    with in_the_foreground(plan, kafka) as process:
        serving = subprocess.run(
            ["pgrep", "-f", f"lps serve --host 127.0.0.1 --port {plan.port('lps')} "], capture_output=True, text=True
        )
        (pid,) = serving.stdout.split()
        os.kill(int(pid), signal.SIGKILL)
        _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert "lps ended (signal 9). Its log, " in err
    assert "listening" in err
    assert not any(listens(port) for port in plan.ports.values())


def test_a_part_that_cannot_start_takes_the_others_with_it(kafka: str, tmp_path: Path) -> None:
    broken = plan_in(tmp_path, kafka=kafka, database_url="postgresql://nobody:secret@127.0.0.1:1/none")
    words = r"(?s)cj ended while it started\. Its log, .*cj\.log', ends:.*database"
    with pytest.raises(CannotStart, match=words) as e, running_stack(broken):
        pass
    assert "secret" not in str(e.value)
    assert not any(listens(port) for port in broken.ports.values())


def test_a_port_that_is_taken_is_named_before_anything_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        plan = plan_in(tmp_path)
        taking = replace(plan, ports={**plan.ports, "lps": port})
        words = f"Port {port}, meant for lps, is taken by another process"
        with pytest.raises(CannotStart, match=words), running_stack(taking):
            pass
    assert [path.name for path in plan.folder.iterdir()] == [".lock"]


def test_brokers_that_do_not_answer_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "BROKERS_TIMEOUT_S", 0.2)
    words = r"No broker of 127\.0\.0\.1:9 answers within 0\.2 s\. Start it, name another"
    with pytest.raises(CannotStart, match=words), running_stack(plan_in(tmp_path, kafka="127.0.0.1:9")):
        pass
