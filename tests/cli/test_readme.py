"""This module tests that the examples of the README do what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cj_pipeline.cli.warehouse import print_suite, suite_row
from cj_pipeline.parity.tables import report_rows
from cj_pipeline.reports.rooms import REPOSITORY
from tests.cli.terminal import Terminal
from tests.sides import LOWER5, SCENARIOS, TRACES, live, report

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_the_parity_tables_are_what_the_command_prints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    reports = [report(scenario_id, live(scenario_id)) for scenario_id in SCENARIOS]
    print_suite([suite_row(one.scenario.scenario_id, report_rows(one), broke_off=False) for one in reports])
    tables, _, _ = capsys.readouterr().out.partition("\ninconclusive:")
    assert tables.strip() in README


def without_envelopes(text: str) -> str:
    return "".join(f"{json.dumps(json.loads(line)['data'])}\n" for line in text.splitlines())


def test_three_commands_compare_two_recordings_enveloped_and_bare(
    cj_pipeline: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = (TRACES / LOWER5 / "llm_callbacks.jsonl").read_text(encoding="utf-8")
    (tmp_path / "A.jsonl").write_text(events, encoding="utf-8")
    (tmp_path / "B.jsonl").write_text(without_envelopes(events), encoding="utf-8")
    (tmp_path / "traces").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CJ_PIPELINE_TRACES_DIR", "traces")
    block = next(block for block in re.findall(r"(?:^    .+\n)+", README, re.MULTILINE) if "traces import" in block)
    commands = [line.split()[1:] for line in block.splitlines()]
    assert [command[0] for command in commands] == ["traces", "traces", "parity"]
    answers: list[Any] = [cj_pipeline(*command) for command in commands]
    # Both files hold the same ten answers here, and a recording against itself proves nothing: CANNOT TELL.
    assert [answer.code for answer in answers] == [0, 0, 3], answers
