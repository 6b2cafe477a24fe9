"""Datasets on object storage are what they are in a folder, and a pointer loses no publisher."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Event

import pyarrow.parquet as pq
import pytest

from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.data_path import DataPath, is_remote
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.warehouse import publishing
from cj_pipeline.warehouse.files import readable
from cj_pipeline.warehouse.history import history_files, read_history
from cj_pipeline.warehouse.pointers import all_pointers, pointer_of, pointer_version, write_pointer
from cj_pipeline.warehouse.prune import prune
from cj_pipeline.warehouse.publishing import NotPublished, publish
from cj_pipeline.warehouse.read_only import ask
from cj_pipeline.warehouse.run_folder import RunFolder
from cj_pipeline.warehouse.schemas import HISTORY, SCHEMAS
from cj_pipeline.warehouse.store import QueryFailed, Warehouse
from tests.warehouse.rows import made, metric, origin, row

pytestmark = pytest.mark.servers("s3")

ANCHORS = "anchors"
CHECKS = {"parity_checks": [row("parity_checks", check=name) for name in ("counts", "position_effect")]}
EVERYTHING = {
    dataset: [
        row(dataset, which, **({"scenario_id": ANCHORS} if "scenario_id" in schema.names else {})) for which in (0, 1)
    ]
    for dataset, schema in SCHEMAS.items()
}


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    folder = tmp_path / "traces" / ANCHORS
    folder.mkdir(parents=True)
    (folder / "scenario.yaml").write_text("scenario_id: anchors\n")
    return folder


def run_ids(root: DataPath) -> list[str]:
    """The runs in the history, each as often as it is there."""
    return [one["run_id"] for one in read_history(root, ANCHORS) if one["check"] == "counts"]


def test_the_views_are_those_of_a_folder_row_for_row(root: DataPath, scenario: Path, tmp_path: Path) -> None:
    there, here = Warehouse(root), Warehouse(tmp_path / "data")
    for warehouse in (there, here):
        publish(made(warehouse.run("r1", ANCHORS), EVERYTHING), scenario)
        warehouse.rebuild_catalogue()
    for dataset in (*SCHEMAS, HISTORY):
        without = " exclude (time)" if dataset == HISTORY else ""  # when it was written differs
        found, expected = (one.query(f"select *{without} from {dataset}") for one in (there, here))  # noqa: S608
        assert found.schema == expected.schema
        assert found.to_pylist() == expected.to_pylist()
    assert there.query("select count(*) as n from history").to_pylist() == [{"n": 2}]


def test_the_parts_of_a_run_are_those_of_a_folder_byte_for_byte(
    root: DataPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = utc_now()
    monkeypatch.setattr("cj_pipeline.warehouse.run_folder.utc_now", lambda: now)
    there, here = (made(Warehouse(one).run("r1", ANCHORS), EVERYTHING) for one in (root, tmp_path))
    for dataset in SCHEMAS:
        for part in ("recorded", "live", "parity"):
            if here.has(dataset, part):
                assert there.path(dataset, part).read_bytes() == here.path(dataset, part).read_bytes()
            else:
                assert not there.has(dataset, part)


def test_a_pointer_is_replaced_by_whom_saw_it_last(root: DataPath, scenario: Path) -> None:
    pointer = publish(made(Warehouse(root).run("r1", ANCHORS)), scenario)
    seen = pointer_version(root, ANCHORS)
    second, third = (pointer.model_copy(update={"run_id": name}) for name in ("r2", "r3"))
    assert not write_pointer(root, second, None)  # as if there were none
    assert write_pointer(root, second, seen)
    assert not write_pointer(root, third, seen)  # r2 was faster
    assert pointer_of(root, ANCHORS) == second
    # An answer that got lost: the same request again is refused by the server, and has succeeded all the same.
    assert write_pointer(root, second, seen)


def test_a_publisher_that_is_overtaken_takes_the_other_into_the_history_and_publishes(
    root: DataPath, scenario: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = Warehouse(root)
    slow, fast = (made(warehouse.run(name, ANCHORS), CHECKS) for name in ("slow", "fast"))
    looked = publishing.complete_history

    def overtaken(*arguments: object) -> None:
        looked(*arguments)
        monkeypatch.setattr(publishing, "complete_history", looked)
        with monkeypatch.context() as patch:
            patch.setattr(publishing, "enter_history", lambda *_: None)  # killed after its pointer
            publish(fast, scenario)

    monkeypatch.setattr(publishing, "complete_history", overtaken)
    publish(slow, scenario)
    assert warehouse.published_run(ANCHORS).run_id == "slow"
    assert set(run_ids(root)) == {"slow", "fast"}


PUBLISHERS = 50


def test_fifty_publishers_at_once_leave_one_whole_pointer_and_a_history_of_all(
    root: DataPath, scenario: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a run is made of is looked at in other tests; fifty times forty parts would take minutes.
    read = {"parity_reports": "parity", "parity_checks": "parity", "judges": "recorded"}
    monkeypatch.setattr(publishing, "PARTS", {dataset: (part,) for dataset, part in read.items()})
    warehouse = Warehouse(root)
    names = [f"r{number}" for number in range(PUBLISHERS)]
    over = Event()
    seen: set[str | None] = set()

    def make(name: str) -> RunFolder:
        run = warehouse.run(name, ANCHORS)
        for dataset, part in read.items():
            run.write(dataset, part, EVERYTHING[dataset], origin())
        return run

    def look() -> None:
        while not over.is_set():
            pointer = pointer_of(root, ANCHORS)  # raises where it is half of one
            seen.add(None if pointer is None else pointer.run_id)

    with ThreadPoolExecutor(PUBLISHERS + 1) as pool:
        runs = list(pool.map(make, names))
        looking = pool.submit(look)
        pointers = list(pool.map(lambda run: publish(run, scenario), runs))
        over.set()
        looking.result()
    last = max(pointers, key=lambda one: one.published_at)
    assert all_pointers(root) == (last,)
    assert seen <= {None, *names}
    assert len(seen) > 1
    assert {one["run_id"] for one in read_history(root, ANCHORS)} == set(names)
    assert len(history_files(root, [ANCHORS])) == PUBLISHERS


def test_a_reader_sees_whole_objects_while_they_are_overwritten(root: DataPath) -> None:
    run = Warehouse(root).run("r1", ANCHORS)
    path = run.path("service_metrics", "live")
    sizes = (1, 5_000)  # one and several reads of Arrow's

    def write(size: int) -> None:
        run.write("service_metrics", "live", [metric(ANCHORS, float(size))] * size, origin())

    write(sizes[0])
    over, seen = Event(), []

    def read() -> None:
        from cj_pipeline.warehouse.object_storage import ObjectChanged  # which needs s3fs

        while not over.is_set():
            try:
                with readable(path) as source:
                    values = pq.read_table(source, columns=["value"])["value"].to_pylist()
            except ObjectChanged:  # refused, and not mixed
                continue
            assert set(values) == {float(len(values))}
            seen.append(len(values))

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        for number in range(30):
            write(sizes[number % 2])
        over.set()
        reading.result()
    assert set(seen) == set(sizes)


def test_what_is_published_is_not_written_again_and_a_trial_is_kept_apart(root: DataPath, scenario: Path) -> None:
    warehouse = Warehouse(root)
    run = made(warehouse.run("r1", ANCHORS))
    publish(run, scenario)
    with pytest.raises(BadInput, match="is published, and is not written again"):
        made(run)
    with pytest.raises(NotPublished, match=r"It is kept in s3://lake/"):
        publish(made(warehouse.run("r2", ANCHORS), trial=True), scenario)
    assert warehouse.published_run(ANCHORS).run_id == "r1"
    with pytest.raises(BadInput, match="run r9 made no callbacks"):
        warehouse.run("r9", ANCHORS).stamp("callbacks", "live")


def test_prune_removes_what_nobody_looks_at_and_keeps_the_history(root: DataPath, scenario: Path) -> None:
    warehouse = Warehouse(root)
    for name in ("r1", "r2", "r3"):
        publish(made(warehouse.run(name, ANCHORS), CHECKS), scenario)
        time.sleep(1.1)  # object storage dates by the second
    made(warehouse.run("trial", ANCHORS), trial=True)
    (warehouse.run("tomorrow", ANCHORS).folder / "forecasts/live.parquet").write_bytes(b"PAR1")
    assert prune(warehouse, utc_now(), keep=1) == ()  # all are younger than a day
    named: list[str] = []
    removed = prune(warehouse, utc_now() + timedelta(days=2), keep=2, on_left=named.append)
    assert {run.run_id for run in removed} == {"r1", "trial"}
    assert [sentence.partition("/runs/")[2].partition(":")[0] for sentence in named] == [
        f"tomorrow/{ANCHORS}/forecasts"
    ]
    assert is_remote(root)
    left = {name.removeprefix(f"{root.path}/") for name in root.fs.find(root.path)}
    assert {name.split("/")[1] for name in left if name.startswith("runs/")} == {"r2", "r3", "tomorrow"}
    assert {name for name in left if name.startswith("history/")} == {
        f"history/{ANCHORS}/{run}.parquet" for run in ("r1", "r2", "r3")
    }
    assert len(history_files(root, [ANCHORS])) == 3


def test_sql_reads_the_prefix_alone(root: DataPath, scenario: Path) -> None:
    warehouse = Warehouse(root)
    run = made(warehouse.run("r1", ANCHORS), CHECKS)
    publish(run, scenario)
    warehouse.rebuild_catalogue()
    answer = ask(warehouse, 'select "check" from parity_checks order by 1')
    assert answer.rows == [("counts",), ("position_effect",)]
    assert len(ask(warehouse, f"from '{run.path('parity_checks', 'parity')}'").rows) == 2
    for other in ("s3://elsewhere/x.parquet", f"{scenario}/scenario.yaml"):
        with pytest.raises(QueryFailed, match="Cannot access file"):
            ask(warehouse, f"from read_text('{other}')")
