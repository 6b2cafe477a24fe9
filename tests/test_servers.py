"""This module tests the marker `servers`: which tests get it, and what happens to a test without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import servers
from tests.house import REPOSITORY

SKIPPED = """
import pytest

@pytest.mark.servers("redis")
def test_needs_redis():
    raise AssertionError("it runs")
"""
BOTH = (
    SKIPPED
    + """
def test_needs_nothing():
    pass
"""
)


@pytest.mark.parametrize("program", sorted(servers.PROGRAMS))
def test_a_test_without_the_marker_cannot_start_a_server(program: str) -> None:
    with pytest.raises(pytest.fail.Exception, match=f"starts {program}: a test that needs a server"):
        subprocess.run([f"/usr/bin/{program}", "--help"])


@pytest.mark.servers("redis")
def test_a_test_with_the_marker_can(redis_binary_path: str) -> None:
    assert subprocess.run([redis_binary_path, "--version"], capture_output=True).returncode == 0


@pytest.fixture
def redis_binary_path() -> str:
    found = servers.redis_binary()
    assert found is not None
    return found


def test_a_fake_program_of_a_test_may_run(tmp_path: Path) -> None:
    fake = tmp_path / "java"
    fake.write_text("#!/bin/sh\nexit 7\n")
    fake.chmod(0o755)
    assert subprocess.run([fake]).returncode == 7


def test_asking_java_for_its_version_starts_no_server() -> None:
    assert servers.server_program(["/usr/bin/java", "-version"]) is None
    assert servers.server_program(["/usr/bin/java", "kafka.Kafka"]) == "java"


@pytest.mark.parametrize(("fixture", "server"), servers.SERVER_OF_FIXTURE.items())
def test_a_fixture_that_is_a_server_brings_the_marker(fixture: str, server: str) -> None:
    item = SimpleNamespace(fixturenames=["tmp_path", fixture], iter_markers=lambda _: iter(()))
    assert servers.servers_of(item) == {server}  # type: ignore[arg-type]


def run(tmp_path: Path, test: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a test file of its own under this repository's conftest, on a machine without Redis."""
    (tmp_path / "tests").symlink_to(REPOSITORY / "tests")
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    (tmp_path / "test_planted.py").write_text(test)
    options = (*options, "-ra", "-p", "no:cacheprovider", "-p", "no:schemathesis")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = servers\n")
    command = [sys.executable, "-m", "pytest", *options, "test_planted.py"]
    environment = {"PATH": str(tmp_path), "PYTHONPATH": f"{tmp_path}:{REPOSITORY}"}
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=150)


@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["one process", "xdist"])
def test_a_session_that_skips_everything_says_what_is_missing_and_exits_with_3(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    done = run(tmp_path, SKIPPED, *options)
    assert "redis: 0 ran, 1 skipped" in done.stdout
    assert "redis-server is not installed (apt-get install redis-server)" in done.stdout
    assert done.returncode == 3


def test_a_session_that_skips_some_exits_with_0(tmp_path: Path) -> None:
    assert run(tmp_path, BOTH).returncode == 0
