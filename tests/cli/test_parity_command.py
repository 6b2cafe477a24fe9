"""`cj-pipeline parity`: exit codes and what it says."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from cj_pipeline.parity.compare import ALL_CHECKS
from tests.cli.terminal import Terminal
from tests.sides import ANCHORS, GENERIC, LOWER5, TRACES, live


def write_live(path: Path, scenario_id: str, mode: str = "") -> Path:
    lines = [event.model_dump_json(exclude_unset=True) for event in live(scenario_id, mode).events]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_the_faithful_mock_exits_with_0(cj_pipeline: Terminal) -> None:
    answer = cj_pipeline("parity", ANCHORS)
    assert answer.code == 0
    assert "PARITY: 32 of 32 checks passed" in answer.out


@pytest.mark.parametrize(
    ("overlay", "red"),
    [
        ("coin", "pair_agreement"),
        ("inverted", "rank_agreement"),
        ("instant", "latency_mean"),
        ("tokens_x1_4", "tokens_total"),
    ],
)
def test_a_mock_broken_on_purpose_exits_with_1_and_is_named(cj_pipeline: Terminal, overlay: str, red: str) -> None:
    answer = cj_pipeline("parity", LOWER5, "--mode", f"+{overlay}", "--json")
    assert answer.code == 1
    assert red in {check["check"] for check in answer.document["checks"] if check["verdict"] == "fail"}
    assert answer.document["live"]["judge"] == f"eng5_lower5_gpt51_low+{overlay}"


def test_strict_exits_with_3_when_ten_comparisons_prove_too_little(cj_pipeline: Terminal) -> None:
    answer = cj_pipeline("parity", LOWER5, "--strict", "--json")
    assert answer.code == 3
    inconclusive = {c["check"] for c in answer.document["checks"] if c["evidence"] == "INCONCLUSIVE"}
    assert "error_rate" in inconclusive


def test_strict_exits_with_1_when_a_gate_fails_as_well(cj_pipeline: Terminal) -> None:
    assert cj_pipeline("parity", LOWER5, "--strict", "--mode", "+inverted").code == 1


def test_strict_exits_with_0_where_all_evidence_is_conclusive(cj_pipeline: Terminal) -> None:
    assert cj_pipeline("parity", ANCHORS, "--strict").code == 0


def test_json_has_every_check_and_both_identities(cj_pipeline: Terminal) -> None:
    document = cj_pipeline("parity", GENERIC, "--json").document
    assert [check["check"] for check in document["checks"]] == [check.name for check in ALL_CHECKS]
    assert document["recorded"]["judge"] == GENERIC
    assert len(document["live"]["sha256"]) == 64


def test_two_files_are_compared_without_a_scenario(cj_pipeline: Terminal, tmp_path: Path) -> None:
    recording = TRACES / ANCHORS / "llm_callbacks.jsonl"
    same = cj_pipeline("parity", recording, write_live(tmp_path / "today.jsonl", ANCHORS), "--json")
    assert same.code == 0, same.out
    off = {check["check"]: check["sentence"] for check in same.document["checks"] if check["verdict"] == "off"}
    assert off["guardrail_bundle_calls"] == "the live side came without /metrics"
    assert off["anchor_tau"] == "fewer than two different known grades in this net"
    other = cj_pipeline("parity", recording, write_live(tmp_path / "broken.jsonl", ANCHORS, "+inverted"))
    assert other.code == 1


def test_a_scenario_is_compared_with_a_file_under_its_own_grades(cj_pipeline: Terminal, tmp_path: Path) -> None:
    answer = cj_pipeline("parity", LOWER5, write_live(tmp_path / "today.jsonl", LOWER5), "--json")
    assert answer.code == 0, answer.out
    assert next(c for c in answer.document["checks"] if c["check"] == "anchor_tau")["recorded"] == 1.0


def test_a_live_file_with_bad_lines_is_compared_without_them_and_says_so(cj_pipeline: Terminal, tmp_path: Path) -> None:
    path = write_live(tmp_path / "today.jsonl", LOWER5)
    path.write_text(path.read_text() + '{"event_id": "cut', encoding="utf-8")
    answer = cj_pipeline("parity", LOWER5, path)
    assert "today.jsonl:11: Invalid JSON" in answer.err


def test_a_recording_with_bad_lines_fails_its_check(cj_pipeline: Terminal, tmp_path: Path) -> None:
    path = write_live(tmp_path / "recorded.jsonl", LOWER5)
    path.write_text(path.read_text() + "{}\n", encoding="utf-8")
    answer = cj_pipeline("parity", path, write_live(tmp_path / "live.jsonl", LOWER5), "--json")
    assert answer.code == 1
    assert [c["check"] for c in answer.document["checks"] if c["verdict"] == "fail"] == ["recorded_lines"]


def test_reports_are_written_as_markdown_and_junit(cj_pipeline: Terminal, tmp_path: Path) -> None:
    markdown, junit = tmp_path / "parity.md", tmp_path / "parity.xml"
    assert cj_pipeline("parity", LOWER5, "--mode", "+instant", "--markdown", markdown, "--junit", junit).code == 1
    assert "| `latency_mean` | fail |" in markdown.read_text()
    assert "Settling it takes about" in markdown.read_text()
    suite = ElementTree.parse(junit).getroot()[0]  # noqa: S314 - our own file
    assert (suite.get("tests"), suite.get("failures")) == (str(len(ALL_CHECKS)), "4")
    assert {case.get("name") for case in suite if case.find("failure") is not None} == {
        "latency_mean", "latency_p95", "latency_p99", "latency_shape",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("eng5_lower5_gpt51_low_2025",), "Did you mean 'eng5_lower5_gpt51_low_20251202'"),
        (
            (LOWER5, "--mode", "eng5_anchr_gpt51_low"),
            "'eng5_anchr_gpt51_low' is not a mode. Did you mean 'eng5_anchor_gpt51_low'",
        ),
        ((LOWER5, "--mode", "+invertd"), "'invertd' is not an overlay. Did you mean 'inverted'"),
        ((LOWER5, "some.yaml"), "some.yaml: no such file"),
        ((LOWER5, "live.jsonl", "--mode", "+coin"), "Give LIVE or --mode, not both"),
    ],
)
def test_what_is_not_there_exits_with_2_and_says_what_is(
    cj_pipeline: Terminal, arguments: tuple[str, ...], words: str
) -> None:
    answer = cj_pipeline("parity", *arguments)
    assert answer.code == 2
    assert words in answer.err


def test_an_empty_file_is_named(cj_pipeline: Terminal, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    answer = cj_pipeline("parity", tmp_path / "empty.jsonl", ANCHORS)
    assert (answer.code, "empty.jsonl: is empty." in answer.err) == (2, True)


def test_a_file_of_another_schema_is_named_by_line_and_field(cj_pipeline: Terminal, tmp_path: Path) -> None:
    (tmp_path / "other.jsonl").write_text('{"winner": "essay_a"}\n')
    answer = cj_pipeline("replay", tmp_path / "other.jsonl")
    assert answer.code == 2
    assert "other.jsonl:1: event_id: no line is a usable callback; the first: Field required" in answer.err
