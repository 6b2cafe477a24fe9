"""This module holds what tests of all rooms share: the marker of tests that need a server, and a Kafka broker."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cj_pipeline.local.kafka_artifacts import KafkaArtifacts
from cj_pipeline.local.kafka_broker import KafkaBroker
from tests import servers
from tests.kafka import ARTIFACTS
from tests.postgres import fresh_database, throw_away_server

EVERYTHING_SKIPPED = 3
# A broker, a cluster or a whole stack starts within a test's own time.
SERVER_TIMEOUT_S = 600

guard = servers.Guard()


def pytest_configure(config: pytest.Config) -> None:
    """Give all tests, and all processes that they start, one cache: most compare with the same few recordings.

    And Ctrl-C, which a shell takes from what it starts in the background: Dagster ends by a SIGTERM as by a SIGINT.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):  # xdist's workers inherit it
        folder = tempfile.mkdtemp(prefix="cj-pipeline-cache-")
        os.environ["CJ_PIPELINE_CACHE_DIR"] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark by fixture, before `-m` chooses."""
    for item in items:
        if not (needed := servers.servers_of(item)):
            continue
        servers.mark(item)
        item.user_properties.extend((servers.MARKER, server) for server in sorted(needed))
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SERVER_TIMEOUT_S))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    guard.item = item
    try:
        return (yield)
    finally:
        guard.item = None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip here and not in a fixture: a skip in a fixture is reported once per test, and a reader wants a count."""
    servers.skip_where_one_is_missing(item)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count, per server, the tests that ran with it and those that were skipped."""
    counts = servers.counts(terminalreporter.stats)
    if counts:
        terminalreporter.section("servers")
    for server, (ran, skipped) in counts.items():
        terminalreporter.line(f"{server}: {ran} ran, {skipped} skipped")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Say by the exit code that every test was skipped: nothing failed, and nothing was shown."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    stats = reporter.stats if reporter is not None else {}
    if exitstatus == pytest.ExitCode.OK and stats.get("skipped") and not stats.get("passed"):
        session.exitstatus = EVERYTHING_SKIPPED


@pytest.fixture(autouse=True)
def _process_as_found() -> Iterator[None]:
    """Leave the process's environment and logging as a test found them.

    A command may set variables, and one that serves sends all logs to standard error, which is closed after the test.
    """
    environment = {**os.environ}
    loggers = [logging.getLogger(name) for name in (None, "httpx")]
    before = [(logger.handlers[:], logger.level) for logger in loggers]
    yield
    os.environ.clear()
    os.environ.update(environment)
    for logger, (handlers, level) in zip(loggers, before, strict=True):
        logger.handlers[:] = handlers
        logger.setLevel(level)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of one broker for all tests of a session; each takes topics of its own (`fresh_topic`)."""
    if given := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        yield given
        return
    with KafkaBroker(tmp_path_factory.mktemp("kafka"), artifacts=ARTIFACTS) as broker:
        yield broker.bootstrap_servers


@pytest.fixture(scope="session")
def kafka_files() -> KafkaArtifacts:
    """What a broker is made of, for tests that start one in a way of their own."""
    return ARTIFACTS


@pytest.fixture
def own_kafka(tmp_path: Path, kafka_files: KafkaArtifacts) -> Iterator[KafkaBroker]:
    """A broker that a test may kill; it runs already."""
    with KafkaBroker(tmp_path / "kafka", artifacts=kafka_files) as broker:
        yield broker


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of one PostgreSQL for all tests of a session."""
    with throw_away_server() as url:
        yield url


@pytest.fixture(scope="module")
def postgres_url(postgres_server: str) -> str:
    """A database of its own for the tests of one module."""
    return fresh_database(postgres_server)
