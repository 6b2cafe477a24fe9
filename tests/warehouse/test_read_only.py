"""`sql` answers one SELECT over the data folder, in limits, and cannot write or read anything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from cj_pipeline.warehouse import read_only
from cj_pipeline.warehouse.read_only import ask
from cj_pipeline.warehouse.store import QueryFailed, Warehouse


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    made = Warehouse(tmp_path / "data")
    made.rebuild_catalogue()
    return made


@pytest.mark.parametrize(
    "statement",
    [
        "copy (select 1 as x) to '{out}/x.csv'",
        "copy (select 1 as x) to '{data}/x.parquet'",
        "explain analyze copy (select 1 as x) to '{data}/x.csv'",
        "export database '{out}/x'",
        "attach '{out}/new.db' as n",
        "select 1; copy (select 2) to '{data}/x.csv'",
        "set memory_limit = '100GB'",
        "create table warehouse.t as select 1",
        "select * from read_text('/etc/passwd')",
        "select * from read_csv('/etc/passwd', header = false, delim = '|')",
        "select * from glob('/etc/pass*')",
        "select 1; select 2",
        "",
        ";",
        "pragma database_list",
        "call pragma_version()",
        "install httpfs",
        "load httpfs",
        "prepare x as select 1",
        "execute x",
        "use memory",
        "checkpoint",
        "begin; select 1",
        "explain analyze select 1",
        "explain select 1; select 2",
        "explain explain select 1",
        "explain copy (select 1) to '{data}/x.csv'",
        "EXPLAIN\n(analyze) copy (select 1) to '{data}/x.csv'",
        "select getenv('HOME')",
        "from query('copy (select 1) to x')",
        "from read_text('{data}/../../../../../../../../../etc/passwd')",
        "from read_json('/etc/hosts')",
        "from sniff_csv('/etc/passwd')",
        "from parquet_metadata('/etc/passwd')",
        "from 'https://127.0.0.1:1/x.csv'",
        "from duckdb_secrets()",
        "insert into callbacks select * from callbacks",
    ],
)
def test_anything_but_one_select_over_the_data_is_refused(warehouse: Warehouse, tmp_path: Path, statement: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(QueryFailed):
        ask(warehouse, statement.format(out=tmp_path, data=warehouse.root))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("select 'infinity'::date", "infinity"),
        ("select '290000-01-01'::timestamp", "290000-01-01 00:00:00"),
        ("select timestamp_ns '2020-01-01 00:00:00.123456789'", "2020-01-01 00:00:00.123456789"),
        ("select 'åä'", "åä"),
        ("select 7", 7),
        ("select null::varchar", None),
    ],
)
def test_any_value_is_shown(warehouse: Warehouse, query: str, value: object) -> None:
    assert ask(warehouse, query).rows == [(value,)]


def test_two_columns_may_have_one_name(warehouse: Warehouse) -> None:
    answer = ask(warehouse, "select 1 as a, 2 as a")
    assert (answer.columns, answer.rows) == (("a", "a"), [(1, 2)])


def test_the_first_rows_of_many_are_shown_and_that_there_are_more(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_only, "MOST_ROWS", 10)
    answer = ask(warehouse, "select * from range(11)")
    assert (len(answer.rows), answer.more) == (10, True)
    assert not ask(warehouse, "select * from range(10)").more


def test_a_value_without_end_and_a_query_without_end_are_refused(warehouse: Warehouse) -> None:
    with pytest.raises(QueryFailed, match="more than 1,000,000 bytes"):
        ask(warehouse, "select repeat('x', 1000001)")
    with pytest.raises(QueryFailed, match=r"took more than 0\.2 s"):
        ask(
            warehouse,
            "select count(*) from range(1000000000) a, range(1000000000) b where a.range % 7 = 1",
            seconds=0.2,
        )


def test_a_plan_is_shown(warehouse: Warehouse) -> None:
    rows = ask(warehouse, "Explain select count(*) from callbacks").rows
    assert any("aggregate" in line.lower() for (line,) in rows)


def test_the_tables_are_listed(warehouse: Warehouse) -> None:
    assert ("callbacks",) in ask(warehouse, "show tables").rows
