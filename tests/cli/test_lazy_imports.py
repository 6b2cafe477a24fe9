"""`--help` and commands that list import nothing heavy: half a second of CPU at every call, before anything happens."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.house import REPOSITORY

HEAVY = {
    "confluent_kafka", "dagster", "duckdb", "httpx", "matplotlib", "networkx", "numpy", "openpyxl", "pandas", "pyarrow",
    "redis", "rich", "rustworkx", "scipy", "sqlalchemy", "starlette", "uvicorn",
}  # fmt: skip

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
