"""The Python API: its documented examples, what an import costs, and that it works where an event loop runs."""

from __future__ import annotations

import asyncio
import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import duckdb
import nbformat
import pytest
from nbclient import NotebookClient

import cj_pipeline as cj
from cj_pipeline.runs.tables import store_bt_fit
from cj_pipeline.warehouse.publishing import publish
from cj_pipeline.warehouse.store import Warehouse
from tests.house import REPOSITORY
from tests.sides import LOWER5, TRACES, recorded, scenario
from tests.warehouse.rows import made

NOTEBOOK = REPOSITORY / "docs" / "first-look.ipynb"

# Whatever takes more than a few milliseconds to import.
HEAVY = ("click", "confluent_kafka", "duckdb", "httpx", "matplotlib", "numpy", "pandas", "pyarrow", "pydantic", "scipy")


@pytest.fixture(autouse=True)
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A data folder in which the fit of one scenario is stored."""
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("CJ_PIPELINE_TRACES_DIR", str(TRACES))
    warehouse = Warehouse(tmp_path / "data")
    run = warehouse.run("r1", LOWER5)
    made(run)
    store_bt_fit(run, scenario(LOWER5), recorded(LOWER5))
    publish(run, TRACES / LOWER5)
    warehouse.rebuild_catalogue()
    return tmp_path / "data"


def test_the_documented_examples_are_true() -> None:
    found = doctest.testmod(cj, optionflags=doctest.ELLIPSIS)
    assert found.failed == 0
    assert found.attempted >= 10


def test_importing_it_imports_nothing_heavy() -> None:
    code = f"import sys, cj_pipeline; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_name_is_there_and_documented() -> None:
    assert dir(cj) == sorted(cj.__all__)
    assert len(cj.__all__) <= 12
    assert [name for name in cj.__all__ if not getattr(cj, name).__doc__] == []
    with pytest.raises(AttributeError, match="module 'cj_pipeline' has no attribute 'replays'"):
        _ = cj.replays  # type: ignore[attr-defined]


def test_parity_is_the_function_whatever_was_imported_before() -> None:
    importlib.import_module("cj_pipeline.parity.compare")
    report = cj.parity(LOWER5)
    assert report.passed
    assert "PARITY: " in repr(report)
    assert report.frame().loc["counts", ["verdict", "recorded", "live", "unit"]].tolist() == [
        "pass",
        10,
        10,
        "callbacks",
    ]
    assert report.live.frame().shape == report.recorded.frame().shape == (5, 8)


def test_two_recordings_are_compared_and_a_mode_beside_them_is_refused() -> None:
    folder = TRACES / LOWER5
    assert cj.parity(folder, folder / "llm_callbacks.jsonl").report.live.document.judge == "llm_callbacks.jsonl"
    with pytest.raises(ValueError, match="a live source or a mode"):
        cj.parity(folder, folder, "+inverted")


def test_a_run_has_frames_of_its_waves_decisions_and_callbacks() -> None:
    run = cj.replay(LOWER5)
    assert len(run.callbacks()) == 10
    assert set(run.callbacks()["winner"]) == {"Essay A", "Essay B"}
    assert len(run.waves()) == len(run.record.document.waves)
    assert len(run.decisions()) == len(run.record.document.decisions)


def test_it_works_where_an_event_loop_runs_already() -> None:
    async def cell() -> str:
        return repr(cj.live(LOWER5))

    assert "10 of 10 comparisons" in asyncio.run(cell())


def test_a_dataset_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(cj.CjPipelineError, match=r"'bt_fits'.*Did you mean 'bt_fit'\?.*parity_checks"):
        cj.frame("bt_fits")
    assert len(cj.frame("bt_fit")) == 5
    assert cj.frame("bt_fit", "it's not there").empty
    assert cj.frame("runs").empty


def test_the_connection_cannot_write() -> None:
    with cj.connect() as connection, pytest.raises(duckdb.Error, match="read-only"):
        connection.execute("create table mine as select 1")


def test_without_stored_data_it_says_how_to_make_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(tmp_path / "empty"))
    with pytest.raises(cj.CjPipelineError, match="make parity"):
        cj.frame("bt_fit")


def test_the_notebook_runs_and_is_committed_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert [cell.outputs for cell in notebook.cells if cell.cell_type == "code" and cell.outputs] == []
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(REPOSITORY)}}
    ).execute()
    shown = str([cell.get("outputs") for cell in notebook.cells])
    assert "PARITY: " in shown
    assert "NO PARITY: " in shown
