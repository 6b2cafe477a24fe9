"""`cj-pipeline lps suite` and `cj suite`: exit codes, JSON and JUnit, in front of a served LPS."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cj_pipeline.cli import suites
from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.suites.cj_cases import CASES
from cj_pipeline.suites.profiles import PROFILES
from tests.cli.terminal import Terminal, terminal_of
from tests.sides import TRACES

CLI = Path(sys.executable).with_name("cj-pipeline")


@contextmanager
def served(mode: str, strategy: str, bus: Path) -> Iterator[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("KAFKA_", "LLM_PROV"))}
    environment["LLM_PROVIDER_SERVICE_QUEUE_PROCESSING_MODE"] = strategy
    command = [CLI, "lps", "serve", "--host", "127.0.0.1", "--port", "0", "--mode", mode, "--callbacks", str(bus)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("listening on ")
            yield line.removeprefix("listening on ").strip()
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def lps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """The options that lead to a served LPS."""
    bus = tmp_path_factory.mktemp("bus")
    with served("cj_generic_batch", "serial_bundle", bus) as url:
        yield "--lps", url, bus


def junit_of(folder: Path) -> ElementTree.Element:
    return ElementTree.parse(folder / "x.xml").getroot()  # noqa: S314 - our own


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    monkeypatch.setenv("CJ_PIPELINE_TRACES_DIR", str(TRACES))
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    return terminal_of(monkeypatch, capsys)


def test_the_choices_are_the_suites() -> None:
    assert tuple(sorted(PROFILES)) == suites.PROFILES
    assert tuple(CASES) == suites.SUITES
    assert suites.DEFAULT_CALLBACKS == COMPARISON_RESULT_TOPIC


def test_a_right_mock_passes_in_json_and_junit(lps: tuple[str, str, Path], terminal: Terminal, tmp_path: Path) -> None:
    option, url, bus = lps
    words = ("lps", "suite", "cj-generic", option, url, "--bus", bus, "--junit", tmp_path / "x.xml", "--json")
    terminal(*words)
    answer = terminal(*words)  # within the same second: a service answers a correlation id once
    assert (answer.code, answer.document["exit_code"]) == (0, 0)
    assert [test["verdict"] for test in answer.document["tests"]] == ["pass", "pass"]
    junit = junit_of(tmp_path)
    assert [suite.get("failures") for suite in junit] == ["0", "0"]
    assert sum(len(suite) for suite in junit) == sum(len(test["rules"]) for test in answer.document["tests"])


def test_a_rule_that_does_not_hold_exits_with_1(
    lps: tuple[str, str, Path], terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    option, url, bus = lps
    # The service is right and what is asked of it is not: one callback may not come in no time.
    profile = PROFILES["cj-generic"]
    hurried = replace(profile, tests=(replace(profile.tests[1], name="hurried", budget_s=0.001),))
    monkeypatch.setitem(PROFILES, "cj-generic", hurried)  # type: ignore[misc]
    answer = terminal("lps", "suite", "cj-generic", option, url, "--bus", bus, "--junit", tmp_path / "x.xml")
    assert answer.code == 1
    assert "A rule does not hold: hurried fail" in " ".join(answer.out.split())
    assert "failure" in {end.tag for suite in junit_of(tmp_path) for case in suite for end in case}


@pytest.mark.parametrize(
    ("profile", "reason"),
    [("eng5-anchor", "runs 'cj_generic_batch'"), ("cj-generic-batch-api", "works its queue as 'serial_bundle'")],
)
def test_a_service_that_is_set_up_otherwise_is_skipped_with_the_reason(
    profile: str, reason: str, lps: tuple[str, str, Path], terminal: Terminal, tmp_path: Path
) -> None:
    option, url, bus = lps
    answer = terminal("lps", "suite", profile, option, url, "--bus", bus, "--junit", tmp_path / "x.xml", "--json")
    assert answer.code == 3
    assert {test["verdict"] for test in answer.document["tests"]} == {"skip"}
    assert reason in answer.document["tests"][0]["rules"][0]["sentence"]
    assert {suite.get("skipped") for suite in junit_of(tmp_path)} == {"1"}


def test_nobody_there_is_skipped_and_a_bad_call_is_not(
    lps: tuple[str, str, Path], terminal: Terminal, tmp_path: Path
) -> None:
    option, url, bus = lps
    assert terminal("lps", "suite", "cj-generic", option, "http://127.0.0.1:9", "--bus", tmp_path).code == 3
    nobody = terminal("cj", "suite", "regular", "--cj", "http://127.0.0.1:9", option, url, "--bus", bus, "--json")
    assert nobody.code == 3
    assert "no CJ service answers there" in nobody.document["tests"][0]["rules"][0]["sentence"]
    for words in (("lps", "suite", "cj-generic"), ("lps", "suite", "cj-generic", option, "here"), ("cj", "suite", "x")):
        assert terminal(*words).code == 2
