"""`parity --between`: recordings against each other, and what it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.terminal import Terminal, printed_rows
from tests.recordings import Event, with_recording
from tests.sides import LOWER5


def test_one_judge_asked_twice_is_parity_both_ways(cj_pipeline: Terminal, tmp_path: Path) -> None:
    folder = with_recording(tmp_path)
    answer = cj_pipeline("parity", folder, "--between", columns=80)
    assert answer.code == 0, answer.out
    rows = printed_rows(answer.out, "Recordings")
    assert [row[:3] for row in rows] == [["main", "second", "PARITY"], ["second", "main", "PARITY"]]
    assert max(map(len, answer.out.splitlines())) <= 80


def other_model(event: Event) -> None:
    event["data"]["model"] = event["data"]["request_metadata"]["resolved_model"] = "gpt-4o-mini"


def test_another_judge_is_named_as_json_and_fails(cj_pipeline: Terminal, tmp_path: Path) -> None:
    folder = with_recording(tmp_path, other_model)
    answer = cj_pipeline("parity", folder, "--between", "--json")
    assert (answer.code, answer.document["verdict"], answer.document["exit_code"]) == (1, "NO PARITY", 1)
    assert answer.document["recordings"] == ["main", "second"]
    for one in answer.document["comparisons"]:
        assert one["gates"]["failed"] == ["identity"]
    assert {(one["fitted"], one["judged"]) for one in answer.document["comparisons"]} == {
        ("main", "second"),
        ("second", "main"),
    }


def test_rows_and_files_name_both_recordings(cj_pipeline: Terminal, tmp_path: Path) -> None:
    folder = with_recording(tmp_path)
    junit, markdown = tmp_path / "junit.xml", tmp_path / "report.md"
    answer = cj_pipeline("parity", folder, "--between", "--csv", "--junit", junit, "--markdown", markdown)
    assert answer.code == 0
    assert {tuple(line.split(",")[:2]) for line in answer.out.splitlines()[1:]} == {
        ("main", "second"),
        ("second", "main"),
    }
    assert f'name="{LOWER5}: {LOWER5}/second by {LOWER5}"' in junit.read_text()
    assert markdown.read_text().count("\n# ") == 1


def test_one_recording_is_refused_with_the_command_that_adds_another(cj_pipeline: Terminal) -> None:
    answer = cj_pipeline("parity", LOWER5, "--between")
    assert answer.code == 2
    assert (
        f"has one recording, and --between compares two. Add one: cj-pipeline traces import --into {LOWER5}"
        in answer.err
    )


@pytest.mark.parametrize("arguments", [("--seed", 3), ("--mode", "+inverted"), ("+inverted",), ("--realtime",)])
def test_what_is_about_a_mock_is_refused(arguments: tuple[object, ...], cj_pipeline: Terminal) -> None:
    answer = cj_pipeline("parity", LOWER5, "--between", *arguments)
    assert answer.code == 2
    assert "--between compares recordings" in answer.err


def test_a_file_has_no_recordings(cj_pipeline: Terminal, tmp_path: Path) -> None:
    file = with_recording(tmp_path) / "llm_callbacks.jsonl"
    answer = cj_pipeline("parity", file, "--between")
    assert (answer.code, "is a file; --between compares the recordings of a scenario" in answer.err) == (2, True)
