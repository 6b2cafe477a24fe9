"""`cj-pipeline stack` where no stack runs: what it says, and with which exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.settings import PipelineSettings
from cj_pipeline.local.drive import DriveRequest
from cj_pipeline.local.parts import servers_of
from cj_pipeline.local.stack_plan import StackPlan
from tests.cli.terminal import Terminal, terminal_of
from tests.sides import LOWER5, TRACES, scenario


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Terminal:
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("CJ_PIPELINE_TRACES_DIR", str(TRACES))
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    return terminal_of(monkeypatch, capsys)


def test_without_a_stack_there_is_nothing_to_drive(terminal: Terminal) -> None:
    answer = terminal("stack", "drive", "--port", "lps=9")
    assert answer.code == 2
    assert "http://127.0.0.1:9: no LPS answers there (ConnectError)." in answer.err


@pytest.mark.parametrize("port", ["lps", "lps=", "lps=no", "lps=70000", "nobody=8080", "=8080"])
@pytest.mark.parametrize("command", [(), ("drive",)])
def test_a_port_that_is_none_is_a_usage_error_that_names_the_parts(
    port: str, command: tuple[str, ...], terminal: Terminal
) -> None:
    answer = terminal("stack", *command, "--port", port)
    assert answer.code == 2
    assert f"'{port}' is not PART=PORT. Parts: kafka, content, lps, cj, dagster." in answer.err


def test_an_unknown_scenario_or_mode_is_named_before_anything_is_started(terminal: Terminal, tmp_path: Path) -> None:
    assert "no scenario 'eng5_lower'." in terminal("stack", "--scenario", "eng5_lower").err
    assert "'invert' is not an overlay" in terminal("stack", "--mode", "+invert").err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "instead"),
    [
        (("up",), "Write: cj-pipeline stack [--scenario ID]"),
        (("up", "eng5_lower5_gpt51_low_20251202", "--no-dagster"), "Write: cj-pipeline stack [--scenario ID]"),
        (("down", "--wipe"), "Stop it with Ctrl-C where it runs."),
        (("status", "--json"), "says where it runs which parts are up."),
    ],
)
def test_a_command_that_was_removed_says_what_to_do_instead(
    arguments: tuple[str, ...], instead: str, terminal: Terminal
) -> None:
    answer = terminal("stack", *arguments)
    assert answer.code == 2
    assert f"'stack {arguments[0]}' was removed: `cj-pipeline stack` runs in the foreground now" in answer.err
    assert instead in answer.err


def test_a_captured_batch_goes_where_the_stacks_dagster_looks(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[DriveRequest] = []

    def drive(_: object, request: DriveRequest, report: object) -> None:
        asked.append(request)
        raise BadInput("that is enough.", path="test")

    monkeypatch.setattr("cj_pipeline.local.driven_batch.drive", drive)
    assert "that is enough" in terminal("stack", "drive").err
    plan = StackPlan(scenario(LOWER5), "default", PipelineSettings().traces_dir, PipelineSettings().data_dir)
    environment = servers_of(plan)["dagster"].spec.environment
    assert environment["CJ_PIPELINE_TRACES_DIR"] == str(asked[0].output_dir.absolute()) == str(TRACES)
