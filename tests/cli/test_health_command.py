"""`cj-pipeline health` says by its exit code whether a part is ready, and is what probes call."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cj_pipeline.foundation import exit_codes
from cj_pipeline.local.ports import free_port
from cj_pipeline.local.probes import PARTS
from tests.cli.terminal import Terminal
from tests.local.test_probes import STOPPING, answering

HEALTHY = json.dumps({"status": "healthy", "message": "The service answers comparisons."})


def test_a_part_that_is_ready_is_code_0(cj_pipeline: Terminal) -> None:
    with answering(200, HEALTHY) as address:
        answer = cj_pipeline("health", "lps", "--at", address)
    assert (answer.code, answer.out) == (exit_codes.PASSED, "lps: ready. The service answers comparisons.\n")


def test_a_part_that_is_not_is_code_1_and_says_what_it_lacks(cj_pipeline: Terminal) -> None:
    with answering(503, STOPPING) as address:
        answer = cj_pipeline("health", "lps", "--at", address)
        alive = cj_pipeline("health", "lps", "--at", address, "--live")
    assert (answer.code, answer.out) == (exit_codes.CHECK_FAILED, "lps: not ready. The service is stopping.\n")
    assert (alive.code, alive.out) == (exit_codes.PASSED, "lps: alive. The service is stopping.\n")


def test_a_container_says_by_a_variable_which_part_it_is(
    cj_pipeline: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CJ_PIPELINE_PART", "cj")
    with answering(200, HEALTHY) as address:
        assert cj_pipeline("health", "--at", address).out.startswith("cj: ready.")


def test_without_a_part_all_five_are_asked(
    cj_pipeline: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    addresses = {part: f"127.0.0.1:{free_port()}" for part in PARTS if part != "daemon"}
    monkeypatch.setattr("cj_pipeline.local.probes.DEFAULT_ADDRESSES", addresses)
    answer = cj_pipeline("health", "--json")
    assert answer.code == exit_codes.CHECK_FAILED
    assert {one["part"]: one["state"] for one in answer.document} == dict.fromkeys(PARTS, "not ready")
    assert f"There is no dagster.yaml in '{tmp_path}'" in answer.document[-1]["detail"]


def test_parts_on_other_ports_are_named_as_for_the_stack(
    cj_pipeline: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with answering(200, HEALTHY) as cj, answering(200, "{}") as ui:
        monkeypatch.setenv("CJ_PIPELINE_STACK_PORTS", f"kafka=19092 cj={cj.rpartition(':')[2]}")
        assert cj_pipeline("health", "cj").out.startswith("cj: ready.")
        monkeypatch.setenv("CJ_PIPELINE_STACK_PORTS", f"dagster={ui.rpartition(':')[2]}")
        states = {one["part"]: one["state"] for one in cj_pipeline("health", "--live", "--json").document}
    assert states["webserver"] == "alive"
    assert "is not PART=PORT" in cj_pipeline("health", "--port", "3001").err


def test_it_waits_as_long_as_it_is_asked_to(cj_pipeline: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(503, STOPPING) as away, answering(200, HEALTHY) as there:
        # The part gets ready while the command waits.
        addresses = {"lps": away}
        monkeypatch.setattr("cj_pipeline.local.probes.DEFAULT_ADDRESSES", addresses)
        monkeypatch.setattr("cj_pipeline.cli.health.time.sleep", lambda _: addresses.update(lps=there))
        assert cj_pipeline("health", "lps", "--wait", 60).code == exit_codes.PASSED


def test_the_parts_of_the_command_are_those_that_are_probed() -> None:
    from cj_pipeline.cli.health import _PARTS

    assert _PARTS == PARTS


@pytest.mark.parametrize("arguments", [("daemon", "--at", "127.0.0.1:1"), ("--at", "127.0.0.1:1"), ("kafka",)])
def test_what_cannot_be_asked_is_refused(cj_pipeline: Terminal, arguments: tuple[str, ...]) -> None:
    assert cj_pipeline("health", *arguments).code == exit_codes.BAD_INPUT


def test_a_secret_file_that_is_not_there_stops_every_command(
    cj_pipeline: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CJ_PIPELINE_POSTGRES_URL_FILE", "/run/secrets/nowhere")
    answer = cj_pipeline("lps", "modes")
    assert answer.code == exit_codes.BAD_INPUT
    assert "CJ_PIPELINE_POSTGRES_URL_FILE: '/run/secrets/nowhere' cannot be read" in answer.err
