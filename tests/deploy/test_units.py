"""The units of deploy/systemd are ones that systemd takes, hardened, and run what compose.yaml runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from cj_pipeline.alerts.settings import PREFIX as ALERT_PREFIX
from cj_pipeline.cli.health import health
from cj_pipeline.foundation.secret_files import SECRETS
from cj_pipeline.services.cj.settings import CjSettings
from cj_pipeline.services.lps.settings import LpsSettings
from tests.deploy.parts import COMPOSE, PARTS, seconds
from tests.house import REPOSITORY

FOLDER = REPOSITORY / "deploy" / "systemd"
COMMON = "cj-pipeline-.service.d/common.conf"
UNITS = sorted(path.name for path in FOLDER.iterdir() if path.suffix in {".service", ".timer", ".target"})
SERVICES = [name for name in UNITS if name.endswith(".service")]

INSTALLED = "/opt/cj-pipeline"


def read(name: str) -> Mapping[str, list[str]]:
    """The lines `key=value` of a unit, by key."""
    found: dict[str, list[str]] = {}
    for line in (FOLDER / name).read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


def test_there_is_a_unit_for_each_part_and_two_timers() -> None:
    assert {f"cj-pipeline-{part}.service" for part in PARTS} <= set(SERVICES)
    assert set(UNITS) - {f"cj-pipeline-{part}.service" for part in PARTS} == {
        "cj-pipeline.target",
        *(f"cj-pipeline-{name}.{kind}" for name in ("nightly", "watch") for kind in ("service", "timer")),
    }


@pytest.mark.parametrize("part", PARTS)
def test_a_part_runs_what_its_container_runs(part: str) -> None:
    unit = read(f"cj-pipeline-{part}.service")
    program, *arguments = COMPOSE["services"][part]["command"]
    (command,) = unit["ExecStart"]
    assert command.startswith(f"{INSTALLED}/.venv/bin/{program} {arguments[0]}")
    for name in ("cj_pipeline.definitions", "serve", "run"):
        assert (name in command.split()) is (name in arguments)
    assert "0.0.0.0" not in command  # noqa: S104


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_started_when_its_probe_says_so_started_again_and_ended_with_time(part: str) -> None:
    unit = read(f"cj-pipeline-{part}.service")
    (probe,) = unit["ExecStartPost"]
    program, command, *words = probe.split()
    assert (program, command) == (f"{INSTALLED}/.venv/bin/cj-pipeline", "health")
    asked = health.make_context("health", words).params  # raises for an option that is not there
    assert asked["part"] == part
    assert 0 < asked["wait_s"] < float(unit["TimeoutStartSec"][0])
    assert unit["Restart"] == ["on-failure"]
    assert unit["StartLimitIntervalSec"] == ["0"]
    assert float(unit["TimeoutStopSec"][0]) == seconds(COMPOSE["services"][part]["stop_grace_period"])


def test_all_share_a_user_without_rights_and_write_one_folder() -> None:
    common = read(COMMON)
    assert common["User"] == ["cj-pipeline"]
    assert common["ProtectSystem"] == ["strict"]
    assert common["CapabilityBoundingSet"] == [""]
    assert (common["KillMode"], common["KillSignal"]) == (["mixed"], ["SIGTERM"])
    assert common["EnvironmentFile"] == common["AssertPathExists"] == ["/etc/cj-pipeline/settings.env"]
    variables = dict(pair.split("=", 1) for line in common["Environment"] for pair in line.split())
    state = {f"/var/lib/{name}" for name in common["StateDirectory"][0].split()}
    assert {variables[name] for name in ("DAGSTER_HOME", "CJ_PIPELINE_DATA_DIR", "CJ_PIPELINE_TRACES_DIR")} <= state


def test_the_nights_are_those_of_the_schedule_and_of_the_watch() -> None:
    assert read("cj-pipeline-nightly.timer")["OnCalendar"] == ["*-*-* 03:00:00 UTC"]
    night = read("cj-pipeline-nightly.service")
    condition = re.search(r"is-active cj-pipeline-daemon.service; then exit (\d+); fi", night["ExecCondition"][0])
    assert condition is not None
    assert condition[1] not in night["SuccessExitStatus"][0].split()  # systemd would take it for "run"
    assert read("cj-pipeline-watch.timer")["OnCalendar"] == ["*-*-* 05:30:00 UTC"]
    assert read("cj-pipeline-watch.service")["ExecStart"] == [f"{INSTALLED}/.venv/bin/cj-pipeline alerts check"]
    for name in ("nightly", "watch"):
        assert read(f"cj-pipeline-{name}.timer")["Persistent"] == ["yes"]


def test_units_that_are_named_exist() -> None:
    named = {
        word
        for unit in UNITS
        for key in ("After", "Wants", "PartOf", "WantedBy")
        for value in read(unit).get(key, ())
        for word in value.split()
        if word.startswith("cj-pipeline")
    }
    assert named - set(UNITS) == set()


def test_settings_of_the_example_are_ones_that_are_read() -> None:
    text = (FOLDER / "settings.env.example").read_text(encoding="utf-8")
    names = set(re.findall(r"^#?([A-Z][A-Z_]+)=", text, re.MULTILINE))
    lps = {f"LLM_PROVIDER_SERVICE_{name.upper()}" for name in LpsSettings.model_fields}
    cj = {f"CJ_ASSESSMENT_SERVICE_{name.upper()}" for name in CjSettings.model_fields}
    others = {"KAFKA_BOOTSTRAP_SERVERS", "ENVIRONMENT"}
    assert {name for name in names - lps - cj - SECRETS - others if not name.startswith(ALERT_PREFIX)} == set()


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units on a machine where the programs are installed; the checkout is in another place than they say."""
    units = Path(shutil.copytree(FOLDER, tmp_path / "units"))
    programs = tmp_path / "opt" / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("cj-pipeline", "dagster", "dagster-daemon", "dagster-webserver"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    for path in units.rglob("*"):
        if path.is_file():
            path.write_text(path.read_text(encoding="utf-8").replace(INSTALLED, str(tmp_path / "opt")))
    return units


def analyze(units: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:", "SYSTEMD_COLORS": "0"}
    return subprocess.run(
        ["systemd-analyze", *arguments], cwd=units, env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.servers("systemd")
def test_systemd_takes_every_unit_without_a_word(installed: Path) -> None:
    said = analyze(installed, "verify", "--man=no", *UNITS)
    assert (said.returncode, said.stdout + said.stderr) == (0, "")


@pytest.mark.servers("systemd")
def test_systemd_would_complain_of_a_key_that_there_is_not(installed: Path) -> None:
    path = installed / COMMON
    path.write_text(path.read_text(encoding="utf-8").replace("ProtectHome=", "ProtectHouse="))
    assert "ProtectHouse" in analyze(installed, "verify", "--man=no", "cj-pipeline-lps.service").stderr


@pytest.mark.servers("systemd")
@pytest.mark.parametrize("service", SERVICES)
def test_a_unit_exposes_little(service: str, installed: Path) -> None:
    # Of 10.0; a unit that says nothing has 9.6. What is left is the network.
    said = analyze(installed, "security", "--offline=true", "--no-pager", "--threshold=20", service)
    assert said.returncode == 0, said.stdout
