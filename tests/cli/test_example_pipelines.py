"""The pipelines for users' repositories: what GitHub and GitLab would read, and options that exist."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import yaml

from cj_pipeline.cli.nightly import nightly
from tests.house import REPOSITORY

EXAMPLES = REPOSITORY / "docs" / "examples"
GITHUB: dict[Any, Any] = yaml.safe_load((EXAMPLES / "parity-github.yml").read_text(encoding="utf-8"))
GITLAB: dict[str, Any] = yaml.safe_load((EXAMPLES / "parity-gitlab.yml").read_text(encoding="utf-8"))

COMMANDS = [
    *(step["run"] for step in GITHUB["jobs"]["parity"]["steps"] if "run" in step),
    *GITLAB["parity"]["script"],
]


def test_both_run_the_night_with_options_that_there_are() -> None:
    lines = [line for line in COMMANDS if " nightly " in line]
    assert len(lines) == 2
    for line in lines:
        words = shlex.split(line)
        assert words[0] == "cj-pipeline/.venv/bin/cj-pipeline"
        seed = shlex.split("--night 2026-01-01 --no-alerts")
        arguments = [word for word in words[2:] if word != "$SEED"] + seed
        context = nightly.make_context("nightly", arguments)  # raises for an option that is not there
        assert context.params["no_alerts"]


@pytest.mark.parametrize("name", ["parity-github.yml", "parity-gitlab.yml"])
def test_a_request_for_a_merge_sends_no_message_and_has_one_seed(name: str) -> None:
    assert (EXAMPLES / name).read_text(encoding="utf-8").count("--night 2026-01-01 --no-alerts") == 1


def test_github_may_only_read_and_every_action_is_one_of_its_own() -> None:
    assert GITHUB["permissions"] == {"contents": "read"}
    assert GITHUB[True]["schedule"] == [{"cron": "0 3 * * *"}]
    uses = [step["uses"] for step in GITHUB["jobs"]["parity"]["steps"] if "uses" in step]
    assert uses
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", one) for one in uses)


def test_gitlab_keeps_the_reports_of_a_red_night() -> None:
    artifacts = GITLAB["parity"]["artifacts"]
    assert artifacts["when"] == "always"
    assert artifacts["reports"] == {"junit": "junit.xml"}


def test_the_variables_are_ones_that_are_read() -> None:
    names = {*GITHUB["jobs"]["parity"]["env"], *GITLAB["parity"]["variables"]}
    assert names == {"CJ_PIPELINE_TRACES_DIR", "CJ_PIPELINE_DATA_DIR", "DAGSTER_HOME", "SEED"}
