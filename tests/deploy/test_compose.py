"""What deploy/compose.yaml promises: an order of starts, time to end, secrets from files, ports of this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cj_pipeline.foundation.secret_files import SECRETS, SUFFIX
from cj_pipeline.local.probes import DEFAULT_ADDRESSES
from cj_pipeline.local.probes import PARTS as PROBED
from cj_pipeline.services.cj.settings import CjSettings
from cj_pipeline.services.lps.settings import LpsSettings
from tests.deploy.compose import compose_command, needs_no_name
from tests.deploy.parts import COMPOSE, PARTS, PORTS, seconds, settings_file
from tests.house import REPOSITORY
from tests.local.test_compose import COMPOSE as SERVERS

SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OTHERS = ("postgres", "redis", "kafka")


def folders(part: str) -> dict[str, str]:
    """Volume by the folder at which a part has it."""
    return {target: volume for volume, target in (one.split(":")[:2] for one in SERVICES[part].get("volumes", ()))}


def test_it_has_the_five_parts_that_can_be_probed_and_three_servers() -> None:
    assert set(SERVICES) == {*PARTS, *OTHERS}
    assert set(PARTS) == set(PROBED)
    assert {part: int(address.rpartition(":")[2]) for part, address in DEFAULT_ADDRESSES.items()} == PORTS


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_probed_restarted_and_has_no_rights(part: str) -> None:
    service = SERVICES[part]
    assert service["environment"]["CJ_PIPELINE_PART"] == part
    assert service["healthcheck"]["test"] == ["CMD", "cj-pipeline", "health"]
    assert service["restart"] == "unless-stopped"
    assert (service["read_only"], service["cap_drop"], service["init"]) == (True, ["ALL"], True)
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["env_file"] == "settings.env"


@pytest.mark.parametrize("name", [*PARTS, *OTHERS])
def test_everything_waits_for_what_it_needs_and_has_a_grace(name: str) -> None:
    service = SERVICES[name]
    needed = {
        "webserver": {"postgres", "code-server"}, "daemon": {"postgres", "code-server"},
        "code-server": {"postgres"}, "lps": {"redis", "kafka"}, "cj": {"postgres", "kafka", "lps"},
    }  # fmt: skip
    depends = service.get("depends_on", {})
    assert set(depends) == needed.get(name, set())
    assert all(one == {"condition": "service_healthy"} for one in depends.values())
    assert seconds(service["stop_grace_period"]) >= 30
    assert service["logging"]["options"]["max-size"]


def test_the_lps_has_time_for_its_drain() -> None:
    service = SERVICES["lps"]
    drain = float(service["environment"]["LLM_PROVIDER_SERVICE_SHUTDOWN_DRAIN_SECONDS"])
    assert drain >= LpsSettings().shutdown_drain_seconds
    assert seconds(service["stop_grace_period"]) >= drain + 30


def test_runs_have_the_folders_that_they_write_and_the_ui_sees_what_they_print() -> None:
    runs = folders("code-server")
    assert set(runs) == {"/var/lib/cj-pipeline/data", "/var/lib/cj-pipeline/traces", "/opt/cj-pipeline/storage"}
    for part in ("webserver", "daemon"):
        assert folders(part)["/opt/cj-pipeline/storage"] == runs["/opt/cj-pipeline/storage"]
    named = {volume for name in SERVICES for volume in folders(name).values() if not volume.startswith(".")}
    named |= {
        volume.partition(":")[0] for name in ("redis", "kafka") for volume in SERVERS["services"][name]["volumes"]
    }
    assert named == set(COMPOSE["volumes"])


def test_ports_are_open_to_this_machine_alone() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(published) == 3
    assert all(re.fullmatch(r"127\.0\.0\.1:\$\{\w+_PORT:-(\d+)\}:\1", port) for port in published)


def test_images_can_be_pinned_and_none_is_the_latest() -> None:
    images = {name: re.fullmatch(r"\$\{(\w+_IMAGE):-(\S+:\S+)\}", SERVICES[name]["image"]) for name in SERVICES}
    assert all(images.values())
    for name in OTHERS:  # the same as those for who has no deployment
        found = images[name]
        assert found is not None
        assert found[2] == SERVERS["services"][name]["image"]
    assert len({found[1] for found in images.values() if found}) == 4


def test_passwords_come_from_files_and_each_file_is_mounted() -> None:
    for name, service in SERVICES.items():
        files = {value for value in service.get("environment", {}).values() if str(value).startswith("/run/secrets/")}
        assert {file.rpartition("/")[2] for file in files} == set(service.get("secrets", ())), name
        given = {
            variable.removesuffix(SUFFIX)
            for variable, value in service.get("environment", {}).items()
            if value in files
        }
        assert given - SECRETS - {"POSTGRES_PASSWORD"} == set()
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", ())}
    assert used == set(COMPOSE["secrets"])


def test_the_dagster_parts_find_the_code_server_by_its_workspace() -> None:
    workspace = yaml.safe_load((REPOSITORY / "deploy/workspace.yaml").read_text(encoding="utf-8"))
    (location,) = (one["grpc_server"] for one in workspace["load_from"])
    assert location == {
        "host": {"env": "CJ_PIPELINE_CODE_SERVER_HOST"}, "port": PORTS["code-server"], "location_name": "cj_pipeline"
    }  # fmt: skip
    command = SERVICES["code-server"]["command"]
    assert command[command.index("-p") + 1] == str(location["port"])
    assert command[command.index("--location-name") + 1] == location["location_name"]


def test_settings_of_the_example_are_ones_that_are_read() -> None:
    text = (REPOSITORY / "deploy/settings.env.example").read_text(encoding="utf-8")
    names = set(re.findall(r"^#?([A-Z][A-Z_]+)=", text, re.MULTILINE))
    lps = {f"LLM_PROVIDER_SERVICE_{name.upper()}" for name in LpsSettings.model_fields}
    cj = {f"CJ_ASSESSMENT_SERVICE_{name.upper()}" for name in CjSettings.model_fields}
    assert {
        name for name in names if name not in lps | cj | SECRETS and not name.startswith("CJ_PIPELINE_ALERT_")
    } == set()
    assert settings_file()["LLM_PROVIDER_SERVICE_USE_MOCK_LLM"] == "true"


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """The folder after deploy/prepare, in a copy."""
    (tmp_path / "compose.yaml").write_text((REPOSITORY / "compose.yaml").read_text())
    folder = Path(shutil.copytree(REPOSITORY / "deploy", tmp_path / "deploy", ignore=shutil.ignore_patterns("secrets")))
    (folder / "settings.env").unlink(missing_ok=True)
    subprocess.run([folder / "prepare"], check=True, capture_output=True)
    return folder


def test_prepare_makes_one_password_for_both_databases_and_keeps_what_is_there(prepared: Path) -> None:
    secrets = {path.name: path.read_text() for path in (prepared / "secrets").iterdir()}
    assert set(secrets) == set(COMPOSE["secrets"])
    password = secrets["postgres_password"]
    assert re.fullmatch(r"[0-9a-f]{48}", password)
    assert secrets["dagster_url"] == f"postgresql://cj:{password}@postgres:5432/dagster"
    assert secrets["cj_url"] == f"postgresql://cj:{password}@postgres:5432/cj"
    assert (prepared / "secrets").stat().st_mode & 0o777 == 0o700
    (prepared / "settings.env").write_text("MINE=1\n")
    subprocess.run([prepared / "prepare"], check=True, capture_output=True)
    assert (prepared / "settings.env").read_text() == "MINE=1\n"
    assert (prepared / "secrets/postgres_password").read_text() == password


@pytest.mark.servers("compose")
def test_docker_compose_reads_it(prepared: Path) -> None:
    command = compose_command()
    assert command is not None
    if needs_no_name():
        for path in (prepared / "compose.yaml", prepared.parent / "compose.yaml"):
            path.write_text(re.sub(r"^name: .*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE))
    said = subprocess.run(
        [*command, "-f", "deploy/compose.yaml", "config"],
        cwd=prepared.parent,
        env={**os.environ, "KAFKA_IMAGE": "mirror/kafka@sha256:0"},
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr
    services = yaml.safe_load(said.stdout)["services"]
    assert set(services) == {*PARTS, *OTHERS}
    assert services["kafka"]["image"] == "mirror/kafka@sha256:0"
    assert services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].endswith("INSIDE://kafka:9093")
    assert services["redis"]["command"][-2:] == ["--appendfsync", "always"]
