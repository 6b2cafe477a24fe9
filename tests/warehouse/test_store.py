"""Parts of one run: what is written comes back, what does not fit is named, and the old file is never half gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.warehouse.run_folder import RunFolder
from cj_pipeline.warehouse.schemas import SCHEMAS, describe
from cj_pipeline.warehouse.store import Warehouse
from tests.warehouse.rows import metric, origin, row


@pytest.mark.parametrize("dataset", SCHEMAS)
def test_every_dataset_comes_back_as_it_was_written(dataset: str, tmp_path: Path) -> None:
    nullable = {field.name for field in SCHEMAS[dataset] if field.nullable}
    rows = [row(dataset), row(dataset, 1), row(dataset) | dict.fromkeys(nullable)]
    run = RunFolder(tmp_path, "r1", "anchors")
    path = run.write(dataset, "live", rows, origin())
    assert path == tmp_path / "runs/r1/anchors" / dataset / "live.parquet"
    assert run.read(dataset, "live") == [{**one, "run_id": "r1"} for one in rows]
    assert pq.read_schema(path).remove_metadata().equals(SCHEMAS[dataset], check_metadata=True)
    assert run.stamp(dataset, "live").origin == origin()


@pytest.mark.parametrize("dataset", SCHEMAS)
def test_every_column_is_described(dataset: str) -> None:
    assert [name for name, _, _, description in describe(dataset) if not description] == []


def test_no_rows_are_a_valid_part_and_a_nullable_column_may_be_left_out(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, "r1", "anchors")
    run.write("service_metrics", "live", [], origin())
    assert run.read("service_metrics", "live") == []
    failed = row("callbacks")
    del failed["winner"], failed["confidence"]
    run.write("callbacks", "live", [failed], origin())
    (read,) = run.read("callbacks", "live")
    assert (read["winner"], read["confidence"]) == (None, None)


def test_times_are_kept_as_instants(tmp_path: Path) -> None:
    stockholm = datetime(2025, 11, 1, 13, tzinfo=timezone(timedelta(hours=1)))
    run = RunFolder(tmp_path, "r1", "anchors")
    run.write("callbacks", "live", [row("callbacks", requested_at=stockholm)], origin())
    (read,) = run.read("callbacks", "live")
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
    run = RunFolder(tmp_path, "r1", "anchors")
    path = run.write(dataset, "live", [row(dataset)], origin())
    before = path.read_bytes()
    with pytest.raises(BadInput, match=problem) as refusal:
        run.write(dataset, "live", [row(dataset), row(dataset) | fault], origin())
    assert [refusal.value.field] == list(fault)
    assert refusal.value.path == path
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_the_nearest_declared_column_is_suggested(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="Did you mean 'value'"):
        RunFolder(tmp_path, "r1", "anchors").write(
            "service_metrics", "live", [metric("anchors") | {"valeu": 1.0}], origin()
        )


def test_a_write_that_dies_midway_leaves_the_old_part_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(tmp_path, "r1", "anchors")
    path = run.write("service_metrics", "live", [metric("anchors", 1.0)], origin())

    def disk_full(table: object, where: Path, **options: object) -> None:
        Path(where).write_bytes(b"PAR1 half a file")
        raise OSError("No space left on device")

    monkeypatch.setattr(pq, "write_table", disk_full)
    with pytest.raises(OSError, match="No space left"):
        run.write("service_metrics", "live", [metric("anchors", 2.0)], origin())
    assert [read["value"] for read in run.read("service_metrics", "live")] == [1.0]
    assert list(path.parent.iterdir()) == [path]


def test_a_part_is_replaced_whole(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, "r1", "anchors")
    run.write("service_metrics", "live", [metric("anchors", 1.0), metric("anchors", 2.0)], origin())
    run.write("service_metrics", "live", [metric("anchors", 3.0)], origin())
    assert [read["value"] for read in run.read("service_metrics", "live")] == [3.0]


def test_an_unknown_dataset_is_named_with_the_nearest(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, "r1", "anchors")
    with pytest.raises(BadInput, match=r"no dataset is called 'callback'\. Did you mean 'callbacks'\?"):
        run.write("callback", "live", [], origin())
    with pytest.raises(BadInput, match="Did you mean 'bt_fit'"):
        run.read("bt_fits", "live")
    assert list(tmp_path.iterdir()) == []


def test_a_relative_root_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = Warehouse(Path("data")).run("r1", "anchors")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run.write("bt_fit", "live", [], origin()).is_relative_to(tmp_path / "data")
