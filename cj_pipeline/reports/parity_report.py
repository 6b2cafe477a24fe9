"""This module writes a parity report as markdown, JSON and JUnit; the terminal has tables of its own (cli/)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from cj_pipeline.foundation.text import markdown_code, markdown_text, plain
from cj_pipeline.parity.compare import CheckResult, ParityReport, Verdict
from cj_pipeline.parity.tables import check_row


def headline(report: ParityReport) -> str:
    """Return the verdict and the numbers behind it in one sentence."""
    judged = [result for result in report.results if result.verdict is not Verdict.OFF]
    verdict = "PARITY" if report.passed else "NO PARITY"
    failed = ", ".join(result.check.name for result in report.failed)
    return (
        f"{verdict}: {len(judged) - len(report.failed)} of {len(judged)} checks passed"
        + (f"; failed: {failed}" if failed else "")
        + f"; evidence of {len(report.inconclusive)} is inconclusive; {len(report.results) - len(judged)} are off"
    )


def as_json(report: ParityReport) -> dict[str, Any]:
    """Return the report as plain values: what `--json` prints."""
    return {
        "scenario_id": report.scenario.scenario_id,
        "passed": report.passed,
        "headline": headline(report),
        "recorded": _identity(report.recorded.document.judge, report.recorded.document.judge_sha256),
        "live": {
            **_identity(report.live.document.judge, report.live.document.judge_sha256),
            "seed": report.live.document.seed,
            "answers_sha256": report.live.answers_sha256(),
        },
        "checks": [
            {**check_row(report.scenario.scenario_id, result), "group": result.check.group} for result in report.results
        ],
    }


def as_markdown(report: ParityReport) -> str:
    """Return the report as markdown: headline, table, what the evidence says, what is off and why."""
    rows = [_markdown_row(result) for result in report.results if result.verdict is not Verdict.OFF]
    lines = [
        f"# {markdown_text(report.scenario.title)}",
        "",
        headline(report) + ".",
        "",
        f"Recorded: {markdown_code(report.recorded.document.judge)}, {len(report.recorded.callbacks)} callbacks. "
        f"Live: mode {markdown_code(report.live.document.judge)}, seed {report.live.document.seed}, "
        f"{len(report.live.callbacks)} callbacks and {len(report.live.pooled_callbacks) - len(report.live.callbacks)} "
        "in repeats.",
        "",
        "| check | gate | result | tolerance | evidence |",
        "|---|---|---|---|---|",
        *rows,
    ]
    evidence = [
        f"- `{result.check.name}`: {markdown_text(result.outcome.evidence.sentence(result.outcome.unit))}"
        for result in report.results
        if result.outcome is not None and result.outcome.evidence is not None and result.inconclusive
    ]
    if evidence:
        lines += ["", "A gate can pass while nothing is proven. What would settle it:", "", *evidence]
    off = [
        f"- `{result.check.name}`: {markdown_text(result.reason)}"
        for result in report.results
        if result.verdict is Verdict.OFF
    ]
    if off:
        lines += ["", "Off:", "", *off]
    return "\n".join(lines) + "\n"


def as_junit(reports: Sequence[ParityReport]) -> str:
    """Return the reports as JUnit XML: a suite a scenario, a case a check; one that is off is skipped."""
    root = ElementTree.Element("testsuites")
    for report in reports:
        counted = {verdict: sum(result.verdict is verdict for result in report.results) for verdict in Verdict}
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=plain(report.scenario.scenario_id),
            tests=str(len(report.results)),
            failures=str(counted[Verdict.FAIL]),
            skipped=str(counted[Verdict.OFF]),
        )
        for result in report.results:
            case = ElementTree.SubElement(
                suite, "testcase", classname=f"parity.{result.check.group}", name=result.check.name
            )
            if result.verdict is Verdict.FAIL and result.outcome is not None:
                failure = ElementTree.SubElement(case, "failure", message=plain(result.sentence))
                failure.text = plain(f"tolerance: {result.outcome.tolerance}")
            elif result.verdict is Verdict.OFF:
                ElementTree.SubElement(case, "skipped", message=plain(result.reason))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _identity(judge: str, sha256: str) -> dict[str, str]:
    return {"judge": judge, "sha256": sha256}


def _markdown_row(result: CheckResult) -> str:
    outcome = result.outcome
    if outcome is None:
        return ""
    evidence = "" if outcome.evidence is None else outcome.evidence.verdict.value
    cells = (result.verdict.value, outcome.sentence, outcome.tolerance, evidence)
    return " | ".join((f"| `{result.check.name}`", *map(markdown_text, cells))) + " |"
