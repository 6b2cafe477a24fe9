"""Rules for deploy/Dockerfile: what is in an image, who runs it, and from where its packages come."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.deploy.parts import DOCKERFILE, image_environment
from tests.house import REPOSITORY

LINES = DOCKERFILE.replace("\\\n", " ").splitlines()
INSTRUCTIONS = [line.split(maxsplit=1) for line in LINES if line and not line.startswith("#")]
IGNORED = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()


def arguments(instruction: str) -> list[str]:
    return [rest for name, rest in INSTRUCTIONS if name == instruction]


def test_it_runs_as_a_numbered_user_without_rights() -> None:
    # A number: Kubernetes' runAsNonRoot cannot tell a name.
    assert arguments("USER") == ["10001:10001"]
    assert [name for name, _ in INSTRUCTIONS][-4:] == ["USER", "HEALTHCHECK", "STOPSIGNAL", "CMD"]


def test_the_base_is_an_argument_pinned_to_a_patch() -> None:
    base, build = arguments("ARG")[:2]
    assert re.fullmatch(r"BASE_IMAGE=python:3\.11\.\d+-slim-bookworm", base)
    assert build == "BUILD_IMAGE=${BASE_IMAGE}"
    assert arguments("FROM") == ["${BUILD_IMAGE} AS build", "${BASE_IMAGE}"]
    assert "latest" not in DOCKERFILE


def test_every_package_comes_from_a_lock_with_hashes_or_is_ours() -> None:
    installs = [part for run in arguments("RUN") for part in re.findall(r"pip install ([^&;]*)", run)]
    assert len(installs) == 2
    assert "--require-hashes -r" in installs[0]
    assert {"--no-deps", "--no-build-isolation", "."} <= set(installs[1].split())
    assert all("--no-cache-dir" in install for install in installs)


@pytest.mark.parametrize(
    "word", ["index-url", "trusted-host", "http://", "https://", "curl", "wget", "apt-get", "sudo"]
)
def test_it_names_no_address_and_fetches_nothing_else(word: str) -> None:
    assert word not in "".join(line for line in LINES if not line.startswith("#"))


def test_locks_and_folders_that_it_copies_exist_and_are_not_ignored() -> None:
    sources = [
        word.rstrip("/")
        for rest in arguments("COPY")
        if "--from" not in rest
        for word in re.sub(r"--chown=\S+", "", rest).split()[:-1]
    ]
    kept = {line.removeprefix("!").rstrip("/") for line in IGNORED if line.startswith("!")}
    assert {"assets", "cj_pipeline", "resources", "traces", "requirements", "dagster.yaml"} <= set(sources)
    assert {name for name in sources if not (REPOSITORY / name).exists()} == set()
    assert {name for name in sources if name not in kept and f"{name}/*.txt" not in kept} == set()


def test_nothing_goes_to_the_builder_but_what_is_named() -> None:
    assert "*" in IGNORED
    kept = [line for line in IGNORED if line.startswith("!")]
    assert [line for line in kept if re.search(r"data|secrets|settings|\.env|\.git|tests", line)] == []


def test_the_probe_is_our_command_and_has_time_to_start() -> None:
    (probe,) = arguments("HEALTHCHECK")
    assert probe.endswith('CMD ["cj-pipeline", "health"]')
    assert {"--interval=15s", "--timeout=20s", "--start-period=120s", "--retries=3"} <= set(probe.split())


def test_its_folders_are_those_of_the_settings() -> None:
    said = image_environment()
    assert said["DAGSTER_HOME"] == "/opt/cj-pipeline"
    for folder in (said["CJ_PIPELINE_DATA_DIR"], said["CJ_PIPELINE_TRACES_DIR"], "storage"):
        assert re.search(rf"(install -d|chown|COPY --chown=10001:10001).*{folder}", DOCKERFILE.replace("\\\n", " "))


def test_the_commit_of_the_code_is_what_the_image_says() -> None:
    ask = "from cj_pipeline.warehouse import origin as o; o._git_sha = lambda _: ''; print(o.code_version().git_sha)"
    command = [sys.executable, "-c", ask]
    said = subprocess.run(
        command, env={"CJ_PIPELINE_REVISION": "abc", "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True
    )
    assert said.stdout == "abc\n"
    assert "CJ_PIPELINE_REVISION=${REVISION}" in DOCKERFILE
