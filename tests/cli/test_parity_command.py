"""`cj-pipeline parity`: exit codes and what it says."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

import cj_pipeline as cj_pipeline_api
from cj_pipeline.parity.check import INPUT
from cj_pipeline.parity.compare import ALL_CHECKS
from tests.cli.terminal import Terminal, printed_rows
from tests.sides import ANCHORS, GENERIC, LADDER, LOWER5, TRACES, live, trace

STATED = "judge: {repeatability: 1, reason: production demands it of this judge}\n"


def write_live(path: Path, scenario_id: str, mode: str = "") -> Path:
    lines = [event.model_dump_json(exclude_unset=True) for event in live(scenario_id, mode).events]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_again(path: Path, scenario_id: str) -> Path:
    """The recorded answers, under request ids of their own: a second run that answers exactly alike."""
    lines = []
    for number, line in enumerate(trace(scenario_id).callbacks.events):
        document = json.loads(line.event.model_dump_json(exclude_unset=True))
        document["data"]["request_id"] = f"again-{number}"
        lines.append(json.dumps(document))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def changed_file(path: Path, scenario_id: str, renamed: Callable[[str], str]) -> Path:
    """The recorded answers with other ids of essays."""
    lines = []
    for line in trace(scenario_id).callbacks.events:
        document = json.loads(line.event.model_dump_json(exclude_unset=True))
        metadata = document["data"]["request_metadata"]
        metadata |= {key: renamed(metadata[key]) for key in ("essay_a_id", "essay_b_id")}
        lines.append(json.dumps(document))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def with_line(folder: Path, scenario_id: str, line: str) -> Path:
    """A copy of a scenario with one line more in scenario.yaml."""
    target = folder / scenario_id
    shutil.copytree(TRACES / scenario_id, target)
    file = target / "scenario.yaml"
    file.write_text(file.read_text(encoding="utf-8") + line, encoding="utf-8")
    return target


def failures(junit: Path) -> int:
    return sum(int(suite.get("failures", "")) for suite in ElementTree.parse(junit).getroot())  # noqa: S314 - our own


def test_the_faithful_mock_exits_with_0(cj_pipeline: Terminal) -> None:
    answer = cj_pipeline("parity", ANCHORS)
    assert answer.code == 0, answer.out
    assert answer.out.splitlines()[1].startswith("PARITY: ")


@pytest.mark.parametrize(
    ("overlay", "red"),
    [
        ("coin", "repeatability"),
        ("inverted", "anchor_tau"),
        ("instant", "latency_mean"),
        ("tokens_x1_4", "tokens_total"),
    ],
)
def test_a_mock_broken_on_purpose_exits_with_1_and_is_named(cj_pipeline: Terminal, overlay: str, red: str) -> None:
    answer = cj_pipeline("parity", LOWER5, "--mode", f"+{overlay}", "--json")
    assert answer.code == 1
    assert answer.document["verdict"] == "NO PARITY"
    assert red in {check["check"] for check in answer.document["checks"] if check["verdict"] == "fail"}
    assert answer.document["live"]["judge"] == f"eng5_lower5_gpt51_low+{overlay}"


def test_a_second_run_that_answers_alike_is_parity_and_shown_in_80_columns(
    cj_pipeline: Terminal, tmp_path: Path
) -> None:
    answer = cj_pipeline("parity", LADDER, write_again(tmp_path / "again.jsonl", LADDER), columns=80)
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[1].startswith("PARITY: ")
    assert answer.out.isascii()
    assert max(len(line) for line in lines) <= 80
    rows = {row[0]: row for row in printed_rows(answer.out, "Checks") if row[0]}
    assert rows["winner_share"] == ["winner_share", "pass", "0.5 / 0.5 share", "-0.2 to +0.2", "EQUIVALENT"]
    assert all(row[1] and row[4] for row in rows.values())


def test_a_recording_against_itself_cannot_tell(cj_pipeline: Terminal) -> None:
    own = TRACES / LADDER / "llm_callbacks.jsonl"
    for flags in ((), ("--accept-unproven",)):
        answer = cj_pipeline("parity", LADDER, own, *flags)
        assert answer.code == 3
        assert "Why: both sides are the same file" in answer.out


def test_too_few_answers_cannot_tell_and_may_be_accepted(cj_pipeline: Terminal, tmp_path: Path) -> None:
    recorded = write_again(tmp_path / "recorded.jsonl", LOWER5)
    # Five essays judged once: a coin would get past too often.
    again = tmp_path / "again.jsonl"
    again.write_text(recorded.read_text().replace('"again-', '"once-more-'), encoding="utf-8")
    answer = cj_pipeline("parity", recorded, again, "--json")
    assert answer.code == 3
    assert [reason["doubt"] for reason in answer.document["reasons"]][-1] == "UNPROVEN"
    assert "fair coin" in answer.document["reasons"][-1]["sentence"]
    accepted = cj_pipeline("parity", recorded, again, "--accept-unproven", "--json", "--junit", tmp_path / "x.xml")
    assert (accepted.code, accepted.document["exit_code"], failures(tmp_path / "x.xml")) == (0, 0, 0)


def test_without_a_gate_it_cannot_tell_and_that_is_never_accepted(cj_pipeline: Terminal, tmp_path: Path) -> None:
    switched_off = "".join(
        f"  {check.name}: switched off by this test\n" for check in ALL_CHECKS if check.group != INPUT
    )
    folder = with_line(tmp_path, LADDER, f"checks_off:\n{switched_off}")
    answer = cj_pipeline("parity", folder, write_again(tmp_path / "again.jsonl", LADDER), "--accept-unproven")
    assert answer.code == 3
    assert "Why: no gate is on, so nothing was compared." in answer.out


@pytest.mark.parametrize("check", ["recorded_lines", "live_lines"])
def test_what_says_that_the_input_is_whole_cannot_be_switched_off(
    check: str, cj_pipeline: Terminal, tmp_path: Path
) -> None:
    folder = with_line(tmp_path, LADDER, f"checks_off: {{{check}: some lines are broken}}\n")
    answer = cj_pipeline("parity", folder)
    assert answer.code == 2
    words = " ".join(answer.err.split())
    assert f"checks_off.{check}: it says whether there is everything to compare" in words
    assert re.search(r"scenario\.yaml:\d+: ", words)


def test_strict_cannot_tell_where_evidence_is_inconclusive(cj_pipeline: Terminal, tmp_path: Path) -> None:
    again = write_again(tmp_path / "again.jsonl", LADDER)
    answer = cj_pipeline("parity", LADDER, again, "--strict", "--json")
    assert answer.code == 3
    assert answer.document["verdict"] == "CANNOT TELL"
    inconclusive = {c["check"] for c in answer.document["checks"] if c["evidence"] == "INCONCLUSIVE"}
    assert "answer_agreement" in inconclusive
    assert set(answer.document["gates"]["inconclusive"]) == inconclusive
    # Inconclusive evidence is not missing power: the flag does not take it.
    assert cj_pipeline("parity", LADDER, again, "--strict", "--accept-unproven").code == 3


def test_strict_exits_with_1_when_a_gate_fails_as_well(cj_pipeline: Terminal) -> None:
    assert cj_pipeline("parity", LOWER5, "--strict", "--mode", "+inverted").code == 1


def test_parity_exits_by_the_verdict_and_says_what_was_expected(cj_pipeline: Terminal, tmp_path: Path) -> None:
    folder = with_line(tmp_path, LADDER, "expect: {verdict: CANNOT TELL, reason: for the sake of this test}\n")
    junit = tmp_path / "parity.xml"
    answer = cj_pipeline("parity", folder, "--junit", junit)
    assert (answer.code, failures(junit)) == (0, 0)
    assert answer.out.splitlines()[1].startswith("PARITY, expected CANNOT TELL: ")
    # What is expected is expected of the mock, and says nothing about another recording.
    again = cj_pipeline("parity", folder, write_again(tmp_path / "again.jsonl", LADDER))
    assert again.code == 0
    assert again.out.splitlines()[1].startswith("PARITY: ")


def test_a_stated_repeatability_is_repeated(cj_pipeline: Terminal, tmp_path: Path) -> None:
    (tmp_path / "stated").mkdir()
    folder = TRACES / LOWER5
    if "judge:" not in (folder / "scenario.yaml").read_text(encoding="utf-8"):
        folder = with_line(tmp_path / "stated", LOWER5, STATED)
    answer = cj_pipeline("parity", folder, write_again(tmp_path / "again.jsonl", LOWER5))
    assert "Taken as given: repeatability 1, since " in answer.out


def test_json_has_every_check_and_both_identities(cj_pipeline: Terminal) -> None:
    document = cj_pipeline("parity", GENERIC, "--json").document
    assert [check["check"] for check in document["checks"]] == [check.name for check in ALL_CHECKS]
    assert document["recorded"]["judge"] == GENERIC
    assert len(document["live"]["sha256"]) == 64


def test_two_files_are_compared_without_a_scenario(cj_pipeline: Terminal, tmp_path: Path) -> None:
    recording = TRACES / ANCHORS / "llm_callbacks.jsonl"
    same = cj_pipeline("parity", recording, write_again(tmp_path / "today.jsonl", ANCHORS), "--json")
    assert same.code == 0, same.out
    off = {check["check"]: check["sentence"] for check in same.document["checks"] if check["verdict"] == "off"}
    assert off["guardrail_bundle_calls"] == "the live side came without /metrics"
    assert off["anchor_tau"] == "fewer than two different known grades in this net"
    other = cj_pipeline("parity", recording, write_live(tmp_path / "broken.jsonl", ANCHORS, "+inverted"))
    assert other.code == 1


def test_a_file_alone_is_told_that_no_mode_was_fitted_to_it(cj_pipeline: Terminal, tmp_path: Path) -> None:
    recording = write_again(tmp_path / "mine.jsonl", ANCHORS)
    words = "No mode was fitted to this file: the mock answered under 'default'"
    for arguments in ((), ("--mode", "+inverted")):
        document = cj_pipeline("parity", recording, *arguments, "--json").document
        assert document["lines"][1].startswith(words)
        assert document["next"] == f"cj-pipeline traces import NAME --from-folder {recording}"
    fitted = cj_pipeline("parity", recording, "eng5_anchor_gpt51_low")
    assert words not in fitted.out


def test_a_scenario_is_compared_with_a_file_under_its_own_grades(cj_pipeline: Terminal, tmp_path: Path) -> None:
    answer = cj_pipeline("parity", LADDER, write_again(tmp_path / "today.jsonl", LADDER), "--json")
    assert answer.code == 0, answer.out
    anchor_tau = next(c for c in answer.document["checks"] if c["check"] == "anchor_tau")
    assert anchor_tau["recorded"] == anchor_tau["live"] > 0.9


def test_lines_that_cannot_be_used_make_it_cannot_tell_on_either_side(cj_pipeline: Terminal, tmp_path: Path) -> None:
    whole, cut = (write_again(tmp_path / name, LADDER) for name in ("whole.jsonl", "cut.jsonl"))
    cut.write_text(cut.read_text().replace('"again-', '"other-') + '{"event_id": "cut', encoding="utf-8")
    live_side = cj_pipeline("parity", whole, cut)
    assert "cut.jsonl:67: Invalid JSON" in live_side.err
    for answer, side in ((live_side, "live side"), (cj_pipeline("parity", cut, whole), "recording")):
        assert answer.code == 3
        assert f"Why: 1 lines of the {side} could not be used" in answer.out
    assert cj_pipeline("parity", cut, whole, "--accept-unproven").code == 3


def test_reports_are_written_as_markdown_junit_and_html(cj_pipeline: Terminal, tmp_path: Path) -> None:
    markdown, junit, html = tmp_path / "parity.md", tmp_path / "parity.xml", tmp_path / "parity.html"
    files = ("--markdown", markdown, "--junit", junit, "--html", html)
    assert cj_pipeline("parity", LOWER5, "--mode", "+instant", *files).code == 1
    assert "The mock has drifted: " in html.read_text(encoding="utf-8")
    assert "| `latency_mean` | fail |" in markdown.read_text()
    assert "Settling it takes about" in markdown.read_text()
    suite = ElementTree.parse(junit).getroot()[0]  # noqa: S314 - our own file
    assert suite.get("tests") == str(len(ALL_CHECKS) + 1)
    failed = {case.get("name") for case in suite if case.find("failure") is not None}
    assert {"latency_mean", "latency_p95", "verdict"} <= failed


def test_tolerances_are_proposed_as_yaml(cj_pipeline: Terminal) -> None:
    answer = cj_pipeline("tolerances", "propose", LOWER5)
    assert answer.code == 0
    first, *lines = answer.out.splitlines()
    assert first == "tolerances:"
    assert any(line.startswith("  answer_agreement: {difference: ") for line in lines)
    assert "reason" in cj_pipeline("tolerances", "propose", LOWER5, "--json").document["winner_share"]


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


@pytest.mark.parametrize(
    "arguments",
    [("--seed", "7"), ("--realtime",), ("--label", "x"), ("--lps", "http://127.0.0.1:9"), ("--mode", "+coin")],
)
def test_how_to_ask_is_refused_beside_a_live_side_that_is_recorded(
    cj_pipeline: Terminal, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    answer = cj_pipeline("parity", LADDER, write_again(tmp_path / "again.jsonl", LADDER), *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert arguments[0] in answer.err


@pytest.mark.parametrize("command", [("parity",), ("gauntlet",), ("tolerances", "propose")])
def test_a_profile_is_refused_where_a_scenario_has_one(cj_pipeline: Terminal, command: tuple[str, ...]) -> None:
    answer = cj_pipeline(*command, LADDER, "--profile", "generic")
    assert (answer.code, answer.out) == (2, "")
    assert "profile: is 'eng5_anchor' there; --profile is for a file without a scenario." in answer.err


@pytest.mark.parametrize("formats", [("--json", "--csv"), ("--csv", "--json")])
@pytest.mark.parametrize("command", [("parity", LADDER), ("traces", "list"), ("history",)])
def test_two_formats_are_refused(cj_pipeline: Terminal, command: tuple[str, ...], formats: tuple[str, ...]) -> None:
    answer = cj_pipeline(*command, *formats)
    assert (answer.code, answer.out) == (2, "")
    assert "Give --json or --csv, not both." in answer.err


def test_an_empty_file_is_named(cj_pipeline: Terminal, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    answer = cj_pipeline("parity", tmp_path / "empty.jsonl", ANCHORS)
    assert (answer.code, "empty.jsonl: is empty." in answer.err) == (2, True)


def test_a_file_of_another_schema_is_named_by_line_and_field(cj_pipeline: Terminal, tmp_path: Path) -> None:
    (tmp_path / "other.jsonl").write_text('{"winner": "essay_a"}\n')
    answer = cj_pipeline("replay", tmp_path / "other.jsonl")
    assert answer.code == 2
    assert "other.jsonl:1: event_id: no line is a usable callback; the first: Field required" in answer.err


def test_the_first_divergence_is_said_with_what_it_changes(cj_pipeline: Terminal) -> None:
    answer = cj_pipeline("parity", LOWER5, "--mode", "+inverted", "--first-divergence")
    assert answer.code == 1
    assert "First different answer: wave 1, comparison 1" in " ".join(answer.out.split())
    assert "Flipped alone, it changes" in " ".join(answer.out.split())


def test_another_recording_is_not_held_against_what_the_scenario_expects_of_its_mock(cj_pipeline: Terminal) -> None:
    """Two prompts of one real model: the first scenario expects CANNOT TELL of its own mock."""
    both = [TRACES / name for name in ("smollm2_plain_v1", "smollm2_rubric_v1")]
    shown = cj_pipeline("parity", *both)
    assert shown.code == 1
    assert "NO PARITY: " in shown.out
    assert "tokens_prompt" in shown.out
    assert "expected" not in shown.out.split("Checks")[0].lower()
    report = cj_pipeline_api.parity(*both)
    assert report.verdict == "NO PARITY"
    assert ", expected " not in repr(report)


def test_python_tells_what_the_terminal_tells(cj_pipeline: Terminal, tmp_path: Path) -> None:
    again = write_again(tmp_path / "again.jsonl", ANCHORS)
    lines = cj_pipeline("parity", ANCHORS, again, "--json").document["lines"]
    told = [line.strip() for line in repr(cj_pipeline_api.parity(ANCHORS, again)).splitlines()]
    assert told == [f"ParityResult({ANCHORS}) {lines[0]}", *lines[1:]]


def test_python_names_a_file_with_its_folder_in_the_next_command(cj_pipeline: Terminal, tmp_path: Path) -> None:
    mine = write_again(tmp_path / "mine.jsonl", LOWER5)
    assert repr(cj_pipeline_api.parity(mine)).endswith(f"Next: cj-pipeline traces import NAME --from-folder {mine}")


def test_another_scenario_is_a_live_side_by_its_id(cj_pipeline: Terminal) -> None:
    plain, rubric = "smollm2_plain_v1", "smollm2_rubric_v1"
    by_id = cj_pipeline("parity", plain, rubric, "--json").document
    by_folder = cj_pipeline("parity", plain, TRACES / rubric, "--json").document
    assert by_id["live"] == by_folder["live"]
    assert by_id["verdict"] == "NO PARITY"


def test_a_name_that_is_a_mode_and_a_scenario_is_the_mode(
    cj_pipeline: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mode = "eng5_anchor_ladder"
    for name in (LADDER, mode):
        shutil.copytree(TRACES / LADDER, tmp_path / "traces" / name)
    monkeypatch.setenv("CJ_PIPELINE_TRACES_DIR", str(tmp_path / "traces"))
    assert cj_pipeline("parity", LADDER, mode, "--json").document["live"]["judge"] == mode


def test_a_folder_of_callbacks_leads_to_an_import(cj_pipeline: Terminal, tmp_path: Path) -> None:
    write_again(tmp_path / "mine.jsonl", ANCHORS)
    answer = cj_pipeline("parity", tmp_path)
    assert (answer.code, "cj-pipeline traces import NAME --from-folder FOLDER" in answer.err) == (2, True)


@pytest.mark.parametrize("text", ["[{}]", "request_id,winner\n1,Essay A\n"])
def test_a_file_in_another_format_is_told_the_right_one(cj_pipeline: Terminal, tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.txt").write_text(text)
    answer = cj_pipeline("parity", tmp_path / "mine.txt")
    assert (answer.code, "Write JSON lines, one callback a line;" in answer.err) == (2, True)


def test_a_limit_given_as_text_is_named(cj_pipeline: Terminal, tmp_path: Path) -> None:
    folder = with_line(tmp_path, LADDER, "")
    file = folder / "scenario.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("{share: 0.15}", "{share: '0.15'}"), encoding="utf-8")
    answer = cj_pipeline("parity", folder)
    assert answer.code == 2
    assert "scenario.yaml:47: tolerances.tokens_prompt: share: a limit is a number, a reason is text." in answer.err


def test_sides_without_a_common_essay_are_refused(cj_pipeline: Terminal, tmp_path: Path) -> None:
    other = changed_file(tmp_path / "other.jsonl", LADDER, lambda essay: f"pseudonym-{essay}")
    answer = cj_pipeline("parity", TRACES / LADDER, other)
    assert answer.code == 2
    assert "has no essay in common with" in answer.err
    assert "import both, or neither" in " ".join(answer.err.split())


def test_a_mode_of_other_essays_is_named(cj_pipeline: Terminal, tmp_path: Path) -> None:
    own = changed_file(tmp_path / "own.jsonl", LADDER, lambda essay: f"pseudonym-{essay}")
    answer = cj_pipeline("parity", own, "--mode", "eng5_anchor_ladder")
    assert "knows none of these" in " ".join(answer.err.split())
    assert "knows none of these" not in cj_pipeline("parity", TRACES / LADDER, "--mode", "eng5_anchor_ladder").err


@pytest.mark.parametrize("name", ["nosuch.jsonl", "nosuch.JSON", "nosuch.jsonl.gz"])
def test_a_file_that_is_not_there_is_named_on_either_side(cj_pipeline: Terminal, name: str) -> None:
    for sides in ((ANCHORS, name), (name, ANCHORS)):
        answer = cj_pipeline("parity", *sides)
        assert (answer.code, f"{name}: no such file." in answer.err) == (2, True), answer.err


def test_a_live_side_that_was_imported_with_broken_lines_is_partial(
    cj_pipeline: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CJ_PIPELINE_TRACES_DIR", str(tmp_path / "traces"))
    whole = write_again(tmp_path / "whole.jsonl", ANCHORS)
    broken = tmp_path / "broken.jsonl"
    broken.write_text(
        whole.read_text(encoding="utf-8").replace("again-", "later-") + "garbage\n" * 30, encoding="utf-8"
    )
    for name, file in (("mine", whole), ("theirs", broken)):
        answer = cj_pipeline("traces", "import", name, "--from-folder", file, "--no-redact")
        assert (tmp_path / "traces" / name / "scenario.yaml").is_file(), answer.err
    both = [str(tmp_path / "traces" / name) for name in ("mine", "theirs")]
    for recorded, other, side in ((*both, "live side"), (*both[::-1], "recording")):
        answer = cj_pipeline("parity", recorded, other, "--json")
        assert answer.code == 3
        assert answer.document["verdict"] == "CANNOT TELL"
        assert [reason["sentence"] for reason in answer.document["reasons"] if reason["doubt"] == "PARTIAL"] == [
            f"the {side} is partial: 30 of what was found are no usable callbacks; quarantine.jsonl says why"
        ]
        assert cj_pipeline_api.parity(recorded, other).verdict == "CANNOT TELL"
