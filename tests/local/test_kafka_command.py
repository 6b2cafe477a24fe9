"""`cj-pipeline kafka`: a broker in the foreground, its topics kept from one start to the next."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cj_pipeline.local.kafka_artifacts import KafkaArtifacts
from cj_pipeline.local.ports import free_port
from tests.cli.terminal import Terminal, terminal_of
from tests.kafka import create_topic

CLI = Path(sys.executable).with_name("cj-pipeline")


@pytest.fixture
def home(tmp_path: Path, kafka_files: KafkaArtifacts, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty CJ_PIPELINE_KAFKA_DIR with the jars of the common one."""
    (tmp_path / kafka_files.folder.name).symlink_to(kafka_files.folder)
    monkeypatch.setenv("CJ_PIPELINE_KAFKA_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def cj_pipeline(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return terminal_of(monkeypatch, capsys)


@contextmanager
def started(port: int, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`cj-pipeline kafka start`, once it has said where it listens."""
    command = [CLI, "kafka", "start", "--port", str(port), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(f"Kafka listens on 127.0.0.1:{port}; Ctrl-C stops it, log ")
            assert process.stdout.readline() == f"export KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:{port}\n"
            yield process
        finally:
            process.kill()


def cluster_id(home: Path) -> str:
    lines = (home / "broker" / "data" / "meta.properties").read_text().splitlines()
    (found,) = [line for line in lines if line.startswith("cluster.id=")]
    return found


def test_it_runs_until_it_is_interrupted_and_keeps_its_topics(home: Path, cj_pipeline: Terminal) -> None:
    port = free_port()
    with started(port) as process:
        create_topic(f"127.0.0.1:{port}", "kept")
        status = cj_pipeline("kafka", "status", "--port", port, "--json").document
        assert status == {"running": True, "bootstrap_servers": f"127.0.0.1:{port}"}
        again = cj_pipeline("kafka", "start", "--fresh", "--port", free_port())
        assert (again.code, f"A broker runs on '{home / 'broker'}' already." in again.err) == (2, True)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "stopped; its topics stay\n", "")
    assert cj_pipeline("kafka", "status", "--port", port).out == f"no broker answers on 127.0.0.1:{port}\n"
    (kept,) = (home / "broker" / "data").glob("kept-0")
    before = cluster_id(home)
    with started(port, "--fresh") as process:
        assert not kept.exists()
        # Readers that remember offsets of the topics that are gone must be able to tell.
        assert cluster_id(home) != before
        (child,) = subprocess.run(
            ["pgrep", "-f", f"{home}/broker/server.properties"], capture_output=True, text=True
        ).stdout.split()
        os.kill(int(child), signal.SIGKILL)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 2
        assert "Kafka ended (signal 9)." in err


def test_a_port_that_is_taken_is_said(home: Path, cj_pipeline: Terminal) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = cj_pipeline("kafka", "start", "--port", port)
    assert refused.code == 2
    assert f"Port {port} of 127.0.0.1 is taken" in refused.err


def test_the_command_that_was_removed_says_what_to_do(cj_pipeline: Terminal) -> None:
    removed = cj_pipeline("kafka", "stop")
    assert removed.code == 2
    assert "Stop it with Ctrl-C" in removed.err


def test_fetch_says_which_kafka_is_there_and_intact(home: Path, cj_pipeline: Terminal) -> None:
    answer = cj_pipeline("kafka", "fetch", "--json")
    assert answer.document == {"version": "4.3.1", "folder": str(home / KafkaArtifacts(home).folder.name)}
