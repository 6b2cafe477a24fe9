"""The workflow for a team's repository: what GitHub would read, and commands that exist."""

from __future__ import annotations

import re
import shlex
import subprocess
from typing import Any

import click
import pytest
import yaml

from cj_pipeline.cli.cj import cj
from cj_pipeline.cli.lps import lps
from cj_pipeline.suites.cj_cases import CASES
from cj_pipeline.suites.profiles import PROFILES
from tests.house import REPOSITORY

FILE = REPOSITORY / "docs" / "examples" / "mock-parity.yml"
TEXT = FILE.read_text(encoding="utf-8")
# YAML 1.1 takes the key `on` for true.
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
JOBS: dict[str, dict[str, Any]] = WORKFLOW["jobs"]

# Keys that GitHub knows, where this file has any.
TOP = {"name", True, "permissions", "concurrency", "jobs"}
JOB = {"name", "runs-on", "timeout-minutes", "strategy", "env", "steps"}
STEP = {"name", "uses", "with", "run", "env", "if"}


def test_it_runs_at_three_and_by_hand_with_no_right_to_write() -> None:
    assert WORKFLOW[True] == {"schedule": [{"cron": "0 3 * * *"}], "workflow_dispatch": None}
    assert WORKFLOW["permissions"] == {"contents": "read"}


def test_every_key_is_one_that_github_knows() -> None:
    assert set(WORKFLOW) == TOP
    for job in JOBS.values():
        assert set(job) == JOB
        assert 0 < job["timeout-minutes"] <= 90
        assert set(job["strategy"]) == {"fail-fast", "matrix"}
        for step in job["steps"]:
            assert set(step) <= STEP
            assert ("uses" in step) is not ("run" in step)
            if "uses" in step:
                assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])


def faults_of(text: str) -> list[str]:
    """What a linter of workflows would say about a file, as far as this file's kind of steps goes."""
    found = []

    def walk(node: yaml.Node, path: str) -> None:
        if isinstance(node, yaml.MappingNode):
            names = [key.value for key, _ in node.value]
            found.extend(f"{path}: '{name}' is there twice" for name in sorted(set(names)) if names.count(name) > 1)
            for key, value in node.value:
                walk(value, f"{path}.{key.value}")
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                walk(value, f"{path}[{number}]")
        elif isinstance(node, yaml.ScalarNode):
            opened, closed = node.value.count("${{"), node.value.count("}}")
            if opened != closed:
                found.append(f"{path}: an expression is not closed")
            if path.endswith(".python-version") and node.tag != "tag:yaml.org,2002:str":
                found.append(f"{path}: a number; 3.10 would be 3.1")

    walk(yaml.compose(text), "")
    document = yaml.safe_load(text)
    for name, job in document["jobs"].items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", name):
            found.append(f"{name}: not the name of a job")
        if set(job.get("needs", ())) - set(document["jobs"]):
            found.append(f"{name}: needs a job that there is not")
        if job["runs-on"] not in RUNNERS:
            found.append(f"{name}: no runner is called {job['runs-on']}")
        for step in job["steps"]:
            inputs = INPUTS.get(step.get("uses", "").partition("@")[0], set())
            if unknown := set(step.get("with", ())) - inputs:
                found.append(f"{name}: {step['uses']} takes no {sorted(unknown)}")
            if step.get("if", "always()") not in CONDITIONS:
                found.append(f"{name}: '{step['if']}' is no condition")
            found += [f"{name}: {word}" for word in step.get("run", "").split() if word.startswith("${{")]
    return found


RUNNERS = {"ubuntu-latest", "ubuntu-24.04", "ubuntu-22.04"}
CONDITIONS = {"always()", "success()", "failure()", "cancelled()", "!cancelled()"}
# Of the actions that the file uses, what their own pages list and a workflow like this one may want.
INPUTS = {
    "actions/checkout": {"repository", "ref", "token", "path", "fetch-depth", "persist-credentials", "submodules"},
    "actions/setup-python": {"python-version", "python-version-file", "cache", "architecture", "check-latest"},
    "actions/upload-artifact": {
        "name",
        "path",
        "if-no-files-found",
        "retention-days",
        "compression-level",
        "overwrite",
    },
}


