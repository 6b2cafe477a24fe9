"""The DuckDB catalogue: one table per dataset over every published run, swapped in whole, and read only."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.warehouse.pointers import Pointer
from cj_pipeline.warehouse.schemas import PARTS, SCHEMAS
from cj_pipeline.warehouse.store import QueryFailed, Warehouse
from tests.warehouse.rows import made, metric, published, row, scenario_folder

COUNT = "select count(*) as n from service_metrics"


@pytest.fixture
def two_scenarios(tmp_path: Path) -> Warehouse:
    """A warehouse with metrics of two scenarios and a catalogue."""
    warehouse = Warehouse(tmp_path / "data")
    published(warehouse.run("r1", "anchors"), {"service_metrics": [metric("anchors", 1.0), metric("anchors", 2.0)]})
    published(warehouse.run("r2", "lower5"), {"service_metrics": [metric("lower5", 4.0)]})
    warehouse.rebuild_catalogue()
    return warehouse


def counted(warehouse: Warehouse) -> int:
    (answer,) = warehouse.query(COUNT).to_pylist()
    return int(answer["n"])


def test_a_table_spans_all_scenarios(two_scenarios: Warehouse) -> None:
    sums = two_scenarios.query(
        "select scenario_id, sum(value) as total from service_metrics group by scenario_id order by scenario_id"
    )
    assert sums.to_pylist() == [
        {"scenario_id": "anchors", "total": 3.0},
        {"scenario_id": "lower5", "total": 4.0},
    ]


@pytest.mark.parametrize("written", [False, True], ids=["no part yet", "one part"])
@pytest.mark.parametrize("dataset", SCHEMAS)
def test_every_dataset_is_a_table_of_its_declared_columns(dataset: str, written: bool, tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "data")
    if written:
        published(warehouse.run("r1", "anchors"), {dataset: [row(dataset)]})
    warehouse.rebuild_catalogue()
    table = warehouse.query(f"select * from {dataset}")  # noqa: S608
    assert table.schema.names == SCHEMAS[dataset].names
    assert table.schema.types == SCHEMAS[dataset].types
    assert table.num_rows == written


def test_instants_are_shown_in_utc_on_every_machine(two_scenarios: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    published(two_scenarios.run("r3", "anchors"), {"callbacks": [row("callbacks")]})
    two_scenarios.rebuild_catalogue()
    (shown,) = two_scenarios.query("select completed_at::varchar as at from callbacks").to_pylist()
    assert shown["at"] == "2025-11-01 12:00:00.123456+00"


def test_every_row_says_its_run(two_scenarios: Warehouse) -> None:
    found = two_scenarios.query("select distinct scenario_id, run_id from service_metrics order by all").to_pylist()
    assert [tuple(one.values()) for one in found] == [("anchors", "r1"), ("lower5", "r2")]


def test_only_the_published_run_of_a_scenario_is_seen(two_scenarios: Warehouse) -> None:
    made(two_scenarios.run("r3", "anchors"), {"service_metrics": [metric("anchors")] * 5})
    two_scenarios.rebuild_catalogue()
    assert counted(two_scenarios) == 3
    published(two_scenarios.run("r4", "anchors"), {"service_metrics": [metric("anchors")] * 7})
    assert counted(two_scenarios) == 8  # whoever asks from now on sees the new run, whole


def test_a_scenario_whose_folder_is_gone_leaves_the_catalogue(two_scenarios: Warehouse) -> None:
    scenario_folder(two_scenarios.root, "anchors").rmdir()
    two_scenarios.rebuild_catalogue(known=["anchors"])
    assert counted(two_scenarios) == 3  # the folder moved, and the scenario is still known
    two_scenarios.rebuild_catalogue()
    assert counted(two_scenarios) == 1


def test_a_run_that_is_published_while_the_catalogue_is_built_is_in_it(
    two_scenarios: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = Warehouse._build
    runs = iter(["r3"])

    def build_while_another_run_publishes(
        self: Warehouse, path: Path, found: tuple[Pointer, ...], out: list[str]
    ) -> None:
        build(self, path, found, out)
        for run_id in runs:
            published(self.run(run_id, "lower5"), {"service_metrics": [metric("lower5")] * 9})

    monkeypatch.setattr(Warehouse, "_build", build_while_another_run_publishes)
    two_scenarios.rebuild_catalogue()
    assert counted(two_scenarios) == 11


def test_a_run_whose_publisher_broke_off_before_the_catalogue_is_in_the_next_answer(two_scenarios: Warehouse) -> None:
    two_scenarios.rebuild_catalogue()
    published(two_scenarios.run("r3", "lower5"), {"service_metrics": [metric("lower5")] * 9})
    assert counted(two_scenarios) == 11


def test_parts_in_the_layout_of_the_first_edition_are_named_and_left_out(two_scenarios: Warehouse) -> None:
    assert two_scenarios.first_edition() == ""
    old = two_scenarios.root / "service_metrics/anchors/live.parquet"
    old.parent.mkdir(parents=True)
    shutil.copy(two_scenarios.run("r1", "anchors").path("service_metrics", "live"), old)
    assert "materialise the scenarios again" in two_scenarios.first_edition()
    two_scenarios.rebuild_catalogue()
    assert counted(two_scenarios) == 3


def test_the_catalogue_is_rebuilt_while_somebody_reads_the_old_one(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "data")
    warehouse.rebuild_catalogue()
    with duckdb.connect(str(warehouse.catalogue_path), read_only=True) as reader:
        assert reader.execute(COUNT).fetchone() == (0,)
        published(warehouse.run("r1", "anchors"), {"service_metrics": [metric("anchors")]})
        warehouse.rebuild_catalogue()
        # The reader keeps what it opened; a query made now sees the new one, though both are in this process.
        assert reader.execute(COUNT).fetchone() == (0,)
        assert counted(warehouse) == 1


def test_nothing_but_the_catalogue_is_left_behind(two_scenarios: Warehouse) -> None:
    two_scenarios.rebuild_catalogue()
    left = sorted(path.name for path in two_scenarios.root.iterdir())
    assert left == ["history", "published", "runs", "warehouse.duckdb"]


def test_a_run_with_a_broken_part_is_named_and_left_out_and_the_others_stay(two_scenarios: Warehouse) -> None:
    path = two_scenarios.run("r1", "anchors").path("bt_fit", "live")
    path.write_bytes(b"no Parquet")
    (left,), (problem,) = two_scenarios.sound()
    assert problem.startswith(f"{path}: is damaged, or is no Parquet file.")
    assert (left.scenario_id, counted(two_scenarios)) == ("lower5", 3)
    two_scenarios.rebuild_catalogue()
    assert counted(two_scenarios) == 1
    published(two_scenarios.run("r3", "anchors"), {"service_metrics": [metric("anchors", 3.0)]})
    two_scenarios.rebuild_catalogue()
    assert counted(two_scenarios) == 2
    assert sorted(path.name for path in two_scenarios.root.glob("*.duckdb*")) == ["warehouse.duckdb"]


@pytest.mark.parametrize(
    "statement",
    [
        "create table mine as select 1",
        "drop view service_metrics",
        "insert into bt_fit select * from bt_fit",
        "delete from bt_fit",
        "create or replace view service_metrics as select 1 as n",
    ],
)
def test_a_query_cannot_write(statement: str, two_scenarios: Warehouse) -> None:
    before = two_scenarios.catalogue_path.read_bytes()
    with pytest.raises(QueryFailed, match=r"read-only|is not an table|base table"):
        two_scenarios.query(statement)
    assert two_scenarios.catalogue_path.read_bytes() == before
    assert counted(two_scenarios) == 3


@pytest.mark.parametrize(
    "sql", ["selec", "select * from callback", "select no_such_column from runs", "", "-- nothing"]
)
def test_bad_sql_is_answered_with_the_tables(sql: str, two_scenarios: Warehouse) -> None:
    with pytest.raises(QueryFailed, match=r"Tables: callbacks, .*alignment"):
        two_scenarios.query(sql)


def test_the_shell_statements_people_type_first_work(two_scenarios: Warehouse) -> None:
    assert "service_metrics" in two_scenarios.query("show tables")["name"].to_pylist()
    assert two_scenarios.query("describe bt_fit").num_rows == len(SCHEMAS["bt_fit"])
    assert two_scenarios.query("from service_metrics").num_rows == 3


def test_without_a_catalogue_a_query_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="make parity"):
        Warehouse(tmp_path).query(COUNT)


def test_a_catalogue_that_is_no_database_is_an_error_of_ours(two_scenarios: Warehouse) -> None:
    two_scenarios.catalogue_path.write_bytes(b"not a database")
    with pytest.raises(BadInput, match=r"warehouse\.duckdb: cannot be opened .*warehouse migrate"):
        two_scenarios.query(COUNT)


# A quote ends an SQL string, brackets and stars are patterns, `run=3` is a partition column to whoever guesses.
@pytest.mark.parametrize("name", ["it's", "a[1]", "star*", "run=3", "with space", "ünïcode"])
def test_any_folder_name_will_do(name: str, tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / name)
    run = published(warehouse.run("r1", "anchors"), {"service_metrics": [metric("anchors")]})
    warehouse.rebuild_catalogue()
    assert counted(warehouse) == 1
    assert warehouse.query("from service_metrics").schema.names == ["run_id", "scenario_id", "name", "labels", "value"]
    assert run.read("service_metrics", "live") == [{"run_id": "r1"} | metric("anchors")]


def test_a_star_in_a_folder_name_matches_only_itself(tmp_path: Path) -> None:
    for name in ("data-1", "data*"):
        run = Warehouse(tmp_path / name).run("r1", "anchors")
        published(run, {"service_metrics": [metric("anchors")]})
    warehouse = Warehouse(tmp_path / "data*")
    warehouse.rebuild_catalogue()
    assert counted(warehouse) == 1


def test_a_run_that_is_published_while_the_catalogue_is_made_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = Warehouse(tmp_path / "data")
    published(warehouse.run("r1", "anchors"), {"service_metrics": [metric("anchors")]})
    build, built = Warehouse._build, []

    def slow(self: Warehouse, path: Path, *rest: Any) -> None:
        build(self, path, *rest)
        built.append(path)
        if len(built) == 1:
            published(warehouse.run("r2", "ladder"), {"service_metrics": [metric("ladder")]})

    monkeypatch.setattr(Warehouse, "_build", slow)
    warehouse.rebuild_catalogue()
    assert len(built) == 2
    found = warehouse.query("select distinct scenario_id from service_metrics order by 1").to_pylist()
    assert [row["scenario_id"] for row in found] == ["anchors", "ladder"]


def test_a_part_whose_columns_have_other_types_is_no_part(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "data")
    run = published(warehouse.run("r1", "anchors"), {"service_metrics": [metric("anchors")]})
    path = run.path("service_metrics", PARTS["service_metrics"][0])
    table = pq.read_table(path, partitioning=None)
    other = table.schema.set(table.schema.get_field_index("value"), pa.field("value", pa.string()))
    pq.write_table(table.cast(other), path)
    assert warehouse.sound()[0] == ()
    (problem,) = warehouse.sound()[1]
    assert problem.startswith(f"{path}: value: has not the columns of a part of service_metrics.")


def test_a_damaged_pointer_is_among_what_is_not_sound(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "data")
    published(warehouse.run("r1", "anchors"))
    (tmp_path / "data/published/ladder.json").write_text("{", encoding="utf-8")
    sound, problems = warehouse.sound()
    assert [pointer.scenario_id for pointer in sound] == ["anchors"]
    (problem,) = problems
    assert "ladder.json: is no pointer to a run." in problem
