"""This module tests that assets read and publish over a data folder that older code wrote, and stop at a newer one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cj_pipeline.warehouse.history import read_history
from cj_pipeline.warehouse.store import Warehouse
from tests.dagster_floor.floor import execute
from tests.warehouse.old_folder import EVENING, FIRST, OLD, newer, rebuild

PILOT = "old_pilot"


@pytest.fixture
def old(tmp_path: Path) -> Warehouse:
    rebuild(OLD / FIRST, tmp_path)
    rebuild(OLD / EVENING, tmp_path)
    return Warehouse(tmp_path / "data")


def test_a_run_reads_the_old_pointer_and_is_published_in_its_place(old: Warehouse, tmp_path: Path) -> None:
    (before,) = old.published()
    result = execute(PILOT, old.root, traces_dir=tmp_path / "traces")
    (after,) = old.published()
    assert after.run_id == result.run_id
    assert before.run_id != result.run_id
    assert json.loads((old.root / "published" / f"{PILOT}.json").read_bytes())["schema_version"] == 2
    assert len({row["run_id"] for row in read_history(old.root, PILOT)}) == 2
    assert old.query("select distinct run_id from history").num_rows == 2
    # The run before stays as it was, and is read.
    assert [row["batch"] for row in old.run(before.run_id, PILOT).read("judges", "live")] == [0]
    # What the judge answers to the same seed has not changed with the format.
    assert after.answers["recorded"].answers_sha256 == before.answers["recorded"].answers_sha256


def test_a_run_does_not_replace_the_pointer_of_a_newer_version(old: Warehouse, tmp_path: Path) -> None:
    pointer = old.root / "published" / f"{PILOT}.json"
    newer(pointer)
    kept = pointer.read_bytes()
    result = execute(PILOT, old.root, traces_dir=tmp_path / "traces")
    assert not result.success
    (failure, *_) = result.get_step_failure_events()
    assert "is version 9 of the pointer to a published run, which a newer cj-pipeline wrote" in str(
        failure.step_failure_data.error
    )
    assert pointer.read_bytes() == kept
