"""No name of a pupil that is on the topic is anywhere in what a redacted capture leaves, or says."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from click.testing import CliRunner
from confluent_kafka import Producer

from cj_pipeline.cli.capture import capture_command
from cj_pipeline.traces.capture.capture import capture
from cj_pipeline.traces.message_filter import Selection
from cj_pipeline.traces.store import read_trace
from tests.kafka import create_topic, fresh_topic
from tests.traces.capture.topics import captured, request, settings
from tests.traces.planted import everything_below, leaks, plant

OTHERS = "the batch of Asa Qvistberg9999z"


@pytest.fixture(scope="module")
def planted(kafka: str) -> tuple[str, list[str]]:
    """A topic of planted messages, and the markers in them; keys are planted too."""
    topic = fresh_topic("planted")
    create_topic(kafka, topic, 2)
    messages, markers = plant()
    producer = Producer({"bootstrap.servers": kafka, "log_level": 0})
    for place, message in enumerate(messages):
        producer.produce(topic, message, key=f"Asa Qvistberg8888z {place}", partition=place % 2)
    # A batch that is called after somebody, and a callback that contradicts another.
    producer.produce(topic, messages[0].replace(b'"batch"', f'"{OTHERS}"'.encode()), partition=0)
    producer.produce(topic, messages[0].replace(b"Essay A", b"Essay B"), partition=1)
    assert producer.flush(30) == 0
    return topic, [*markers, "Qvistberg8888z", "Qvistberg9999z"]


def test_nothing_planted_is_in_the_trace_or_the_log(
    kafka: str, planted: tuple[str, list[str]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    topic, markers = planted
    with caplog.at_level(logging.DEBUG):
        result = captured(kafka, topic, tmp_path, selection=Selection(bos_batch_id="batch"))
    assert result.counts["taken"] > 100
    assert min(result.counts["foreign"], result.counts["malformed"], result.counts["contradiction"]) > 0
    assert leaks(markers, everything_below(tmp_path), caplog.text, repr(result)) == []
    assert read_trace(result.folder).callbacks.quarantined == ()


def test_a_batch_that_is_called_after_somebody_has_a_pseudonym_everywhere(
    kafka: str, planted: tuple[str, list[str]], tmp_path: Path
) -> None:
    topic, markers = planted
    result = captured(kafka, topic, tmp_path, selection=Selection(bos_batch_id=OTHERS))
    assert result.counts["taken"] == 1
    assert leaks(markers, everything_below(tmp_path), repr(result)) == []


def test_nothing_planted_is_in_a_draft(
    kafka: str, planted: tuple[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, markers = planted
    # All of it is read, and then publishing fails.
    monkeypatch.setattr("cj_pipeline.traces.capture.capture.write_trace", _fails)
    with pytest.raises(OSError, match="disk full"):
        capture(request(topic, tmp_path, selection=Selection(bos_batch_id="batch")), settings(kafka))
    left = everything_below(tmp_path)
    assert len(left) > 100_000
    assert leaks(markers, left) == []


def _fails(*_: object, **__: object) -> None:
    raise OSError("disk full")


def test_nothing_planted_is_on_the_terminal(kafka: str, planted: tuple[str, list[str]], tmp_path: Path) -> None:
    topic, markers = planted
    options = ["--topic", topic, "--kafka", kafka, "--output-dir", tmp_path / "out", "--key", tmp_path / "key"]
    for scenario_id, more in (("tables", []), ("document", ["--json"])):
        answer = CliRunner().invoke(
            capture_command, [scenario_id, "--bos-batch-id", "batch", *map(str, options), *more]
        )
        assert answer.exit_code == 3, answer.output
        assert leaks(markers, answer.output) == []
