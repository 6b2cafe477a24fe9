"""This module tests that an unfinished recording through a CJ service goes on from notes of an older version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cj_pipeline.bus.kafka.settings import KafkaSettings
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.versions import NewerVersion
from cj_pipeline.local.recorded_batch import CjDeployment, record_batches
from cj_pipeline.runs.recording.draft import draft_folder
from cj_pipeline.runs.remote import ServiceUnreachable
from tests.runs.recording.fake_judge import request_of

NOBODY = CjDeployment("http://127.0.0.1:9", "http://127.0.0.1:9", None, KafkaSettings(bootstrap_servers="127.0.0.1:9"))


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """The notes of a recording that was begun while nobody answered, as the version before wrote them."""
    with pytest.raises(ServiceUnreachable):
        record_batches(request_of(tmp_path), NOBODY)
    path = draft_folder(request_of(tmp_path).target) / "batches.json"
    document = json.loads(path.read_bytes())
    assert document.pop("schema_version") == 2
    path.write_text(json.dumps({**document, "label": "of-then"}))
    return path


def test_notes_without_a_version_are_gone_on_with(notes: Path, tmp_path: Path) -> None:
    with pytest.raises(ServiceUnreachable):  # and not: begun with something else
        record_batches(request_of(tmp_path), NOBODY)
    assert json.loads(notes.read_bytes())["label"] == "of-then"


def test_notes_of_a_newer_version_are_refused_and_left(notes: Path, tmp_path: Path) -> None:
    notes.write_text('{"schema_version": 3}')
    with pytest.raises(NewerVersion, match=r"batches\.json: is version 3 of the notes of an unfinished recording"):
        record_batches(request_of(tmp_path), NOBODY)
    assert notes.read_text() == '{"schema_version": 3}'


@pytest.mark.parametrize("text", ["", "[]", '{"schema_version": 2', "{}"])
def test_damaged_notes_are_named_with_a_remedy(notes: Path, tmp_path: Path, text: str) -> None:
    notes.write_text(text)
    with pytest.raises(BadInput, match=r"batches\.json: does not say what was asked for\. .*--restart"):
        record_batches(request_of(tmp_path), NOBODY)
