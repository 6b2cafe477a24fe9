"""One reader of callbacks: columns and events agree, enveloped and bare, and nothing is lost in between."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces import reader
from cj_pipeline.traces.reader import CallbackColumns, columns_of, read_callbacks, read_columns
from cj_pipeline.traces.request_ids import RequestIds
from cj_pipeline.traces.store import CALLBACKS_FILE
from cj_pipeline.traces.summary import summarise_file
from tests.traces.folders import ANCHORS, TRACES, one_event, write_lines

FILE = TRACES / ANCHORS / CALLBACKS_FILE


def bare_file(path: Path) -> Path:
    """The callbacks of a trace as production's own capture writes them."""
    return write_lines(path, *(json.loads(line)["data"] for line in FILE.read_bytes().splitlines()))


def listed(columns: CallbackColumns) -> dict[str, list[Any]]:
    names = [name for name in CallbackColumns.__dataclass_fields__ if name != "quarantined"]
    return {name: list(getattr(columns, name)) for name in names}


@pytest.mark.parametrize("bare", [False, True], ids=["enveloped", "bare"])
def test_columns_say_what_the_events_say(bare: bool, tmp_path: Path) -> None:
    path = bare_file(tmp_path / "bare.jsonl") if bare else FILE
    (columns,) = read_columns(path)
    events = read_callbacks(path).events
    assert {event.event.bare for event in events} == {bare}
    assert listed(columns) == listed(columns_of(event.event.data for event in events))


def test_chunks_together_are_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = FILE.read_bytes().splitlines()
    spoilt = [*lines[:20], b"no callback", *lines[20:], lines[3], b"", lines[40]]
    path = tmp_path / "spoilt.jsonl"
    path.write_bytes(b"\n".join(spoilt))
    whole = summarise_file(path, "s")
    monkeypatch.setattr(reader, "CHUNK_LINES", 7)
    chunks = list(read_columns(path))
    assert len(chunks) == 10
    assert summarise_file(path, "s") == whole == summarise_file(FILE, "s")
    found = [(q.line, q.field, q.reason, q.raw) for chunk in chunks for q in chunk.quarantined]
    assert found == [(q.line, q.field, q.reason, q.raw) for q in read_callbacks(path).quarantined]
    assert [(line, field, reason) for line, field, reason, _ in found[1:]] == [
        (68, "data.request_id", "already seen on line 4"),
        (70, "data.request_id", "already seen on line 42"),
    ]
    assert found[0][3] == b"no callback"


def test_a_bare_line_is_named_as_it_is_written(tmp_path: Path) -> None:
    data = one_event()["data"]
    same = {**data, "request_metadata": {"essay_a_id": "a", "essay_b_id": "a"}}
    path = write_lines(tmp_path / "bare.jsonl", data, data, same)
    fields = [(line.line, line.field) for line in read_callbacks(path).quarantined]
    assert fields == [(2, "request_id"), (3, "request_metadata.essay_b_id")]


def test_an_essay_without_an_id_is_none(tmp_path: Path) -> None:
    event = one_event()
    event["data"]["request_metadata"]["essay_b_id"] = ""
    (line,) = read_callbacks(write_lines(tmp_path / "empty.jsonl", event)).quarantined
    assert (line.field, line.reason) == ("data.request_metadata.essay_b_id", "empty")


@pytest.mark.parametrize("name", ["packed.jsonl.gz", "packed.NDJSON"])
def test_a_packed_file_with_a_byte_order_mark_is_read_as_the_plain_one(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + bare_file(tmp_path / "bare.jsonl").read_bytes()))
    assert summarise_file(path, "s") == summarise_file(FILE, "s")


def test_a_line_in_another_encoding_is_refused_and_not_set_aside(tmp_path: Path) -> None:
    event = one_event(1)
    event["data"]["justification"] = "Åsa skriver bättre."
    path = tmp_path / "windows.jsonl"
    path.write_bytes(json.dumps(one_event()).encode() + b"\n" + json.dumps(event, ensure_ascii=False).encode("cp1252"))
    for read in (read_callbacks, lambda path: list(read_columns(path))):
        with pytest.raises(BadInput, match=r"windows\.jsonl:2: is not UTF-8"):
            read(path)


def test_noise_is_set_aside_and_stops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "noise.jsonl"
    path.write_bytes(json.dumps(one_event()).encode() + b"\n\xff\xfe\x00noise\n")
    file = read_callbacks(path)
    assert ([event.line for event in file.events], [bad.raw for bad in file.quarantined]) == (
        [1],
        [b"\xff\xfe\x00noise"],
    )


@given(st.lists(st.lists(st.integers(0, 60).map(str), max_size=30), max_size=8))
def test_request_ids_know_the_first_line_of_each(chunks: list[list[str]]) -> None:
    seen, first, line = RequestIds(), dict[str, int](), 0
    for ids in chunks:
        lines = list(range(line + 1, line + 1 + len(ids)))
        line += len(ids)
        expected = [first.setdefault(id_, number) for id_, number in zip(ids, lines, strict=True)]
        assert seen.first_lines(ids, lines) == expected
