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
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest

from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.local import processes, stack
from cj_pipeline.local.ports import free_port, listens
from cj_pipeline.local.programs import CannotStart
from cj_pipeline.local.stack import NoStack, PartStatus
from cj_pipeline.local.stack_file import read_record
from cj_pipeline.local.stack_plan import StackRequest
from cj_pipeline.mock.mode.files import MODES_FOLDER
from tests.kafka import ARTIFACTS, broker_or_skip, values_of
from tests.services.lps.redis_server import RedisServer, redis_binary
from tests.sides import ANCHORS, TRACES, scenario

CLI = Path(sys.executable).with_name("cj-pipeline")
PATIENCE_S = 120.0

# Of the fitted latencies: at 1.6 s each, 66 comparisons one after the other would take two minutes.
SCALE = 0.03


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> StackRequest:
    broker_or_skip()
    folder = tmp_path_factory.mktemp("stack")
    fitted = (MODES_FOLDER / "eng5_anchor_gpt51_low.yaml").read_text(encoding="utf-8")
    quick = folder / "quick.yaml"
    scaled = fitted.replace("latency:\n", f"latency:\n  scale: {SCALE}\n").replace(
        "name: eng5_anchor_gpt51_low", "name: quick"
    )
    assert scaled.count("scale:") == 1
    quick.write_text(scaled, encoding="utf-8")
    return StackRequest(
        scenario=scenario(ANCHORS), mode_expression=str(quick), traces_dir=TRACES, data_dir=folder / "data"
    )


