"""Parts of datasets: what is written comes back, what does not fit is named, and the old file is never half gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.warehouse.schemas import SCHEMAS, describe
from cj_pipeline.warehouse.store import Warehouse
from tests.warehouse.rows import metric, row


@pytest.mark.parametrize("dataset", SCHEMAS)
def test_every_dataset_comes_back_as_it_was_written(dataset: str, tmp_path: Path) -> None:
    nullable = {field.name for field in SCHEMAS[dataset] if field.nullable}
    rows = [row(dataset), row(dataset, 1), row(dataset) | dict.fromkeys(nullable)]
    warehouse = Warehouse(tmp_path)
    path = warehouse.write(dataset, "anchors", "live", rows)
    assert path == tmp_path / dataset / "anchors" / "live.parquet"
    assert warehouse.read(dataset, "anchors", "live") == rows
    assert pq.read_schema(path).equals(SCHEMAS[dataset], check_metadata=True)


@pytest.mark.parametrize("dataset", SCHEMAS)
def test_every_column_is_described(dataset: str) -> None:
    assert [name for name, _, _, description in describe(dataset) if not description] == []


def test_no_rows_are_a_valid_part_and_a_nullable_column_may_be_left_out(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    warehouse.write("service_metrics", "anchors", "live", [])
    assert warehouse.read("service_metrics", "anchors", "live") == []
    failed = row("callbacks")
    del failed["winner"], failed["confidence"]
    warehouse.write("callbacks", "anchors", "live", [failed])
    (read,) = warehouse.read("callbacks", "anchors", "live")
    assert (read["winner"], read["confidence"]) == (None, None)


def test_times_are_kept_as_instants(tmp_path: Path) -> None:
    stockholm = datetime(2025, 11, 1, 13, tzinfo=timezone(timedelta(hours=1)))
    warehouse = Warehouse(tmp_path)
    warehouse.write("callbacks", "anchors", "live", [row("callbacks", requested_at=stockholm)])
    (read,) = warehouse.read("callbacks", "anchors", "live")
    assert read["requested_at"] == datetime(2025, 11, 1, 12, tzinfo=UTC)


BAD_ROWS: dict[str, tuple[str, dict[str, Any], str]] = {
    "undeclared column": ("service_metrics", {"valeu": 1.0}, "not declared"),
    "missing value": ("service_metrics", {"value": None}, "needs one"),
    "text for a number": ("service_metrics", {"value": "1.0"}, "a str does not fit double"),
    "a number for text": ("service_metrics", {"name": 7}, "a int does not fit string"),
    "bytes for text": ("service_metrics", {"name": b"x"}, "a bytes does not fit string"),
    "text that is no Unicode": ("service_metrics", {"name": "\ud800"}, "does not fit string"),
    "text for bytes": ("quarantine", {"raw": "{}"}, "a str does not fit binary"),
    # Arrow would store these five as 1, 1.0, 1, an instant in 1970 and a time in UTC.
    "a fraction for a count": ("runs", {"submitted": 1.5}, "a float does not fit int64"),
    "a truth value for a number": ("service_metrics", {"value": True}, "a bool does not fit double"),
    "a truth value for a count": ("runs", {"submitted": True}, "a bool does not fit int64"),
    "a number for a time": ("callbacks", {"completed_at": 5}, "a int does not fit timestamp"),
    "a time of no zone": ("callbacks", {"completed_at": datetime(2025, 11, 1)}, "a datetime does not fit timestamp"),  # noqa: DTZ001
    "too large for the column": ("callbacks", {"batch": 2**31}, "does not fit int32"),
    "too large for any column": ("runs", {"submitted": 2**63}, "does not fit int64"),
}


@pytest.mark.parametrize(("dataset", "fault", "problem"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_row_that_does_not_fit_is_refused_by_name_and_the_old_part_stays(
    dataset: str, fault: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    warehouse = Warehouse(tmp_path)
    path = warehouse.write(dataset, "anchors", "live", [row(dataset)])
    before = path.read_bytes()
    with pytest.raises(BadInput, match=problem) as refusal:
        warehouse.write(dataset, "anchors", "live", [row(dataset), row(dataset) | fault])
    assert [refusal.value.field] == list(fault)
    assert refusal.value.path == path
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_the_nearest_declared_column_is_suggested(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="Did you mean 'value'"):
        Warehouse(tmp_path).write("service_metrics", "anchors", "live", [metric("anchors") | {"valeu": 1.0}])


def test_a_write_that_dies_midway_leaves_the_old_part_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = Warehouse(tmp_path)
    path = warehouse.write("service_metrics", "anchors", "live", [metric("anchors", 1.0)])

    def disk_full(table: object, where: Path, **options: object) -> None:
        Path(where).write_bytes(b"PAR1 half a file")
        raise OSError("No space left on device")

    monkeypatch.setattr(pq, "write_table", disk_full)
    with pytest.raises(OSError, match="No space left"):
        warehouse.write("service_metrics", "anchors", "live", [metric("anchors", 2.0)])
    assert [read["value"] for read in warehouse.read("service_metrics", "anchors", "live")] == [1.0]
    assert list(path.parent.iterdir()) == [path]


def test_a_part_is_replaced_whole(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    warehouse.write("service_metrics", "anchors", "live", [metric("anchors", 1.0), metric("anchors", 2.0)])
    warehouse.write("service_metrics", "anchors", "live", [metric("anchors", 3.0)])
    assert [read["value"] for read in warehouse.read("service_metrics", "anchors", "live")] == [3.0]


def test_a_part_that_was_never_written_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="Materialise the scenario first"):
        Warehouse(tmp_path).read("bt_fit", "anchors", "live")


def test_an_unknown_dataset_is_named_with_the_nearest(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    with pytest.raises(BadInput, match=r"no dataset is called 'callback'\. Did you mean 'callbacks'\?"):
        warehouse.write("callback", "anchors", "live", [])
    with pytest.raises(BadInput, match="Did you mean 'bt_fit'"):
        warehouse.read("bt_fits", "anchors", "live")
    assert list(tmp_path.iterdir()) == []


def test_a_relative_root_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    warehouse = Warehouse(Path("data"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert warehouse.write("bt_fit", "anchors", "live", []).is_relative_to(tmp_path / "data")
