"""A run is whole and of one piece, or it is not published; what is published never changes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.warehouse.publishing import NotPublished, publish
from cj_pipeline.warehouse.schemas import OPTIONAL, PARTS, SCHEMAS
from cj_pipeline.warehouse.store import Warehouse
from tests.warehouse.rows import made, metric, origin, published, row, scenario_folder


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "data")


def test_every_dataset_is_part_of_a_whole_run() -> None:
    assert PARTS.keys() == SCHEMAS.keys()


def test_the_pointer_says_who_answered_what(warehouse: Warehouse) -> None:
    published(warehouse.run("r1", "anchors"))
    (pointer,) = warehouse.published()
    assert (pointer.run_id, pointer.scenario_id, pointer.verdict) == ("r1", "anchors", "PARITY")
    assert pointer.answers == origin().answers
    assert pointer.code.version
    assert warehouse.published_run("anchors").run_id == "r1"


def test_the_run_that_ends_last_is_published(warehouse: Warehouse) -> None:
    for run_id in ("later", "earlier"):
        made(warehouse.run(run_id, "anchors"))
    for run_id in ("earlier", "later"):
        publish(warehouse.run(run_id, "anchors"), scenario_folder(warehouse.root, "anchors"))
    assert warehouse.published_run("anchors").run_id == "later"


REQUIRED = [(dataset, part) for dataset in PARTS if dataset not in OPTIONAL for part in PARTS[dataset]]


@pytest.mark.parametrize(("dataset", "part"), REQUIRED)
def test_a_run_without_one_part_is_not_published(dataset: str, part: str, warehouse: Warehouse) -> None:
    published(warehouse.run("r1", "anchors"))
    run = made(warehouse.run("r2", "anchors"))
    run.path(dataset, part).unlink()
    with pytest.raises(NotPublished, match=rf"run r2 made no {dataset} \({part}\) of 'anchors'"):
        publish(run, scenario_folder(run.root, "anchors"))
    assert warehouse.published_run("anchors").run_id == "r1"


def test_a_run_without_the_gauntlet_is_whole_and_one_with_another_run_s_gauntlet_is_not(warehouse: Warehouse) -> None:
    without, odd = (made(warehouse.run(run_id, "anchors")) for run_id in ("r1", "r2"))
    kept = without.path("gauntlet", "parity").read_bytes()
    without.path("gauntlet", "parity").unlink()
    publish(without, scenario_folder(without.root, "anchors"))
    odd.path("gauntlet", "parity").write_bytes(kept)
    with pytest.raises(BadInput, match="run r1 made this gauntlet"):
        publish(odd, scenario_folder(odd.root, "anchors"))


def test_a_trial_is_not_published(warehouse: Warehouse) -> None:
    run = made(warehouse.run("r1", "anchors"), trial=True)
    with pytest.raises(NotPublished, match="run r1 is a trial"):
        publish(run, scenario_folder(run.root, "anchors"))
    assert warehouse.published() == ()


def test_what_is_published_is_not_written_again(warehouse: Warehouse) -> None:
    run = published(warehouse.run("r1", "anchors"))
    with pytest.raises(BadInput, match="run r1 of 'anchors' is published, and is not written again"):
        run.write("service_metrics", "live", [metric("anchors")], origin())
    published(warehouse.run("r2", "anchors"))
    assert run.read("service_metrics", "live") == []


def test_a_part_that_another_run_made_is_not_read(warehouse: Warehouse) -> None:
    made(warehouse.run("r1", "anchors"), {"bt_fit": [row("bt_fit")]})
    with pytest.raises(BadInput, match=r"run r2 made no bt_fit \(live\) of 'anchors'; run r1 made one at 2") as refusal:
        warehouse.run("r2", "anchors").read("bt_fit", "live")
    assert refusal.value.remedy == "Materialise the whole scenario."
    with pytest.raises(BadInput, match="and no other run did"):
        warehouse.run("r2", "lower5").read("bt_fit", "live")


def test_a_part_that_was_copied_from_another_run_is_refused_by_both_names(warehouse: Warehouse) -> None:
    theirs, ours = made(warehouse.run("r1", "anchors")), made(warehouse.run("r2", "anchors"))
    shutil.copy(theirs.path("runs", "live"), ours.path("runs", "live"))
    with pytest.raises(BadInput, match=r"run r1 made this runs \(live\) of 'anchors', and it is read as one of run r2"):
        ours.read("runs", "live")
    with pytest.raises(BadInput, match="One verdict is about one run"):
        publish(ours, scenario_folder(ours.root, "anchors"))


def test_parts_of_one_run_that_are_made_of_other_answers_are_refused(warehouse: Warehouse) -> None:
    run = made(warehouse.run("r1", "anchors"))
    run.write("callbacks", "live", [], origin("b2", sides=["live"]))
    with pytest.raises(BadInput, match=r"judge of b2.*\) than .* \(judge 'judge of a1'"):
        run.origin(("runs", "live"), ("callbacks", "live"))
    with pytest.raises(BadInput, match="is made of other answers"):
        publish(run, scenario_folder(run.root, "anchors"))


def test_a_parquet_file_without_a_run_is_refused(warehouse: Warehouse) -> None:
    run = made(warehouse.run("r1", "anchors"))
    run.path("runs", "live").write_bytes(b"no Parquet")
    with pytest.raises(BadInput, match=r"live\.parquet: is damaged, or is no Parquet file"):
        run.read("runs", "live")


def test_a_damaged_pointer_is_named_and_the_next_run_replaces_it(warehouse: Warehouse) -> None:
    published(warehouse.run("r1", "anchors"))
    pointer = warehouse.root / "published/anchors.json"
    pointer.write_text("{")
    with pytest.raises(BadInput, match=r"anchors\.json: is no pointer to a run"):
        warehouse.published()
    published(warehouse.run("r2", "anchors"))
    assert [one.run_id for one in warehouse.published()] == ["r2"]


def test_nothing_is_published_before_the_first_run(warehouse: Warehouse) -> None:
    assert warehouse.published() == ()
    with pytest.raises(BadInput, match="no run of 'anchors' is published"):
        warehouse.published_run("anchors")
