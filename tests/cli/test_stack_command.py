"""`cj-pipeline stack` where no stack is up: what it says, and with which exit code."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cj_pipeline.local.processes import ProcessId
from cj_pipeline.local.stack_file import StackRecord, write_record
from cj_pipeline.local.stack_plan import SERVICES, StackRequest, plan_for
from tests.cli.terminal import Terminal, terminal_of
from tests.sides import ANCHORS, LOWER5, TRACES, scenario


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Terminal:
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("CJ_PIPELINE_TRACES_DIR", str(TRACES))
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    return terminal_of(monkeypatch, capsys)


def test_without_a_stack_there_is_nothing_to_show_to_end_or_to_drive(terminal: Terminal) -> None:
    told = terminal("stack", "status")
    assert (told.code, told.out) == (1, "no stack was started here\n")
    assert terminal("stack", "status", "--json").document == []
    told = terminal("stack", "down")
    assert (told.code, told.out) == (0, "nothing was up\n")
    told = terminal("stack", "drive")
    assert told.code == 2
    assert "No stack is up. Start one: cj-pipeline stack up" in told.err


@pytest.mark.parametrize("port", ["lps", "lps=", "lps=no", "lps=70000", "nobody=8080", "=8080"])
def test_a_port_that_is_none_is_a_usage_error_that_names_the_parts(port: str, terminal: Terminal) -> None:
    told = terminal("stack", "up", "--port", port)
    assert told.code == 2
    assert f"'{port}' is not PART=PORT. Parts: kafka, content, lps, cj, dagster." in told.err


def test_an_unknown_scenario_or_mode_is_told_before_anything_is_started(terminal: Terminal, tmp_path: Path) -> None:
    assert "no scenario 'eng5_lower'." in terminal("stack", "up", "eng5_lower").err
    assert "'invert' is not an overlay" in terminal("stack", "up", "--mode", "+invert").err
    assert not (tmp_path / "data").exists()


def test_processes_of_a_stack_that_crashed_are_known_to_be_gone(terminal: Terminal, tmp_path: Path) -> None:
    asked = StackRequest(scenario(LOWER5), "default", TRACES, tmp_path / "data", SERVICES, kafka="127.0.0.1:9")
    # This test's own process, which was not started when the stack's was.
    stale = ProcessId(pid=os.getpid(), started="1")
    write_record(StackRecord(plan=plan_for(asked), processes={"lps": stale}))
    shown = terminal("stack", "status", "--json")
    assert shown.code == 1
    assert [(part["name"], part["pid"]) for part in shown.document] == [("content", None), ("lps", None), ("cj", None)]
    assert "Not up: content, lps, cj. Start what is missing" in terminal("stack", "drive").err
    assert terminal("stack", "down").out == "nothing was up\n"


def test_a_password_of_the_database_is_in_a_file_that_its_user_alone_can_read(tmp_path: Path) -> None:
    secret = "postgresql://cj:secret@db/cj"
    asked = StackRequest(scenario(ANCHORS), "default", TRACES, tmp_path, kafka="127.0.0.1:9", database_url=secret)
    write_record(StackRecord(plan=plan_for(asked)))
    (file,) = (tmp_path / "stack").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert secret in file.read_text()


def test_a_spoilt_record_names_its_file_and_what_to_do(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "data" / "stack").mkdir(parents=True)
    (tmp_path / "data" / "stack" / "stack.json").write_text("{")
    told = terminal("stack", "status")
    assert told.code == 2
    assert "stack.json" in told.err
    assert "End those by hand, and remove it." in told.err
