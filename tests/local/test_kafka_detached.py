"""The broker between two commands: found again, not taken for somebody else, and its topics kept."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cj_pipeline.local.kafka_artifacts import KafkaArtifacts
from cj_pipeline.local.kafka_detached import DetachedBroker
from cj_pipeline.local.ports import free_port
from cj_pipeline.local.programs import CannotStart
from tests.cli.terminal import Terminal, terminal_of
from tests.house import REPOSITORY
from tests.kafka import create_topic, values_of


@pytest.fixture
def home(tmp_path: Path, kafka_files: KafkaArtifacts, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty CJ_PIPELINE_KAFKA_DIR with the jars of the common one; no broker outlives the test."""
    (tmp_path / kafka_files.folder.name).symlink_to(kafka_files.folder)
    monkeypatch.setenv("CJ_PIPELINE_KAFKA_DIR", str(tmp_path))
    yield tmp_path
    detached(tmp_path).stop()


def cluster_id(home: Path) -> str:
    lines = (home / "broker" / "data" / "meta.properties").read_text().splitlines()
    (found,) = [line for line in lines if line.startswith("cluster.id=")]
    return found


def detached(home: Path) -> DetachedBroker:
    return DetachedBroker(home / "broker", KafkaArtifacts(home))


@pytest.fixture
def cj_pipeline(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return terminal_of(monkeypatch, capsys)


def test_start_status_stop_and_all_of_them_twice(home: Path, cj_pipeline: Terminal) -> None:
    port = free_port()
    first = cj_pipeline("kafka", "start", "--port", port)
    assert (first.code, first.err) == (0, "")
    assert first.out == f"Kafka listens on 127.0.0.1:{port}\nexport KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:{port}\n"
    create_topic(f"127.0.0.1:{port}", "kept")

    status = cj_pipeline("kafka", "status", "--json").document
    assert status["bootstrap_servers"] == f"127.0.0.1:{port}"
    again = cj_pipeline("kafka", "start", "--json")
    assert (again.code, again.document) == (0, {**status, "ran_already": True})

    refused = cj_pipeline("kafka", "start", "--fresh")
    assert (refused.code, "cj-pipeline kafka stop" in refused.err) == (2, True)

    assert cj_pipeline("kafka", "stop", "--json").document == {"stopped": True, "pid": status["pid"]}
    stopped = cj_pipeline("kafka", "stop")
    assert (stopped.code, stopped.out) == (0, "no broker runs\n")
    assert cj_pipeline("kafka", "status", "--json").document["running"] is False

    # Back on another port, with what it had; and without it when that is asked for.
    other = free_port()
    cj_pipeline("kafka", "start", "--port", other)
    assert values_of(f"127.0.0.1:{other}", "kept") == []
    cj_pipeline("kafka", "stop")
    (kept,) = (home / "broker" / "data").glob("kept-0")
    before = cluster_id(home)
    cj_pipeline("kafka", "start", "--port", other, "--fresh")
    assert not kept.exists()
    # Who remembers offsets of the topics that are gone must be able to tell.
    assert cluster_id(home) != before


COMMAND = "from cj_pipeline.cli.main import main; main()"


def test_two_that_start_it_at_once_get_the_same_broker(home: Path) -> None:
    command = [sys.executable, "-c", COMMAND, "kafka", "start", "--port", str(free_port())]
    both = [subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted(process.communicate()[0].splitlines()[0].partition(" on ")[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert said == ["Kafka listens", "Kafka runs already, and listens"]


def test_the_process_id_of_a_broker_that_crashed_is_not_believed(home: Path) -> None:
    broker = detached(home)
    port = free_port()
    crashed = broker.start(port).broker
    os.kill(crashed.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while broker.running() is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    # The id is still on file, and somebody else has it by now: this process.
    (home / "broker" / "broker.pid").write_text(f"{os.getpid()}\n")
    assert broker.running() is None
    assert broker.stop() is None
    back = broker.start(port).broker
    assert back.pid not in {crashed.pid, os.getpid()}
    assert broker.running() == back


def test_a_port_that_is_taken_is_said_and_nothing_is_left_running(home: Path) -> None:
    broker = detached(home)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotStart, match=f"^Port {port} of 127"):
            broker.start(port)
    assert broker.running() is None


def test_fetch_says_which_kafka_is_there_and_intact(home: Path, cj_pipeline: Terminal) -> None:
    answer = cj_pipeline("kafka", "fetch", "--json")
    assert answer.document == {"version": "4.3.1", "folder": str(home / KafkaArtifacts(home).folder.name)}