@pytest.fixture(scope="module")
def up(asked: StackRequest) -> Iterator[tuple[PartStatus, ...]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CJ_PIPELINE_KAFKA_DIR", str(ARTIFACTS.home))
        try:
            yield stack.up(asked)
        finally:
            stack.down(asked.data_dir)


class Drive:
    """`cj-pipeline stack drive` as a process of its own."""

    def __init__(self, asked: StackRequest, label: str) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KAFKA_")}
        environment |= {"CJ_PIPELINE_DATA_DIR": str(asked.data_dir), "CJ_PIPELINE_TRACES_DIR": str(TRACES)}
        self._process = subprocess.Popen(
            [CLI, "stack", "drive", "--label", label, "--timeout-seconds", str(PATIENCE_S), "--json"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def ended(self) -> tuple[int, str, str]:
        """Exit code and both streams, once it has ended."""
        out, err = self._process.communicate(timeout=PATIENCE_S)
        return self._process.returncode, out, err

    def report(self) -> dict[str, Any]:
        code, out, err = self.ended()
        assert code == 0, err + out
        document: dict[str, Any] = json.loads(out)
        return document


def pid_of(asked: StackRequest, part: str) -> int | None:
    (found,) = [status.pid for status in stack.status(asked.data_dir) if status.name == part]
    return found


def address_of(asked: StackRequest, part: str) -> str:
    (found,) = [status.address for status in stack.status(asked.data_dir) if status.name == part]
    return found


def published(asked: StackRequest) -> int:
    """Callbacks of all batches, as the LPS counts them."""
    with urllib.request.urlopen(f"{address_of(asked, 'lps')}/metrics", timeout=30) as answer:  # noqa: S310
        lines = answer.read().decode().splitlines()
    return int(
        sum(
            float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith("llm_provider_comparison_callbacks_total{")
        )
    )


def until_published(asked: StackRequest, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while published(asked) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def request_ids(lines: list[bytes], bos_batch_id: str) -> list[str]:
    documents = [json.loads(line)["data"] for line in lines]
    return sorted(d["request_id"] for d in documents if d["request_metadata"]["bos_batch_id"] == bos_batch_id)


def check(asked: StackRequest, report: dict[str, Any], brokers: str | None = None) -> None:
    """Everything agrees, and the capture is what the topic holds: nothing lost, nothing doubled."""
    assert [finding for finding in report["findings"] if not finding["holds"]] == []
    assert len(report["findings"]) == 8
    captured = (Path(report["trace"]) / "llm_callbacks.jsonl").read_bytes().splitlines()
    topic = values_of(brokers or address_of(asked, "kafka"), COMPARISON_RESULT_TOPIC)
    ids = request_ids(captured, report["bos_batch_id"])
    assert len(ids) == len(set(ids)) == 66
    assert ids == sorted(set(request_ids(topic, report["bos_batch_id"])))


@pytest.mark.usefixtures("up")
def test_a_batch_asked_for_on_kafka_has_the_winners_and_scores_of_the_embedded_stack(asked: StackRequest) -> None:
    with Drive(asked, "plain") as drive:
        report = drive.report()
    check(asked, report)
    assert report["outcome"] == "completed"
    assert report["bos_batch_id"] == f"stack-{ANCHORS}-plain"
    assert [row[1] for row in report["ranking"]] == sorted(row[1] for row in report["ranking"])


@pytest.mark.usefixtures("up")
@pytest.mark.parametrize("part", ["kafka", "cj"])
def test_a_batch_outlives_a_part_that_is_killed_and_started_again(asked: StackRequest, part: str) -> None:
    before = published(asked)
    with Drive(asked, f"killed_{part}") as drive:
        until_published(asked, before + 10)
        kill_and_start_again(asked, part, before)
        report = drive.report()
    check(asked, report)


def kill_and_start_again(asked: StackRequest, part: str, before: int | None) -> None:
    """before: callbacks of earlier batches, by the LPS's own count; None where the LPS is who is killed."""
    pid = pid_of(asked, part)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_S
    while pid_of(asked, part) is not None:  # a JVM takes its time even for that
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert before is None or published(asked) < before + 66
    with pytest.raises(NoStack, match=f"Not up: {part}. Start what is missing"):
        stack.running_plan(asked.data_dir)
    ports = {status.name: status.address for status in stack.status(asked.data_dir)}
    others = {status.name: status.pid for status in stack.status(asked.data_dir) if status.pid is not None}
    again = stack.up(asked)
    assert {status.name: status.address for status in again} == ports
    assert {status.name: status.pid for status in again if status.name != part} == others


def test_with_redis_it_outlives_the_lps_too(asked: StackRequest, kafka: str, tmp_path: Path) -> None:
    binary = redis_binary()
    if binary is None:
        pytest.skip("redis-server is not installed")
    with RedisServer(binary, tmp_path) as server:
        there = replace(asked, data_dir=tmp_path / "data", kafka=kafka, redis_url=server.url)
        stack.up(there)
        try:
            with Drive(there, "killed_lps") as drive:
                until_published(there, 10)
                kill_and_start_again(there, "lps", None)
                report = drive.report()
            check(there, report, kafka)
        finally:
            stack.down(there.data_dir)


def test_up_again_starts_nothing_and_another_scenario_is_refused(
    asked: StackRequest, up: tuple[PartStatus, ...]
) -> None:
    assert stack.up(asked) == stack.status(asked.data_dir)
    with pytest.raises(CannotStart, match=f"Another stack runs here, for '{ANCHORS}'.*cj-pipeline stack down"):
        stack.up(replace(asked, mode_expression="default"))
    assert [part.name for part in up] == ["kafka", "content", "lps", "cj"]


@pytest.mark.usefixtures("up")
def test_a_label_is_good_for_one_batch(asked: StackRequest) -> None:
    (asked.data_dir / "stack" / "traces" / f"stack_{ANCHORS}_used").mkdir(parents=True)
    with Drive(asked, "used") as drive:
        code, _, err = drive.ended()
    assert code == 2
    assert f"stack_{ANCHORS}_used: is there already. Give the batch another --label." in err


def test_a_part_that_cannot_start_takes_the_others_with_it(asked: StackRequest, kafka: str, tmp_path: Path) -> None:
    there = replace(
        asked, data_dir=tmp_path, kafka=kafka, database_url="postgresql://nobody:secret@127.0.0.1:1/none", ports={}
    )
    with pytest.raises(
        CannotStart, match=r"(?s)cj ended while it started\. Its log, .*cj\.log, ends:.*database"
    ) as told:
        stack.up(there)
    assert "secret" not in str(told.value)
    record = read_record(tmp_path)
    assert record is not None
    assert record.processes == {}
    assert not any(listens(port) for port in record.plan.ports.values())


def test_a_port_that_is_taken_is_told_before_anything_is_started(
    asked: StackRequest, kafka: str, tmp_path: Path
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(CannotStart, match=f"Port {port}, meant for lps, is taken by another process"):
            stack.up(replace(asked, data_dir=tmp_path, kafka=kafka, ports={"lps": port}))
    assert stack.status(tmp_path) == ()


def test_brokers_that_do_not_answer_are_told(
    asked: StackRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "_BROKERS_TIMEOUT_S", 0.2)
    with pytest.raises(
        CannotStart, match=r"No broker of 127\.0\.0\.1:9 answers within 0\.2 s\. Start it, name another"
    ):
        stack.up(replace(asked, data_dir=tmp_path, kafka="127.0.0.1:9"))
    assert stack.status(tmp_path) == ()


def test_down_leaves_no_process_and_wipe_no_file(asked: StackRequest, kafka: str, tmp_path: Path) -> None:
    there = replace(asked, data_dir=tmp_path, kafka=kafka, ports={"lps": free_port()})
    parts = stack.up(there)
    assert [part.name for part in parts] == ["content", "lps", "cj"]
    record = read_record(tmp_path)
    assert record is not None
    assert stack.down(tmp_path) == ("content", "lps", "cj")
    assert not any(processes.runs(process) for process in record.processes.values())
    assert not any(listens(port) for port in record.plan.ports.values())
    assert stack.down(tmp_path, wipe=stack.wipe) == ()
    assert list(tmp_path.iterdir()) == []
    assert stack.status(tmp_path) == ()
