"""Every block of docs/first-recording.md does what the page says."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

from cj_pipeline.contracts.callback import Rejection, parse_callback
from cj_pipeline.contracts.essay_ids import essay_rejection
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.reports.mode_reference import mode_keys
from cj_pipeline.reports.rooms import REPOSITORY
from tests.cli.terminal import Terminal

PAGE = (REPOSITORY / "docs" / "first-recording.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (\S.*)$", PAGE, re.MULTILINE)
OTHER_BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_every_command_ends_as_the_page_says(
    cj_pipeline: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CJ_PIPELINE_TRACES_DIR", "traces")
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "traces").mkdir()
    ran = []
    for line in COMMANDS:
        command, _, remark = line.partition("#")
        program, *arguments = shlex.split(command)
        expected = int(found.group(1)) if (found := re.search(r"exit code (\d+)", remark)) else 0
        if program == "cj-pipeline":
            answer = cj_pipeline(*arguments)
            assert answer.code == expected, (line, answer.out, answer.err)
            ran.append(arguments[0])
        elif program == "python":
            monkeypatch.setattr(sys, "argv", arguments[1:])
            monkeypatch.delitem(sys.modules, arguments[1], raising=False)  # another test may have imported it
            runpy.run_module(arguments[1], run_name="__main__")
        else:
            assert line == "source .venv/bin/activate"
    first = ["traces", "traces", "parity", "parity", "parity", "parity", "calibrate", "parity"]
    assert ran == [*first, "traces", "calibrate", "parity"]
    assert "Posterior mean from 66 prompts" in load_mode("traces/my_judge/mode.yaml").origins["winner.repeatability"]


def test_the_callback_is_one() -> None:
    (text,) = [block for kind, block in OTHER_BLOCKS if kind == "json"]
    event = parse_callback(json.dumps(json.loads(text)).encode())
    assert not isinstance(event, Rejection)
    assert essay_rejection(event.data.request_metadata) is None


def test_the_mode_is_one(tmp_path: Path) -> None:
    (text,) = [block for kind, block in OTHER_BLOCKS if kind == "yaml"]
    (tmp_path / "mode.yaml").write_text(text)
    assert load_mode(str(tmp_path / "mode.yaml")).name == "quick_judge"


def test_every_kind_of_block_is_tried() -> None:
    assert {kind for kind, _ in OTHER_BLOCKS} == {"json", "yaml"}


def test_every_key_of_a_mode_says_what_it_means() -> None:
    rows = [line for line in mode_keys().splitlines()[2:] if "keys, by `model`" not in line]
    assert [row for row in rows if row.endswith("|  |")] == []
    assert len(rows) > 100
