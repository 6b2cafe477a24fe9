"""This module writes the pages of `cj-pipeline materialize --html FOLDER`: one over all scenarios, one for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from cj_pipeline.parity.tables import load_report
from cj_pipeline.reports.page.page import Compared, parity_page
from cj_pipeline.reports.page.suite import SuiteEntry, entry_of, suite_page
from cj_pipeline.traces.store import trace_recordings

if TYPE_CHECKING:
    from cj_pipeline.definitions import Materialised

INDEX, SCENARIOS = "index.html", "scenarios"


def write_pages(target: Path, results: Sequence[Materialised], folders: Mapping[str, Path]) -> Path:
    """Write the pages into a folder, which is made where it is not there, and return the first of them.

    folders: of the scenarios, by id.
    """
    (target / SCENARIOS).mkdir(parents=True, exist_ok=True)
    entries = [_entry(target, result, folders[result.scenario_id]) for result in results]
    index = target / INDEX
    index.write_text(suite_page(entries), encoding="utf-8")
    return index


def _entry(target: Path, result: Materialised, folder: Path) -> SuiteEntry:
    if not result.compared:
        stops = [f"{name}: {reason}" for name, reason in result.failed_checks.items()]
        return SuiteEntry(result.scenario_id, (), problem="; ".join((*result.problems, *stops)))
    scenario, recordings = trace_recordings(folder)
    report = load_report(result.run, scenario)
    compared = Compared(report, [recording.provenance for recording in recordings])
    name = f"{result.scenario_id}.html"
    page = parity_page([compared], back=f"../{INDEX}")
    (target / SCENARIOS / name).write_text(page, encoding="utf-8")
    return entry_of(result.run, address=f"{SCENARIOS}/{quote(name)}")
