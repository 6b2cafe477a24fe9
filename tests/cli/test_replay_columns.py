"""`cj-pipeline replay` reads columns: the document and the digest are those of the events."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from cj_pipeline.cli.sources import answers_sha256_of_file, find_columns, find_source
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.runs.record import Side
from tests.sides import ANCHORS, LOWER5
from tests.traces.folders import TRACES, copy_of


def answered_again(lines: list[str]) -> list[str]:
    """The callbacks with a late second answer to the first comparison, under a request id of its own."""
    event = json.loads(lines[0])
    event["data"]["request_id"] = "again"
    event["data"]["winner"] = "Essay B" if event["data"]["winner"] == "Essay A" else "Essay A"
    return [*lines, json.dumps(event)]


@pytest.fixture
def file(tmp_path: Path) -> str:
    lines = (TRACES / LOWER5 / "llm_callbacks.jsonl").read_text(encoding="utf-8").splitlines()
    path = tmp_path / "again.jsonl"
    path.write_text("\n".join([*answered_again(lines), "{"]), encoding="utf-8")
    return str(path)


def assert_columns_say_what_events_say(source: str) -> None:
    whole = find_source(source).replayed(Side.RECORDED)
    found = find_columns(source)
    document, order = found.replayed()
    assert document == whole.document
    assert answers_sha256_of_file(found.path, order) == whole.answers_sha256()


@pytest.mark.parametrize("scenario_id", [LOWER5, ANCHORS])
def test_a_trace_gives_the_same_from_columns(scenario_id: str) -> None:
    assert_columns_say_what_events_say(str(TRACES / scenario_id))


def test_a_file_with_a_second_answer_gives_the_same_in_the_order_of_the_engine(file: str) -> None:
    assert_columns_say_what_events_say(file)
    document, order = find_columns(file).replayed()
    assert (document.duplicate_callbacks, document.quarantined_lines) == (1, 1)
    assert order[:3] == [0, 10, 1]


def test_a_callback_about_a_strange_essay_is_named_by_its_line(tmp_path: Path) -> None:
    folder = copy_of(LOWER5, tmp_path)
    path = folder / "llm_callbacks.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    event = json.loads(lines[2])
    event["data"]["request_metadata"]["essay_a_id"] = "stranger"
    path.write_text("\n".join([*lines[:2], json.dumps(event), *lines[3:]]), encoding="utf-8")
    sums = folder / "SHA256SUMS"
    before = next(line for line in sums.read_text().splitlines() if line.endswith(path.name))
    sums.write_text(sums.read_text().replace(before.split()[0], sha256(path.read_bytes()).hexdigest()))
    with pytest.raises(BadInput, match="'stranger' is not in the scenario's net") as problem:
        find_columns(str(folder))
    assert problem.value.line == 3
