"""This module finds Docker Compose, which reads a compose file without a daemon."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache


@cache
def compose_command() -> tuple[str, ...] | None:
    """The plugin of the docker client, or else the program of its own; None where there is neither."""
    docker = shutil.which("docker")
    if docker and subprocess.run([docker, "compose", "version"], capture_output=True).returncode == 0:
        return docker, "compose"
    program = shutil.which("docker-compose")
    return (program,) if program else None


def needs_no_name() -> bool:
    """Whether it is a version 1, which knows no `name:` of a project, and takes the rest."""
    command = compose_command()
    assert command is not None
    said = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, check=True).stdout
    return said.startswith("1.")
