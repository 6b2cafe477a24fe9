"""This module finds Java and Maven, and defines the errors of a server that cannot start."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from cj_pipeline.foundation.errors import CjPipelineError

# The lowest that a broker of Kafka 4 runs on.
JAVA_VERSION = 17

_ELSEWHERE = "or name a cluster of your own in KAFKA_BOOTSTRAP_SERVERS"


class CannotStart(CjPipelineError):
    """A server of this machine cannot be started; the message says what is in its way and what to do."""


class Unavailable(CannotStart):
    """A program is missing, or what it should fetch cannot be had: nothing is wrong, something is not there."""


def java() -> Path:
    """Return the Java of JAVA_HOME, else of the PATH. Raises Unavailable where there is none, and for an old one."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    if found is None:
        where = f"below JAVA_HOME ('{home}')" if home else "on the PATH"
        raise Unavailable(
            f"No Java {where}, and a broker needs {JAVA_VERSION} or later. "
            f"Install it (apt-get install default-jdk-headless), {_ELSEWHERE}."
        )
    version = java_version(Path(found))
    if version < JAVA_VERSION:
        raise Unavailable(
            f"'{found}' is Java {version}, and a broker needs {JAVA_VERSION} or later. "
            f"Install one (apt-get install default-jdk-headless) or set JAVA_HOME, {_ELSEWHERE}."
        )
    return Path(found)


def maven() -> Path:
    """Return Maven, from the PATH. Raises Unavailable."""
    found = shutil.which("mvn")
    if found is None:
        raise Unavailable(
            "No Maven (mvn) on the PATH, which fetches the broker once. "
            f"Install it (apt-get install maven), {_ELSEWHERE}."
        )
    return Path(found)


# 60 ms to ask, and a test session starts dozens of brokers.
@cache
def java_version(program: Path) -> int:
    """Return the feature release of a Java (17 of 17.0.15); 0 when it does not say."""
    try:
        said = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    except (OSError, subprocess.TimeoutExpired):
        return 0
    # Up to 8 it was "1.8.0".
    named = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(named[1]) if named else 0