def test_a_linter_finds_nothing() -> None:
    assert faults_of(TEXT) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("    timeout-minutes: 30\n", "    timeout-minutes: 30\n    timeout-minutes: 3\n", "is there twice"),
        ("${{ vars.KAFKA_BROKERS }}", "${{ vars.KAFKA_BROKERS }", "is not closed"),
        ('python-version: "3.11"', "python-version: 3.10", "3.10 would be 3.1"),
        ("runs-on: ubuntu-latest", "runs-on: ubuntu-lates", "no runner is called ubuntu-lates"),
        ("persist-credentials", "persist-credential", "takes no ['persist-credential']"),
        ("if: always()", "if: allways()", "'allways()' is no condition"),
        ("  cj:\n    name", "  cj:\n    needs: [lsp]\n    name", "needs a job that there is not"),
        ("  cj:\n    name", "  2cj:\n    name", "not the name of a job"),
        ('suite "$PROFILE"', "suite ${{matrix.profile}}", "lps: ${{matrix.profile}}"),
    ],
)
def test_the_linter_finds_what_is_planted(old: str, new: str, fault: str) -> None:
    assert old in TEXT
    assert any(fault in found for found in faults_of(TEXT.replace(old, new, 1)))


def test_there_is_a_job_for_each_profile_and_each_suite() -> None:
    rows = {name: job["strategy"]["matrix"]["include"] for name, job in JOBS.items()}
    assert [row["profile"] for row in rows["lps"]] == sorted(PROFILES)
    assert [row["suite"] for row in rows["cj"]] == list(CASES)
    assert not any(job["strategy"]["fail-fast"] for job in JOBS.values())


@pytest.mark.parametrize("name", JOBS)
def test_an_expression_names_a_variable_that_is_described_or_a_column_of_the_matrix(name: str) -> None:
    job = JOBS[name]
    columns = {f"matrix.{key}" for row in job["strategy"]["matrix"]["include"] for key in row}
    used = re.findall(r"\$\{\{ *(.+?) *\}\}", yaml.safe_dump(job))
    assert used
    comments = "\n".join(line for line in TEXT.splitlines() if line.startswith("#"))
    for expression in used:
        if match := re.fullmatch(r"vars\[(matrix\.\w+)\]", expression):
            assert match[1] in columns
        elif expression.startswith("vars."):
            assert expression.removeprefix("vars.") in comments
        else:
            assert expression in columns
    for row in job["strategy"]["matrix"]["include"]:
        assert {row["url"], row.get("lps", row["url"])} <= set(re.findall(r"[A-Z0-9_]+", comments))


@pytest.mark.parametrize("name", JOBS)
def test_a_command_exists_and_takes_nothing_from_an_expression(name: str) -> None:
    groups: dict[str, click.Group] = {"lps": lps, "cj": cj}
    job = JOBS[name]
    (row, *_), environment = job["strategy"]["matrix"]["include"], job["env"]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert not any("${{" in command for command in commands)  # a value would become part of the script
    (command,) = [command for command in commands if "cj-pipeline" in command]
    words = shlex.split(command)
    assert words[0] == ".venv/bin/cj-pipeline"
    assert {word[1:] for word in words if word.startswith("$")} <= environment.keys()
    values = {"$PROFILE": row.get("profile"), "$SUITE": row.get("suite")}
    given = [values.get(word, "http://x") if word.startswith("$") else word for word in words]
    group, sub, *rest = given[1:]
    with click.Context(groups[group]) as context:
        found = groups[group].get_command(context, sub)
    assert found is not None
    found.make_context(sub, rest)  # raises for an option or a choice that there is not
    assert "make setup" in commands


def test_make_holds_a_service_against_a_profile() -> None:
    def make(*words: str) -> subprocess.CompletedProcess[str]:
        command = ["make", "--no-print-directory", "--dry-run", "--old-file", ".venv/.runtime", *words]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)

    done = make("profile-eng5-lower5", "LPS=http://x:1", "KAFKA=y:2")
    expected = "lps suite eng5-lower5 --lps http://x:1 --kafka y:2"
    assert " ".join(done.stdout.split("cj-pipeline")[-1].split()) == expected
    assert "name the service: LPS=http://HOST:PORT" in make("profile-eng5-lower5").stderr
    assert "profile-%" in subprocess.run(["make"], cwd=REPOSITORY, capture_output=True, text=True).stdout
