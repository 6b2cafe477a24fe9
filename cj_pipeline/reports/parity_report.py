"""This module writes a parity report as markdown, JSON and JUnit; the terminal has tables of its own (cli/)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from cj_pipeline.foundation import exit_codes
from cj_pipeline.foundation.text import markdown_text, plain
from cj_pipeline.parity.check import Outcome
from cj_pipeline.parity.compare import CheckResult, ParityReport, Verdict
from cj_pipeline.parity.gauntlet.limits import limit_values
from cj_pipeline.parity.tables import check_row, verdict_words
from cj_pipeline.parity.verdict import Parity, exit_code, judged_exit_code
from cj_pipeline.reports.headline import headline, headline_lines, next_command, off_lines
from cj_pipeline.reports.page.sections import decision_path, divergence_sentence, provenance_rows
from cj_pipeline.traces.provenance import Provenance

_FEW_STEPS = 5

VERDICT = "verdict"
"""Name of the case, and of Dagster's check, that says what the whole comparison comes to."""


def as_json(
    report: ParityReport, arguments: tuple[str, ...] | None = None, *, accept_unproven: bool = False
) -> dict[str, Any]:
    """Return the report as plain values: what `--json` prints.

    arguments: as headline_lines takes them. accept_unproven: as exit_code takes it.
    """
    return {
        "scenario_id": report.scenario.scenario_id,
        "verdict": report.verdict.value,
        "expected": report.expected.value,
        "as_expected": report.as_expected,
        "exit_code": exit_code(report.verdict, report.reasons, accept_unproven=accept_unproven),
        "passed": report.passed,
        "headline": headline(report),
        "lines": list(headline_lines(report, arguments)),
        "reasons": [{"doubt": reason.doubt.name, "sentence": reason.sentence} for reason in report.reasons],
        "gates": {
            "could_fail": len(report.could_fail),
            "failed": [result.check.name for result in report.failed],
            "different_within_margin": [result.check.name for result in report.different],
            "inconclusive": [result.check.name for result in report.inconclusive],
            "looser": list(report.looser),
        },
        "detections": [
            {
                "wrong_mock": one.mock.value,
                "found": one.rate,
                "first": one.first or None,
                "same_as_recorded": one.same_as_recorded,
            }
            for one in report.detections
        ],
        "limits": [limit_values(limit) for limit in report.limits],
        "blind_spots": list(report.blind),
        "notes": list(report.notes),
        "next": next_command(report, arguments),
        "recorded": {
            **_identity(report.recorded.document.judge, report.recorded.document.judge_sha256),
            "recordings": report.recordings,
        },
        "live": {
            **_identity(report.live.document.judge, report.live.document.judge_sha256),
            "seed": report.live.document.seed,
            "answers_sha256": report.live.answers_sha256(),
        },
        "checks": [
            {
                **check_row(result),
                "group": result.check.group,
                "details": [] if result.outcome is None else list(result.outcome.details),
            }
            for result in report.results
        ],
    }


def as_markdown(
    report: ParityReport, arguments: tuple[str, ...] | None = None, provenances: Sequence[Provenance] = ()
) -> str:
    """Return the report as markdown: headline, checks, evidence, power, decisions, provenance.

    arguments: as headline_lines takes them. provenances: of the recordings.
    """
    verdict, *rest = headline_lines(report, arguments)
    lines = [
        f"# {markdown_text(report.scenario.title)}",
        "",
        f"**{markdown_text(verdict)}**",
        "",
        *(f"- {markdown_text(line)}" for line in rest),
        "",
        "| check | gate | value (recorded / live) | tolerance | evidence | result |",
        "|---|---|---|---|---|---|",
        *(_markdown_row(result) for result in report.on),
    ]
    evidence = [
        f"- `{result.check.name}`: {markdown_text(result.evidence.sentence(_unit(result)))}"
        for result in report.results
        if result.evidence is not None and (result.inconclusive or result.proven_different)
    ]
    if evidence:
        lines += ["", "A gate can pass while nothing is proven. What would settle it:", "", *evidence]
    off = [f"- {markdown_text(line)}" for line in off_lines(report)]
    if off:
        lines += ["", "Off:", "", *off]
    lines += ["", *_markdown_power(report), "", *_markdown_decisions(report), "", "## Where this comes from", ""]
    lines += [f"- {name}: {markdown_text(value)}" for name, value in provenance_rows(report, provenances)]
    return "\n".join(lines) + "\n"


