"""This module writes what a night came to for a CI server: JUnit XML, and a summary in markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from cj_pipeline.alerts.night import Outcome, State
from cj_pipeline.foundation.text import markdown_text, plain
from cj_pipeline.parity.compare import ParityReport
from cj_pipeline.reports.parity_report import as_junit

RUN = "run"
"""Name of the JUnit case of a scenario whose run did not get as far as a report."""


def night_junit(reports: Sequence[ParityReport], outcomes: Sequence[Outcome], *, accept_unproven: bool = False) -> str:
    """Return JUnit XML: a suite a scenario, a case a check; one case, an error, of a run that broke off.

    outcomes: of all scenarios, those with a report too. accept_unproven: as exit_code takes it.
    """
    text = as_junit(reports, by_expectation=True, accept_unproven=accept_unproven)
    root = ElementTree.fromstring(text)  # noqa: S314  # our own, of a moment ago
    suites = {suite.get("name"): suite for suite in root}
    for one in outcomes:
        suite = suites.get(plain(one.scenario_id))
        if suite is not None and one.state is not State.BROKE_OFF:
            continue
        if suite is None:
            suite = ElementTree.SubElement(root, "testsuite", name=plain(one.scenario_id), failures="0", skipped="0")
        case = ElementTree.SubElement(suite, "testcase", classname="parity", name=RUN)
        suite.set("tests", str(len(suite)))
        suite.set("errors", "0" if one.good else "1")
        if not one.good:
            message = f"{one.scenario_id}: {one.state.value}. {' '.join(one.sentences)}"
            ElementTree.SubElement(case, "error", message=plain(message), type=one.state.name)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def night_markdown(title: str, rows: Sequence[Mapping[str, Any]], outcomes: Sequence[Outcome]) -> str:
    """Return the summary: a row for each scenario, the red ones first with what failed.

    rows: as the parity table has them, by scenario; outcomes: of all scenarios.
    """
    by_scenario = {row["scenario"]: row for row in rows}
    red = [one for one in outcomes if not one.good]
    ordered = [*red, *(one for one in outcomes if one.good)]
    lines = [f"# {markdown_text(title)}", "", _total(len(red), len(outcomes)), ""]
    lines += ["| scenario | verdict | gates failed | inconclusive | since |", "|---|---|---|---|---|"]
    for one in ordered:
        row = by_scenario.get(one.scenario_id)
        ran = row is not None and row["checks_on"] > 0
        failed = f"{len(row['failing'])} of {row['checks_on']}" if row is not None and ran else ""
        cells = (
            one.scenario_id,
            row["words"] if row is not None and ran else one.state.value,
            failed,
            row["inconclusive"] if row is not None and ran else "",
            one.since or "",
        )
        lines.append("| " + " | ".join(markdown_text(cell) for cell in cells) + " |")
    for one in red:
        lines += ["", f"## {markdown_text(one.scenario_id)}", ""]
        lines += [f"- {markdown_text(sentence)}" for sentence in (one.words, *one.sentences) if sentence]
    return "\n".join(lines) + "\n"


def _total(red: int, total: int) -> str:
    return f"{red} of {total} scenarios are not as expected." if red else f"All {total} scenarios are as expected."
