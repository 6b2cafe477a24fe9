"""`--help` and commands that list import nothing heavy: half a second of CPU at every call, before anything happens."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cj_pipeline.foundation import exit_codes
from tests.house import REPOSITORY

HEAVY = {
    "botocore", "confluent_kafka", "dagster", "duckdb", "fsspec", "httpx", "matplotlib", "networkx", "numpy",
    "openpyxl", "pandas", "prometheus_client", "pyarrow", "redis", "rich", "rustworkx", "s3fs", "scipy", "sqlalchemy",
    "starlette", "upath", "uvicorn",
}  # fmt: skip

TWO_RUNS = ("149_gpt51_none", "150_gpt51_none")

SHOW = """
import sys
from cj_pipeline.cli.main import main
try:
    main()
finally:
    print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        (["--help"], HEAVY | {"pydantic", "yaml"}),
        (["traces", "--help"], HEAVY | {"pydantic", "yaml"}),
        (["traces", "list"], HEAVY),
        (["eng5", "--help"], HEAVY | {"pydantic", "yaml"}),
        (["eng5", "execute", "--help"], HEAVY | {"pydantic", "yaml"}),
    ],
)
def test_nothing_heavy_is_imported(arguments: list[str], unwanted: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHOW, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout
    assert set(done.stderr.split()) & unwanted == set()


def test_two_recordings_are_compared_without_the_services(tmp_path: Path) -> None:
    traces = [str(REPOSITORY / "traces" / f"eng5_lower5_{number}_20251202") for number in TWO_RUNS]
    done = subprocess.run(
        [sys.executable, "-c", SHOW, "parity", *traces],
        cwd=REPOSITORY, env={**os.environ, "CJ_PIPELINE_DATA_DIR": str(tmp_path)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode in (exit_codes.PASSED, exit_codes.CHECK_FAILED, exit_codes.CANNOT_TELL), done.stderr
    services = {"httpx", "starlette", "prometheus_client", "dagster", "duckdb", "redis", "uvicorn"}
    assert set(done.stderr.split()) & services == set()


SHOW_HELP_OF_ALL = """
import sys
import click
from cj_pipeline.cli.main import cli

heavy = set(sys.argv[1:])

def show(command, path):
    with click.Context(command, info_name=path[-1]) as context:
        command.get_help(context)
        for name in sorted(heavy & {module.partition(".")[0] for module in sys.modules}):
            heavy.remove(name)  # of the first command that imports it
            print(*path, "imports", name, file=sys.stderr)
        print(*path)
        for name in command.list_commands(context) if isinstance(command, click.Group) else ():
            show(command.get_command(context, name), [*path, name])

show(cli, ["cj-pipeline"])
"""


def test_no_command_imports_anything_heavy_to_show_its_help() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHOW_HELP_OF_ALL, *HEAVY, "pydantic_settings"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    assert {"cj-pipeline parity", "cj-pipeline traces import", "cj-pipeline bt fit"} <= set(done.stdout.splitlines())
