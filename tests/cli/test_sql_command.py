"""`sql` ends in time, also where the database itself does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cj_pipeline.warehouse.store import Warehouse

# A query that hears no interrupt, as one value of 1.5 GB does not.
DEAF = """
import time
from cj_pipeline.cli import sql
from cj_pipeline.cli.main import main
from cj_pipeline.warehouse import read_only

read_only.MOST_SECONDS, sql._GRACE_S = 0.1, 0.1
read_only.ask = lambda *_: time.sleep(60)
main()
"""


@pytest.mark.timeout(50)
def test_a_query_that_cannot_be_interrupted_ends_with_a_sentence(tmp_path: Path) -> None:
    Warehouse(tmp_path).rebuild_catalogue()
    ended = subprocess.run(
        [sys.executable, "-c", DEAF, "sql", "select 1"],
        capture_output=True,
        text=True,
        timeout=40,
        env=os.environ | {"CJ_PIPELINE_DATA_DIR": str(tmp_path)},
    )
    assert (ended.returncode, ended.stderr) == (2, "error: The query took more than 0.1 s; ask for less.\n")
