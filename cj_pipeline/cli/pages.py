"""This module writes pages into a folder: one over all scenarios, of a run or as published, and one for each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.parity.tables import load_report
from cj_pipeline.reports.page.page import Compared, parity_page
from cj_pipeline.reports.page.suite import SuiteEntry, entry_of, suite_page
from cj_pipeline.traces.store import trace_recordings
from cj_pipeline.warehouse.files import write_output
from cj_pipeline.warehouse.run_folder import RunFolder
from cj_pipeline.warehouse.store import Warehouse

if TYPE_CHECKING:
    from cj_pipeline.definitions import Materialised

INDEX, SCENARIOS = "index.html", "scenarios"


def write_pages(target: Path, results: Sequence[Materialised], folders: Mapping[str, Path]) -> Path:
    """Write the pages of some runs into a folder, which is made where it is not there, and return the first of them.

    folders: of the scenarios, by id.
    """
    return _written(target, (_entry(target, result, folders[result.scenario_id]) for result in results))


def write_published_pages(target: Path, warehouse: Warehouse, scenario_ids: Collection[str]) -> Path:
    """Write the pages of the published runs of some scenarios, as `write_pages` does. Raises BadInput without one."""
    found = [pointer for pointer in warehouse.published(scenario_ids) if pointer.scenario_id in scenario_ids]
    if not found:
        raise BadInput("no run of these is published.", path=warehouse.root, remedy="Run `make parity`.")
    runs = ((warehouse.run(pointer.run_id, pointer.scenario_id), Path(pointer.scenario_folder)) for pointer in found)
    return _written(target, (_run_entry(target, run, folder) for run, folder in runs))


def _written(target: Path, entries: Iterable[SuiteEntry]) -> Path:
    (target / SCENARIOS).mkdir(parents=True, exist_ok=True)
    index = target / INDEX
    write_output(index, suite_page(list(entries)))
    return index


def _entry(target: Path, result: Materialised, folder: Path) -> SuiteEntry:
    if result.compared:
        return replace(_run_entry(target, result.run, folder), problem="; ".join(result.problems))
    stops = [f"{name}: {reason}" for name, reason in result.failed_checks.items()]
    return SuiteEntry(result.scenario_id, (), problem="; ".join((*result.problems, *stops)))


def _run_entry(target: Path, run: RunFolder, folder: Path) -> SuiteEntry:
    scenario, recordings = trace_recordings(folder)
    compared = Compared(load_report(run, scenario), [recording.provenance for recording in recordings])
    name = f"{run.scenario_id}.html"
    page = parity_page([compared], back=f"../{INDEX}")
    (target / SCENARIOS / name).write_text(page, encoding="utf-8")
    return entry_of(run, address=f"{SCENARIOS}/{quote(name)}")
