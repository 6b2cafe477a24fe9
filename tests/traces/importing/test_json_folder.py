"""A folder of JSON, in whatever way a team kept its callbacks."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from cj_pipeline.contracts.callback import CallbackEvent, parse_callback
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.importing.json_folder import json_folder
from cj_pipeline.traces.importing.source import Found
from tests.traces.folders import LOWER5, TRACES, one_event

EVENTS = [json.loads(line) for line in (TRACES / LOWER5 / "llm_callbacks.jsonl").read_bytes().splitlines()]


def found(path: Path) -> list[Found]:
    """In the order of the trace: by time, and of equal times in the order in which they were found."""
    return sorted(json_folder(path).found, key=lambda one: one.time)


def requests(path: Path) -> list[str]:
    return [json.loads(one.raw)["data"]["request_id"] for one in found(path)]


def test_every_way_to_write_callbacks_down_gives_the_same_ones_in_the_order_of_time(tmp_path: Path) -> None:
    expected = [event["data"]["request_id"] for event in EVENTS]
    backwards = EVENTS[::-1]

    def lines(events: list[dict[str, Any]]) -> str:
        return "".join(json.dumps(event) + "\n" for event in events)

    ways: dict[str, dict[str, str | bytes]] = {
        "one file each, nested": {f"{9 - i}/{i}.json": json.dumps(event) for i, event in enumerate(EVENTS)},
        "a list": {"all.json": json.dumps(backwards)},
        "a pretty list": {"all.json": json.dumps(backwards, indent=4)},
        "lines": {"all.jsonl": lines(backwards)},
        "lines with a BOM, CRLF and blank lines": {
            "all.ndjson": "\ufeff" + lines(backwards).replace("\n", "\r\n\r\n"),
        },
        "lines that are called JSON": {"all.json": lines(backwards)},
        "lines, packed": {"all.jsonl.gz": gzip.compress(lines(backwards).encode())},
        "a bit of everything": {
            "a.jsonl": lines(backwards[:3]),
            "b/c.json.gz": gzip.compress(json.dumps(backwards[3:6]).encode()),
            "b/d/e.json": json.dumps(backwards[6], indent=2),
            "f.json": json.dumps(backwards[7:]),
            "notes.txt": "not read",
            ".hidden/x.json": "not read",
        },
    }
    for way, files in ways.items():
        for name, content in files.items():
            file = tmp_path / way / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        assert requests(tmp_path / way) == expected, way


def test_equal_times_keep_the_order_of_names_and_lines(tmp_path: Path) -> None:
    event = one_event()
    for name, ids in (("b.jsonl", "56"), ("a/z.jsonl", "12"), ("a.jsonl", "34")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        lines = []
        for request_id in ids:
            event["data"]["request_id"] = request_id
            lines.append(json.dumps(event) + "\n")
        (tmp_path / name).write_text("".join(lines))
    # By name: "a.jsonl" before "a/z.jsonl" before "b.jsonl".
    assert requests(tmp_path) == ["3", "4", "1", "2", "5", "6"]


def test_lines_are_numbered_where_they_begin(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("\n\n" + json.dumps(EVENTS[:2], indent=1))
    (tmp_path / "b.jsonl").write_text("\n" + json.dumps(EVENTS[2]) + "\n\nnonsense\n")
    length = len(json.dumps(EVENTS[0], indent=1).splitlines())
    assert [one.where for one in found(tmp_path)] == ["a.json:4", f"a.json:{4 + length}", "b.jsonl:2", "b.jsonl:4"]
    assert [one.numbered for one in found(tmp_path)][-1] == "file 2 of 2, line 4"


def test_a_bare_result_gets_an_envelope_and_provenance_says_so(tmp_path: Path) -> None:
    bare = one_event()["data"]
    (tmp_path / "bare.json").write_text(json.dumps(bare, indent=2))
    source = json_folder(tmp_path)
    (one,) = source.found
    callback = parse_callback(one.raw)
    assert isinstance(callback, CallbackEvent)
    assert b"\n" not in one.raw
    assert json.loads(one.raw)["data"] == bare
    assert callback.event_timestamp.isoformat() == bare["completed_at"].replace("Z", "+00:00")
    assert str(callback.correlation_id) == bare["correlation_id"]
    assert "1 were bare results" in source.known.statement
    assert source.known.fields["event_id"].origin == "derived"


def test_numbers_and_texts_of_a_pretty_printed_callback_stay_as_they_were_written(tmp_path: Path) -> None:
    text = json.dumps(one_event(), indent=2).replace('"cost_estimate": 0.01995', '"cost_estimate": 1.9950e-2')
    (tmp_path / "a.json").write_text(text.replace("Close;", "Cl\\u006fse;"))
    (one,) = found(tmp_path)
    assert b'"cost_estimate":1.9950e-2' in one.raw
    assert b"Cl\\u006fse;" in one.raw


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.json", b"nonsense", 1),
        ("a.json", b'{"event_id": 1,\n\n "x": nonsense}', 3),
        ("a.json", b"[{},\n{}", 2),
        ("a.json", b"\xff\xfe{}", 1),
        ("a.json", b"3", 1),
        ("a.json", b"[" * 5000, 1),
        ("a.jsonl", b'{"a": 1}\nnonsense', 1),
        ("a.jsonl.gz", b"no gzip", 1),
        ("a.json.gz", gzip.compress(b"{}", mtime=0)[:-4], 1),
    ],
)
def test_what_is_no_callback_is_found_all_the_same(name: str, content: bytes, line: int, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    first = found(tmp_path)[0]
    assert first.where == f"{name}:{line}"
    assert first.refused is not None or not isinstance(parse_callback(first.raw), CallbackEvent)


def test_one_file_may_be_named_instead_of_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "kept.log"
    path.write_text(json.dumps(EVENTS[0]))
    assert [one.where for one in found(path)] == ["kept.log:1"]


def test_a_folder_without_json_and_no_folder_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(BadInput, match=r"holds no file whose name ends in \.json, \.jsonl, \.ndjson"):
        json_folder(tmp_path)
    with pytest.raises(BadInput, match="no such folder"):
        json_folder(tmp_path / "nowhere")


def test_a_trace_keeps_its_provenance_and_is_not_imported(tmp_path: Path) -> None:
    for path in (TRACES / LOWER5, TRACES / LOWER5 / "llm_callbacks.jsonl"):
        with pytest.raises(BadInput, match="is in a trace already, whose provenance would be lost"):
            json_folder(path)


def test_a_capture_of_production_is_read_without_its_summary(tmp_path: Path) -> None:
    for name in ("llm_callbacks.jsonl", "summary.json"):
        (tmp_path / name).write_bytes((TRACES / LOWER5 / name).read_bytes())
    source = json_folder(tmp_path)
    assert len(list(source.found)) == 10
    assert source.known.remarks == ("1 files summary.json beside llm_callbacks.jsonl were left alone.",)
    (tmp_path / "llm_callbacks.jsonl").rename(tmp_path / "other.jsonl")
    assert len(found(tmp_path)) == 11


def test_what_is_no_file_is_named_and_missing(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "a.json").write_text(json.dumps(EVENTS[0]))
    (tmp_path / "kept" / "notes.txt").write_text("not read")
    os.mkfifo(tmp_path / "kept" / "pipe.jsonl")
    (tmp_path / "kept" / "more").symlink_to(tmp_path)
    (tmp_path / "kept" / "gone.json").symlink_to(tmp_path / "nowhere")
    source = json_folder(tmp_path / "kept")
    assert len(list(source.found)) == 1
    assert source.known.missing == ("3 entries of the folder are no files and were not read.",)
    assert source.known.remarks == (
        "1 files with other endings were left alone.",
        "gone.json is a link that leads to no file and was not read.",
        "more is a link to a folder and was not read.",
        "pipe.jsonl is a FIFO and was not read.",
    )
