"""`cj-pipeline replay --what-if`: tables for people, JSON for machines, errors that name the setting."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.terminal import Terminal, printed_rows
from tests.sides import ANCHORS, LOWER5, TRACES


def test_every_combination_is_a_row(cj_pipeline: Terminal) -> None:
    answer = cj_pipeline("replay", ANCHORS, "--what-if", "budget=40,66", "--what-if", "strategy=recorded,balanced")
    assert answer.code == 0
    assert "the same answers under other settings; median (and range) of 5 seeds" in answer.out
    first_cells = [row[0] for row in printed_rows(answer.out, "ENG5")]
    assert [cell for cell in first_cells if cell] == ["as recorded", "1", "2", "3", "4"]


def test_json_has_settings_summaries_and_every_course(cj_pipeline: Terminal) -> None:
    arguments = ("--what-if", "budget=60", "--what-if", "strategy=balanced", "--what-if", "floor=61")
    document = cj_pipeline("replay", LOWER5, *arguments, "--seeds", 3, "--json").document
    assert document["scenario_id"] == LOWER5
    assert document["seeds"] == [42, 43, 44]
    (outcome,) = document["outcomes"]
    assert outcome["settings"] == {
        "max_pairwise_comparisons": 60,
        "pairing": "balanced",
        "min_comparisons_for_stability_check": 61,
    }
    # 10 pairs and three passes over them, all of it recorded verdicts of the ten.
    assert outcome["ended_by"] == {"FINALIZE_SCORING: small_cap_reached": 3}
    assert outcome["comparisons"] == {"median": 40, "low": 40, "high": 40}
    assert outcome["repeated_share"]["median"] == 0.75
    assert [course["seed"] for course in outcome["courses"]] == [42, 43, 44]
    assert document["as_recorded"]["comparisons"]["median"] == 10
    assert document["notes"][0].startswith("repeated: ")


def test_the_table_can_be_written_as_markdown(cj_pipeline: Terminal, tmp_path: Path) -> None:
    table = tmp_path / "table.md"
    assert cj_pipeline("replay", ANCHORS, "--what-if", "budget=40,66", "--markdown", table).code == 0
    heading, _, first, *_ = table.read_text().splitlines()
    assert heading.startswith("| what if | budget | ended by | comparisons | waves | tau-b |")
    assert first.startswith("| as recorded | 66 | budget | 66 | 11 | 1 |")


def test_a_bare_file_can_be_tried_too(cj_pipeline: Terminal) -> None:
    callbacks = TRACES / ANCHORS / "llm_callbacks.jsonl"
    document = cj_pipeline("replay", callbacks, "--what-if", "budget=20", "--seeds", 1, "--json").document
    assert document["outcomes"][0]["comparisons"]["median"] == 20


def test_lines_left_out_of_a_recording_are_told(cj_pipeline: Terminal, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_bytes((TRACES / LOWER5 / "llm_callbacks.jsonl").read_bytes() + b"{}\n")
    answer = cj_pipeline("replay", broken, "--what-if", "budget=5", "--json")
    assert (answer.code, "broken.jsonl:11: " in answer.err) == (0, True)
    assert answer.document["outcomes"][0]["comparisons"]["median"] == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--what-if", "bugdet=40"), "--what-if bugdet: not a setting of the engine. Did you mean 'budget'?"),
        (("--what-if", "budget=lots"), "--what-if max_pairwise_comparisons: 'lots': Input should be a valid integer"),
        (("--seeds", 3), "--seeds and --markdown go with --what-if"),
        (("--markdown", "table.md"), "--seeds and --markdown go with --what-if"),
        (("--what-if", "budget=40", "--seeds", 0), "0 is not in the range 1<=x<=200"),
    ],
)
def test_what_cannot_be_tried_exits_with_2(cj_pipeline: Terminal, arguments: tuple[object, ...], words: str) -> None:
    answer = cj_pipeline("replay", LOWER5, *arguments)
    assert answer.code == 2
    assert words in answer.err