def as_junit(reports: Sequence[ParityReport], *, by_expectation: bool = False, accept_unproven: bool = False) -> str:
    """Return the reports as JUnit XML: a suite a scenario, a case a check, and one for the verdict.

    It fails where the command that writes it exits with another code than 0. by_expectation: whether that is so where
    the verdict is not the one that the scenario expects. A check that is off is skipped, and so is a gate whose failing
    is expected. accept_unproven: as exit_code takes it.
    """
    root = ElementTree.Element("testsuites")
    ids = Counter(report.scenario.scenario_id for report in reports)
    for report in reports:
        name = report.scenario.scenario_id
        if ids[name] > 1:  # recordings against each other
            name += f": {report.live.document.judge} by {report.recorded.document.judge}"
        suite = ElementTree.SubElement(root, "testsuite", name=plain(name))
        wanted = report.expected if by_expectation else Parity.PARITY
        passes = judged_exit_code(report.verdict, wanted, report.reasons, accept=accept_unproven) == exit_codes.PASSED
        for result in report.results:
            case = ElementTree.SubElement(
                suite, "testcase", classname=f"parity.{result.check.group}", name=result.check.name
            )
            if result.verdict is Verdict.FAIL and not passes:
                _fail(case, "FAIL", result.sentence, f"tolerance: {_tolerance(result)}")
            elif result.verdict is Verdict.FAIL:
                ElementTree.SubElement(case, "skipped", message=plain(f"fails, as expected: {result.sentence}"))
            elif result.verdict is not Verdict.PASS:
                ElementTree.SubElement(case, "skipped", message=plain(f"{result.verdict}: {result.sentence}"))
        case = ElementTree.SubElement(suite, "testcase", classname="parity", name=VERDICT)
        if not passes:
            words = verdict_words(report.verdict, report.expected)
            _fail(case, words, headline(report), "\n".join(headline_lines(report)))
        suite.set("tests", str(len(suite)))
        for tag, counter in (("failure", "failures"), ("skipped", "skipped")):
            suite.set(counter, str(sum(case.find(tag) is not None for case in suite)))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def expected_failure(report: ParityReport) -> bool:
    """Return whether gates may fail: NO PARITY is what the scenario expects."""
    return report.expected is Parity.NO_PARITY


def _number(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e12 else f"{round(value, 9):.4g}"


def values_in_words(outcome: Outcome) -> str:
    """Return the two values of a check with their unit, or the one there is.

    Where nothing is recorded, the first is what the recorded judge gives on average.
    """
    values = [_number(value) for value in (outcome.recorded, outcome.live) if value is not None]
    if not values and outcome.value is not None:
        values = [_number(outcome.value)]
    if outcome.recorded is None and outcome.evidence is not None:
        live = outcome.value if outcome.live is None else outcome.live
        if live is not None:
            values = [f"expected {_number(live - outcome.evidence.difference)}", _number(live)]
    unit = outcome.unit.removesuffix("s") if values == ["1"] and len(outcome.unit) > 2 else outcome.unit
    return f"{' / '.join(values)} {unit}".strip()


def _markdown_power(report: ParityReport) -> list[str]:
    lines = ["## What it would have found", "", "| wrong mock | found in % of runs | first by |", "|---|---|---|"]
    for one in report.detections:
        found = "the recorded judge does the same" if one.same_as_recorded else f"{math.floor(100 * one.rate + 1e-9)}"
        lines.append(f"| {one.mock.value} | {found} | {one.first} |")
    return lines


def _markdown_decisions(report: ParityReport) -> list[str]:
    path = decision_path(report)
    lines = ["## Decisions of the engine", "", markdown_text(divergence_sentence(report))]
    if path and all(step.same for step in path):
        return [*lines, "", f"The engine decided alike on both sides, in {len(path)} steps."]
    different = [step for step in path if not step.same][:_FEW_STEPS]
    return [
        *lines,
        "",
        *(
            f"- step {step.number}: recorded {markdown_text(step.recorded or 'over')}; "
            f"live {markdown_text(step.live or 'over')}"
            for step in different
        ),
    ]


def _fail(case: ElementTree.Element, kind: str, message: str, text: str) -> None:
    failure = ElementTree.SubElement(case, "failure", message=plain(message), type=kind)
    failure.text = "\n".join(plain(line) for line in text.splitlines())


def _tolerance(result: CheckResult) -> str:
    return "" if result.outcome is None else result.outcome.tolerance


def _unit(result: CheckResult) -> str:
    return "" if result.outcome is None else result.outcome.unit


def _identity(judge: str, sha256: str) -> dict[str, str]:
    return {"judge": judge, "sha256": sha256}


def _markdown_row(result: CheckResult) -> str:
    outcome = result.outcome
    if outcome is None:
        return ""
    evidence = "exact" if outcome.evidence is None else outcome.evidence.verdict.value
    cells = (result.verdict.value, values_in_words(outcome), outcome.tolerance, evidence, outcome.sentence)
    return " | ".join((f"| `{result.check.name}`", *map(markdown_text, cells))) + " |"
