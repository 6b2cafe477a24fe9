"""The parts of deploy/compose.yaml as processes of this machine: command, environment and probe are those of the file.

What a container has and a process has not is replaced: names of hosts, folders, ports. Not here: assertions.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cj_pipeline.local.ports import free_port
from tests.house import REPOSITORY

COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
DOCKERFILE = (REPOSITORY / "deploy" / "Dockerfile").read_text(encoding="utf-8")

PORTS = {"code-server": 4000, "webserver": 3000, "lps": 8080, "cj": 9090}
"""At which the parts listen in their containers."""

PARTS = ("code-server", "webserver", "daemon", "lps", "cj")

DATA, TRACES, HOME = "/var/lib/cj-pipeline/data", "/var/lib/cj-pipeline/traces", "/opt/cj-pipeline"


def image_environment() -> dict[str, str]:
    """What the image sets, but for its PATH."""
    block = re.search(r"^ENV (PATH=.*?[^\\])\n(?!    )", DOCKERFILE, re.DOTALL | re.MULTILINE)
    assert block is not None
    pairs = dict(word.split("=", 1) for word in block[1].replace("\\\n", " ").split())
    return {name: value for name, value in pairs.items() if name != "PATH" and "$" not in value}


def settings_file() -> dict[str, str]:
    """What deploy/settings.env.example sets."""
    lines = (REPOSITORY / "deploy" / "settings.env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where this machine has what containers reach by name: URLs of the databases, HOST:PORT of the servers."""

    dagster_url: str = "postgresql://nobody@127.0.0.1:1/dagster"
    cj_url: str = "postgresql://nobody@127.0.0.1:1/cj"
    redis: str = "127.0.0.1:1"
    kafka: str = "127.0.0.1:1"


class Parts:
    """The five parts in one folder, each a process that a test starts and stops."""

    def __init__(self, folder: Path, servers: Elsewhere, scenarios: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.ports = {part: free_port() for part in PORTS}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._hosts = {
            "redis:6379": servers.redis,
            "kafka:9093": servers.kafka,
            "lps:8080": self.address("lps"),
            "/run/secrets/": f"{folder}/secrets/",
            DATA: f"{folder}/data",
            TRACES: f"{folder}/traces",
            HOME: f"{folder}/home",
        }
        for name in ("secrets", "data", "traces", "home", "logs"):
            (folder / name).mkdir(parents=True)
        (folder / "secrets/dagster_url").write_text(servers.dagster_url)
        (folder / "secrets/cj_url").write_text(servers.cj_url)
        for scenario in scenarios:
            shutil.copytree(REPOSITORY / "traces" / scenario, folder / "traces" / scenario)
        shutil.copy(REPOSITORY / "dagster.yaml", folder / "home")
        workspace = (REPOSITORY / "deploy" / "workspace.yaml").read_text(encoding="utf-8")
        workspace = workspace.replace("port: 4000", f"port: {self.ports['code-server']}")
        (folder / "home/workspace.yaml").write_text(workspace, encoding="utf-8")

    def address(self, part: str) -> str:
        """HOST:PORT of a part."""
        return f"127.0.0.1:{self.ports[part]}"

    def environment(self, part: str, over: Mapping[str, object] | None = None) -> dict[str, str]:
        """What the container of a part has: of the image, of settings.env, of compose.yaml, in this order."""
        said = image_environment() | settings_file() | COMPOSE["services"][part]["environment"]
        here = {name: self._here(str(value)) for name, value in said.items()}
        ports = {
            "LLM_PROVIDER_SERVICE_PORT": str(self.ports["lps"]),
            "LLM_PROVIDER_SERVICE_HOST": "127.0.0.1",
            "CJ_ASSESSMENT_SERVICE_HTTP_PORT": str(self.ports["cj"]),
            "CJ_ASSESSMENT_SERVICE_HOST": "127.0.0.1",
            "CJ_PIPELINE_CODE_SERVER_HOST": "127.0.0.1",
        }
        theirs = {name: value for name, value in ports.items() if part in ("lps", "cj") or "CODE" in name}
        ours = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "HOME": str(self.folder)}
        return here | theirs | ours | {name: str(value) for name, value in (over or {}).items()}

    def _here(self, value: str) -> str:
        for there, here in self._hosts.items():
            value = value.replace(there, here)
        return value

    def command(self, part: str) -> list[str]:
        """The container's command, with the program of this environment and the port of this machine."""
        program, *arguments = COMPOSE["services"][part]["command"]
        port = str(PORTS.get(part, ""))
        here = ["127.0.0.1" if word == "0.0.0.0" else word for word in arguments]  # noqa: S104
        here = [str(self.ports[part]) if word == port else word for word in here]
        return [str(Path(sys.executable).with_name(program)), *here]

    def start(self, part: str, **over: object) -> subprocess.Popen[bytes]:
        """Start a part. over: variables of its environment."""
        with (self.folder / "logs" / f"{part}.log").open("ab") as log:
            self.processes[part] = subprocess.Popen(
                self.command(part),
                env=self.environment(part, over),
                cwd=self.folder / "home",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self.processes[part]

    def health(self, part: str, *options: str) -> tuple[int, str]:
        """(exit code, what is said) of the probe that compose.yaml gives a part."""
        kind, program, *arguments = COMPOSE["services"][part]["healthcheck"]["test"]
        assert kind == "CMD"
        at = ["--at", self.address(part)] if part in self.ports else []
        done = subprocess.run(
            [str(Path(sys.executable).with_name(program)), *arguments, *at, *options],
            env=self.environment(part), cwd=self.folder / "home", capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    def wait_until(self, part: str, ready: bool = True, within_s: float = 300.0) -> str:
        """Ask the probe until it says so, and return what it says. Raises AssertionError with the end of the log."""
        deadline = time.monotonic() + within_s
        while True:
            code, said = self.health(part)
            if (code == 0) is ready:
                return said
            ended = ready and self.processes[part].poll() is not None
            assert not ended, f"{part} ended\n{self.log(part)[-3000:]}"
            assert time.monotonic() < deadline, f"{said}\n{self.log(part)[-3000:]}"
            time.sleep(0.2)

    def log(self, part: str) -> str:
        return (self.folder / "logs" / f"{part}.log").read_text(encoding="utf-8", errors="replace")

    def terminate(self, part: str) -> int:
        """Send what `docker stop` sends, and return the exit code. Raises TimeoutExpired after the part's own grace."""
        process = self.processes.pop(part)
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(seconds(COMPOSE["services"][part]["stop_grace_period"]))
        finally:
            kill(process)

    def kill_all(self) -> None:
        for process in self.processes.values():
            kill(process)
        self.processes.clear()


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def seconds(period: str) -> float:
    """A period as compose writes it."""
    found = re.fullmatch(r"(\d+)(s|m)", period)
    assert found is not None
    return int(found[1]) * {"s": 1.0, "m": 60.0}[found[2]]
