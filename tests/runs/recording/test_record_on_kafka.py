"""This module tests recordings through served services on Kafka: an LPS alone, and a CJ service with its LPS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from cj_pipeline.contracts.els_request import ASSESSMENT_REQUEST_TOPIC
from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.local.content import CONTENT_PATH
from cj_pipeline.local.kafka_broker import KafkaBroker
from cj_pipeline.local.ports import free_port
from cj_pipeline.local.server import Server as Process
from cj_pipeline.local.server import ServerSpec, http_answers
from cj_pipeline.runs.cj_service import END_TOPICS
from cj_pipeline.traces.reader import read_callbacks
from cj_pipeline.traces.store import trace_recordings
from tests.cli.conftest import cj_pipeline as cj_pipeline
from tests.cli.terminal import Terminal
from tests.house import REPOSITORY
from tests.kafka import create_topic, values_of
from tests.runs.recording.fake_judge import TEXTS
from tests.runs.recording.local_server import Server, serving
from tests.services.cj.test_served import Process as Service
from tests.services.lps.served import Served

MODEL = "gpt-4.1-mini-2025-04-14"
PAIRS = 10  # of five essays


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as served:
        yield served


@pytest.fixture
def essays(tmp_path: Path) -> Path:
    folder = tmp_path / "essays"
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / f"{name}.txt").write_text(text)
    (tmp_path / "grades.csv").write_text("essay_id,grade\ne1,E\ne2,D\ne3,C\ne4,B\ne5,A\n")
    return folder


def arguments(essays: Path, kafka: str, *more: str) -> list[str]:
    folder = essays.parent
    return [
        *("record", "tried", "--essays", str(essays), "--grades", str(folder / "grades.csv"), "--model", MODEL),
        *("--kafka", kafka, "--output-dir", str(folder / "traces"), "--yes", *more),
    ]


def test_an_lps_answers_by_kafka(
    cj_pipeline: Terminal, kafka: str, essays: Path, server: Server, tmp_path: Path
) -> None:
    with Served(tmp_path, kafka=kafka, openai_base_url=server.url, openai_api_key="none") as lps:
        shown = cj_pipeline(*arguments(essays, kafka, "--lps", lps.url))
    assert shown.code == 0, shown.err
    assert set(server.asked.values()) == {2}
    _, recordings = trace_recordings(tmp_path / "traces" / "tried")
    recorded = [one.provenance.recorded for one in recordings]
    assert [one.through for one in recorded if one is not None] == ["deployed LPS"] * 2
    assert "prefers the better grade       20 of 20 (1.00)" in shown.out


@dataclass(frozen=True)
class Deployed:
    """Both services, the texts, and a fake judge behind them."""

    cj: str
    content: str
    lps: str

    @property
    def options(self) -> list[str]:
        return ["--cj", self.cj, "--content", self.content, "--lps", self.lps]


@contextmanager
def deployed(folder: Path, kafka: str, judge: Server) -> Iterator[Deployed]:
    port = free_port()
    content = ServerSpec(
        name="content",
        address=f"http://127.0.0.1:{port}",
        log=folder / "content.log",
        command=lambda: [sys.executable, "-m", "cj_pipeline.local.content", str(port), str(folder / "texts")],
        answers=lambda: http_answers(port, f"http://127.0.0.1:{port}/healthz"),
    )
    with (
        Process(content),
        Served(folder, kafka=kafka, openai_base_url=judge.url, openai_api_key="none") as lps,
    ):
        settings = {
            "CONTENT_SERVICE_URL": f"{content.address}{CONTENT_PATH}",
            "OUTBOX_POLL_INTERVAL_SECONDS": "0.5",
            "UNREAD_TOPICS_BEGIN": "latest",
        }
        command = ("cj", "serve", "--port", "0", "--host", "127.0.0.1", "--kafka", kafka, "--lps", f"{lps.url}/api/v1")
        cj = Service(
            folder,
            *command,
            "--database",
            f"sqlite:///{folder}/cj.db",
            **{f"CJ_ASSESSMENT_SERVICE_{name}": value for name, value in settings.items()},
        )
        try:
            yield Deployed(cj.url, content.address, lps.url)
        finally:
            cj.end(signal.SIGKILL)


def killed_in_its_middle(command: list[str], server: Server, data: Path) -> None:
    """`cj-pipeline record` as a process of its own, killed at the third call of the judge."""
    server.hangs_at = 3
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "CJ_PIPELINE_DATA_DIR": str(data)}
    code = "from cj_pipeline.cli.main import main; main()"
    with subprocess.Popen([sys.executable, "-c", code, *command], env=environment) as process:
        assert server.hanging.wait(60)
        process.send_signal(signal.SIGKILL)
    server.release.set()


def test_a_cj_service_runs_a_batch_for_each_run_and_a_killed_recording_waits_for_its_batch(
    cj_pipeline: Terminal, own_kafka: KafkaBroker, essays: Path, server: Server, tmp_path: Path
) -> None:
    kafka = own_kafka.bootstrap_servers
    for topic in (ASSESSMENT_REQUEST_TOPIC, COMPARISON_RESULT_TOPIC, *END_TOPICS):
        create_topic(kafka, topic)
    with deployed(tmp_path, kafka, server) as there:
        command = arguments(essays, kafka, *there.options)
        killed_in_its_middle(command, server, tmp_path / "data")
        assert not (tmp_path / "traces" / "tried").exists()
        shown = cj_pipeline(*command)
        assert shown.code == 0, shown.err
        again = cj_pipeline(*command)
    assert again.code == 2
    assert "is there already" in again.err
    assert len(values_of(kafka, ASSESSMENT_REQUEST_TOPIC)) == 2
    scenario, recordings = trace_recordings(tmp_path / "traces" / "tried")
    assert not TEXTS.keys() & {item.id for item in scenario.net.items}  # redacted unless somebody says otherwise
    assert [one.name for one in recordings] == ["main", "run_2"]
    callbacks = [[line.event.data for line in read_callbacks(one.path).events] for one in recordings]
    batches = [{one.request_metadata["bos_batch_id"] for one in run} for run in callbacks]
    assert len(batches[0] | batches[1]) == 2
    assert sum(map(len, callbacks)) == len(server.prompts)
    assert (scenario.mode, {item.grade for item in scenario.net.items}) == ("mode.yaml", set("ABCDE"))
    assert "2 x 10 at most (chosen by the CJ service)" in shown.out
    assert "prefers the better grade" in shown.out
    assert "Run 2, held against run 1" in shown.out
    assert not (tmp_path / "traces" / ".tried.recording").exists()


def test_a_mock_behind_a_cj_service_is_no_judge_to_record(cj_pipeline: Terminal, essays: Path, tmp_path: Path) -> None:
    with Served(tmp_path, use_mock_llm=True) as mock:
        # Any service that says that it is healthy will do: the mock is found before anything is asked.
        command = arguments(essays, "127.0.0.1:1", "--cj", mock.url, "--content", mock.url, "--lps", mock.url)
        refused = cj_pipeline(*command)
    assert refused.code == 2
    assert "a mock answers there, for every provider" in refused.err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--cj", "http://a", "--content", "http://b", "--both-orders"), "leave --both-orders out"),
        (("--cj", "http://a"), "--cj needs --content"),
        (("--cj", "a", "--content", "http://b"), "'a' is no URL"),
        (("--content", "http://b"), "--content goes with --cj"),
        (
            ("--cj", "http://a", "--content", "http://b", "--price-per-million", "9", "9", "--budget-usd", "0.3"),
            "cannot be stopped at a limit",
        ),
    ],
)
def test_what_a_cj_service_cannot_be_asked_is_refused(
    cj_pipeline: Terminal, essays: Path, options: tuple[str, ...], sentence: str
) -> None:
    refused = cj_pipeline(*arguments(essays, "127.0.0.1:1", *options))
    assert refused.code == 2
    assert sentence in refused.err
