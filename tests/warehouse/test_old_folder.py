"""This module tests that what older versions wrote is read, and migrated whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.stored_formats import PART
from cj_pipeline.foundation.versions import NewerVersion
from cj_pipeline.runs.record import Side
from cj_pipeline.runs.tables import load_answers
from cj_pipeline.warehouse import migration
from cj_pipeline.warehouse.history import read_history
from cj_pipeline.warehouse.migration import Migration, migrate, planned
from cj_pipeline.warehouse.parts import LATER, part_file
from cj_pipeline.warehouse.prune import prune
from cj_pipeline.warehouse.schemas import SCHEMAS
from cj_pipeline.warehouse.store import Warehouse
from tests.house import REPOSITORY
from tests.warehouse.old_folder import FIRST, OLD, keep, newer, rebuild
from tests.warehouse.rows import metric, published

PILOT = "old_pilot"


@pytest.fixture
def old(tmp_path: Path) -> Warehouse:
    return Warehouse(rebuild(OLD / FIRST, tmp_path) / "data")


def then() -> list[tuple[str, list[dict[str, Any]]]]:
    """What the old version itself answered."""
    document = json.loads((OLD / FIRST / "then.json").read_text(encoding="utf-8"))
    return list(document.items())


def files_of(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def parts_of(warehouse: Warehouse) -> list[Path]:
    return sorted((warehouse.root / "runs").glob("*/*/*/*.parquet"))


def test_a_folder_that_is_kept_as_text_is_made_again_as_it_was(old: Warehouse, tmp_path: Path) -> None:
    again = tmp_path / "again"
    keep(tmp_path, again)
    texts = {path.relative_to(OLD / FIRST): path.read_text(encoding="utf-8") for path in (OLD / FIRST).rglob("*.*")}
    assert {path.relative_to(again): path.read_text(encoding="utf-8") for path in again.rglob("*.*")} == texts


def test_the_kept_run_is_of_the_first_version(old: Warehouse) -> None:
    lacking = {(part.dataset, name) for part in planned(old).parts for name in part.lacking}
    assert {part.version for part in planned(old).parts} == {1}
    assert lacking == {(dataset, name) for dataset, names in LATER.items() for name in names}


@pytest.mark.parametrize("migrated", [False, True])
@pytest.mark.parametrize(("query", "rows"), then(), ids=[query.split(" from ")[1].split()[0] for query, _ in then()])
def test_queries_give_what_they_gave_then(
    old: Warehouse, query: str, rows: list[dict[str, Any]], migrated: bool
) -> None:
    if migrated:
        migrate(old)
    assert old.query(query).to_pylist() == rows


def test_columns_that_came_later_have_their_value_of_that_time(old: Warehouse) -> None:
    run = old.published_run(PILOT)
    assert [row["batch"] for row in run.read("judges", "live")] == [0]
    assert [row["standard_error"] for row in run.read("alignment", "live")] == [None] * 3
    assert old.query("select distinct batch from judges").to_pylist() == [{"batch": 0}]
    assert old.query("select distinct standard_error from alignment").to_pylist() == [{"standard_error": None}]
    answers = load_answers(run, Side.RECORDED)
    assert (len(answers.events), answers.further, answers.quarantined) == (3, (), ())


def test_old_and_new_runs_are_rows_of_one_view(old: Warehouse) -> None:
    published(old.run("r2", "anchors"), {"service_metrics": [metric("anchors")]})
    old.rebuild_catalogue()
    found = old.query("select distinct scenario_id from service_metrics order by 1").to_pylist()
    assert found == [{"scenario_id": "anchors"}, {"scenario_id": PILOT}]
    for dataset, schema in SCHEMAS.items():
        assert old.query(f"select * from {dataset}").column_names == schema.names  # noqa: S608


def test_reading_changes_no_file_but_the_catalogue(old: Warehouse) -> None:
    before = files_of(old.root)
    old.query("select * from judges")
    read_history(old.root, PILOT)
    after = files_of(old.root)
    assert {path for path in after if after[path] != before.get(path)} == {old.catalogue_path}


def test_a_folder_that_has_moved_is_asked_where_it_is_now(old: Warehouse, tmp_path: Path) -> None:
    old.query("select * from judges")
    moved = Warehouse(shutil.move(old.root, tmp_path / "elsewhere"))
    assert moved.query("select count(*) as n from callbacks").to_pylist() == [{"n": 6}]


def test_a_migration_is_done_once_and_loses_nothing(old: Warehouse) -> None:
    run = old.published_run(PILOT)
    parts = [(path.parent.name, path.stem) for path in parts_of(old)]
    before = {part: (run.stamp(*part), run.read(*part), run.path(*part).stat().st_mtime_ns) for part in parts}
    plan = planned(old)
    assert (len(plan.parts), plan.current, plan.catalogue, plan.problems) == (len(parts), 0, True, ())
    assert migrate(old).parts == plan.parts
    assert {part: (run.stamp(*part), run.read(*part), run.path(*part).stat().st_mtime_ns) for part in parts} == before
    assert {part_file(path, path.parent.name).version for path in parts_of(old)} == {PART.version}
    files = files_of(old.root)
    again = migrate(old)
    assert (again.parts, again.current, again.catalogue) == ((), len(parts), False)
    assert files_of(old.root) == files


def test_a_run_that_is_pruned_meanwhile_is_passed_over(old: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    (run,) = (old.root / "runs").iterdir()
    spare = shutil.copytree(run, run.with_name("spare"))

    def then_pruned(warehouse: Warehouse) -> Migration:
        found = planned(warehouse)
        shutil.rmtree(spare)
        return found

    monkeypatch.setattr("cj_pipeline.warehouse.migration.planned", then_pruned)
    done = migrate(old)
    assert {part.path for part in done.parts} == set(parts_of(old))
    assert done.problems == ()


KILLED_AT = """
import os, signal, sys
from pathlib import Path
from cj_pipeline.warehouse import migration
from cj_pipeline.warehouse.store import Warehouse
left = int(sys.argv[2])
rename = Path.replace
def replace(path, target):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    done = rename(path, target)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return done
Path.replace = replace
migration.migrate(Warehouse(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("step", [1, 2, 37, 38])
def test_a_migration_that_is_killed_leaves_each_file_old_or_new(old: Warehouse, step: int) -> None:
    # 18 parts and the catalogue: each is renamed once, and the process dies before or after that.
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AT, str(old.root), str(step)],
        cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    versions = [part_file(path, path.parent.name).version for path in parts_of(old)]
    assert versions.count(2) == min(step // 2, 18)
    for query, rows in then():
        assert old.query(query).to_pylist() == rows
    assert len(migrate(old).parts) == 18 - min(step // 2, 18)
    assert planned(old).parts == ()


def test_two_migrations_at_once_do_the_same(old: Warehouse) -> None:
    script = f"from pathlib import Path; from cj_pipeline.warehouse.migration import migrate; from cj_pipeline.warehouse.store import Warehouse; migrate(Warehouse(Path({str(old.root)!r})))"  # noqa: E501
    both = [subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY) for _ in range(2)]
    assert [one.wait() for one in both] == [0, 0]
    assert planned(old).parts == ()
    for query, rows in then():
        assert old.query(query).to_pylist() == rows


@pytest.fixture
def newer_part(old: Warehouse) -> Path:
    path = old.published_run(PILOT).path("parity_reports", "parity")
    newer(path)
    return path


def test_nothing_is_migrated_where_a_newer_version_wrote_something(old: Warehouse, newer_part: Path) -> None:
    before = files_of(old.root)
    with pytest.raises(NewerVersion, match=r"parity\.parquet: is version 9 of a part of a run, .* 1 to 2\. Upgrade"):
        migrate(old)
    assert files_of(old.root) == before


def test_prune_removes_no_run_of_a_newer_version(old: Warehouse, newer_part: Path) -> None:
    (old.root / "published" / f"{PILOT}.json").unlink()
    with pytest.raises(NewerVersion):
        prune(old, datetime(2036, 1, 1, tzinfo=UTC), keep=1)
    assert newer_part.is_file()


def test_a_run_does_not_replace_the_pointer_of_a_newer_version(old: Warehouse) -> None:
    pointer = old.root / "published" / "anchors.json"
    published(old.run("r2", "anchors"))
    newer(pointer)
    kept = pointer.read_bytes()
    with pytest.raises(NewerVersion, match="is version 9 of the pointer to a published run"):
        published(old.run("r3", "anchors"))
    assert pointer.read_bytes() == kept


def test_the_next_run_writes_the_pointer_in_the_version_of_today(old: Warehouse) -> None:
    assert "schema_version" not in json.loads((old.root / "published" / f"{PILOT}.json").read_bytes())
    assert old.published()[0].verdict == "CANNOT TELL"
    published(old.run("r2", PILOT))
    assert json.loads((old.root / "published" / f"{PILOT}.json").read_bytes())["schema_version"] == 2
    assert old.published()[0].run_id == "r2"


def test_a_damaged_part_is_named_and_other_runs_are_migrated_and_asked(old: Warehouse) -> None:
    published(old.run("r2", "anchors"), {"service_metrics": [metric("anchors")]})
    damaged = old.published_run(PILOT).path("bt_fit", "live")
    damaged.write_bytes(damaged.read_bytes()[:-9])
    done = migrate(old)
    (problem,) = done.problems
    assert problem == f"{damaged}: is damaged, or is no Parquet file. Materialise the whole scenario."
    assert len(done.parts) == 17
    assert old.query("select scenario_id from service_metrics").to_pylist() == [{"scenario_id": "anchors"}]
    assert migrate(old).problems == (problem,)


@pytest.mark.parametrize("version", [b"1", b"2"])
def test_columns_that_no_version_has_are_refused(old: Warehouse, version: bytes) -> None:
    path = old.published_run(PILOT).path("judges", "live")
    table = pq.read_table(path, partitioning=None)
    odd = table.append_column("of tomorrow", table["name"]) if version == b"1" else table
    pq.write_table(odd.replace_schema_metadata({**table.schema.metadata, b"cj_pipeline_schema": version}), path)
    field = "of tomorrow" if version == b"1" else "batch"
    with pytest.raises(BadInput, match=rf"live\.parquet: {field}: has not the columns of a part of judges"):
        old.published_run(PILOT).read("judges", "live")


def test_a_version_that_is_no_number_is_refused(old: Warehouse) -> None:
    (old.root / "published" / f"{PILOT}.json").write_text('{"schema_version": "two"}')
    with pytest.raises(BadInput, match="'two' is no version of the pointer to a published run"):
        old.published()


def test_a_part_that_was_not_written_as_it_was_read_does_not_replace_the_old_one(
    old: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in parts_of(old)}
    monkeypatch.setattr(migration, "_same", lambda *_: False)
    assert len(migrate(old).problems) == len(before)
    assert {path: path.read_bytes() for path in parts_of(old)} == before


def test_an_old_catalogue_in_a_folder_that_cannot_be_written_says_who_can_help(
    old: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("cj_pipeline.warehouse.store.replace_whole", full)
    with pytest.raises(
        BadInput, match=r"warehouse\.duckdb: is of an older version .*Read-only.* `cj-pipeline warehouse"
    ):
        old.query("select * from judges")


def test_a_flipped_bit_in_a_migrated_part_is_seen(old: Warehouse) -> None:
    migrate(old)
    run = old.published_run(PILOT)
    path, whole = run.path("bt_fit", "live"), run.read("bt_fit", "live")
    content = path.read_bytes()
    seen = 0
    for place in range(8, 108, 5):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            assert run.read("bt_fit", "live") == whole
        except BadInput:
            seen += 1
    assert seen > 10


def test_a_part_that_its_run_writes_again_is_left_as_it_is(old: Warehouse) -> None:
    (part, *_) = planned(old).parts
    current = part.read().replace_schema_metadata({**pq.read_schema(part.path).metadata, b"cj_pipeline_schema": b"2"})
    pq.write_table(current, part.path)
    before = part.path.read_bytes()
    migration._rewrite(part)
    assert part.path.read_bytes() == before
