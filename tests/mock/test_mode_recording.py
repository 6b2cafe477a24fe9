from __future__ import annotations

import json

import pytest

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.mock.mode.files import load_mode
from tests.mock.recordings import failed, recorded, replaying, write_mode


def test_the_digest_of_a_replaying_mode_follows_the_trace_and_not_its_place(tmp_path):
    lines = [recorded(1), recorded(2)]
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one = replaying(tmp_path / "one", lines).sha256()
    assert replaying(tmp_path / "two", lines).sha256() == one
    assert replaying(tmp_path / "two", [recorded(1), recorded(3)]).sha256() != one


def test_empty_lines_and_repeated_deliveries_do_not_count(tmp_path):
    recording = replaying(tmp_path, [recorded(1), "", recorded(2), recorded(1), "\r"]).recording
    assert recording is not None
    assert [answer.response_time_ms for answer in recording.answers] == [1001, 1002]


def test_the_trace_is_looked_for_beside_the_file_that_names_it(tmp_path, monkeypatch):
    (tmp_path / "modes").mkdir()
    write_mode(tmp_path / "modes", [recorded(1)])
    monkeypatch.chdir(tmp_path)
    assert load_mode("modes/mode.yaml").recording is not None


@pytest.mark.parametrize(
    ("line", "field", "problem"),
    [
        ("{", None, "Invalid JSON"),
        (recorded(2, winner="Neither"), "data.winner", "'Essay A' or 'Essay B'"),
        (recorded(2, confidence=9.0), "data.confidence", "less than or equal to 5"),
        (recorded(2, request_metadata={"essay_a_id": "a"}), "data.request_metadata.essay_b_id", "missing"),
        (recorded(2, request_metadata={"essay_a_id": None}), "data.request_metadata.essay_a_id", "missing"),
    ],
)
def test_a_line_that_cannot_be_replayed_is_named_without_its_words(tmp_path, line, field, problem):
    with pytest.raises(BadInput) as raised:
        replaying(tmp_path, [recorded(1), line])
    assert (raised.value.path, raised.value.line) == (tmp_path / "trace.jsonl", 2)
    assert raised.value.field == field
    assert problem in str(raised.value)
    assert raised.value.remedy
    assert "Visby" not in str(raised.value)


def test_a_trace_without_a_winner_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"trace\.jsonl: no callback here has a winner"):
        replaying(tmp_path, [failed(1, "a", "b")])


@pytest.mark.parametrize(
    ("sections", "field", "line", "problem"),
    [
        ({"winner": "{model: replay, callbacks: nowhere.jsonl}"}, "winner.callbacks", 4, "there is no file"),
        ({"latency": "{model: replay, callbacks: 7}"}, "latency.callbacks", 5, "must be the path"),
        ({"prompt": "{model: replay}"}, "tokens.prompt.callbacks", 7, "missing."),
        ({"winner": "{model: replay, callbacks: trace.jsonl, unknown: guess}"}, "winner.unknown", 4, "'coin'"),
        ({"confidence": "{model: replay, callbacks: trace.jsonl, base: 3.0}"}, "confidence.base", 9, "not a key here"),
        ({"completion": "{model: replay, callbacks: other.jsonl}"}, "(top level)", None, "tokens.completion.callbacks"),
    ],
)
def test_a_mistake_in_a_replaying_mode_is_named_by_file_line_and_key(tmp_path, sections, field, line, problem):
    (tmp_path / "other.jsonl").write_text(recorded(9), encoding="utf-8")
    path = write_mode(tmp_path, [recorded(1)], **sections)
    with pytest.raises(BadInput) as raised:
        load_mode(str(path))
    assert (raised.value.path, raised.value.field, raised.value.line) == (path, field, line)
    assert problem in str(raised.value)


def test_a_failure_keeps_its_status_when_it_is_one(tmp_path):
    lines = [recorded(1), failed(2, "a", "b", status_code=429), failed(3, "a", "b", status_code="429")]
    recording = replaying(tmp_path, lines).recording
    assert recording is not None
    assert [answer.status_code for answer in recording.answers] == [None, 429, None]
    assert json.loads(recording.model_dump_json())["answers"][1]["error_code"] == "TIMEOUT"
