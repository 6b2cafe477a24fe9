"""This module writes a parity report as one HTML page that needs nothing else: no script, no font, no other file.

Texts are data: the templates escape each, and the page's Content-Security-Policy lets a browser run and fetch nothing.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from cj_pipeline.foundation.text import plain, signed
from cj_pipeline.parity.check import Case
from cj_pipeline.parity.compare import CheckResult, ParityReport
from cj_pipeline.parity.gate import Margin
from cj_pipeline.reports.advice import ADVICE
from cj_pipeline.reports.headline import mock_answered, next_command, off_lines, side_lines
from cj_pipeline.reports.page.answers import SIGNS, answers, by_importance, expected_words, note_lines, short_headline
from cj_pipeline.reports.page.figures import (
    distribution_figure,
    errors_figure,
    evidence_figure,
    scales_figure,
    share_of_tolerance,
)
from cj_pipeline.reports.page.sections import decision_path, divergence_sentence, error_codes, provenance_rows
from cj_pipeline.reports.page.win_matrix import MOST_ESSAYS, win_matrices
from cj_pipeline.reports.parity_report import values_in_words
from cj_pipeline.traces.provenance import Provenance

_STATES = ("failed", "partial", "different", "unsettled", "silent", "proven")
"""Of a check, by its importance: how the page marks it."""


_NOTHING = 1e-6
"""A difference below it is one of rounding."""
_ANY = 1e7
"""A difference that large comes of a tail about which a few answers say nothing; no check has such values."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One report for a page. name: of the comparison, where a page has several; arguments: see headline_lines."""

    report: ParityReport
    provenances: Sequence[Provenance] = ()
    arguments: tuple[str, ...] | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One check as the page shows it; state: how it is marked."""

    name: str
    question: str
    state: str
    verdict: str
    values: str
    difference: str
    margin: str
    noise: str
    evidence: str
    sentence: str
    advice: tuple[str, str]
    invented: bool


def parity_page(compared: Sequence[Compared], back: str = "") -> str:
    """Return the page of a comparison, or of several of one scenario. back: address of the page over all scenarios."""
    scenario = compared[0].report.scenario
    contexts = [_context(one, f"c{number}") for number, one in enumerate(compared)]
    return render("parity.html", title=plain(scenario.title), comparisons=contexts, back=back)


def render(template: str, **context: Any) -> str:
    """Return a page: a template with the style sheet that its policy allows, and no other."""
    return _environment().get_template(template).render(style=_style(), policy=_policy(), **context)


@cache
def _environment() -> Environment:
    loader = PackageLoader("cj_pipeline.reports.page")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"plain": plain, "breakable": _breakable}
    return environment


def _breakable(name: str) -> Markup:
    """Return a name that a narrow column breaks after an underscore."""
    return escape(plain(name)).replace("_", Markup("_<wbr>"))


@cache
def _style() -> Markup:
    source, _, _ = PackageLoader("cj_pipeline.reports.page").get_source(_environment(), "style.css")
    return Markup(source)  # noqa: S704 - our own file


def _policy() -> str:
    digest = base64.b64encode(sha256(_style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _context(one: Compared, key: str) -> dict[str, Any]:
    report = one.report
    rows = [_row(result, report) for result in _ordered(report)]
    path = decision_path(report)
    return {
        "name": plain(one.name),
        "key": key,
        "verdict": report.verdict.value,
        "sign": SIGNS[report.verdict],
        "expected": expected_words(report),
        "headline": short_headline(report),
        "answers": answers(report, one.provenances),
        "command": next_command(report, one.arguments),
        "open_rows": [row for row in rows if row.state != "proven"],
        "proven_rows": [row for row in rows if row.state == "proven"],
        "off": off_lines(report),
        "figures": _figures(report, key),
        "matrices": win_matrices(report),
        "most_essays": MOST_ESSAYS,
        "errors": error_codes(report),
        "path": path,
        "same_path": all(step.same for step in path),
        "divergence": divergence_sentence(report),
        "detections": report.detections,
        "limits": report.limits,
        "sides": (*side_lines(report), *(note_lines(report) if mock_answered(report) else ())),
        "provenance": provenance_rows(report, one.provenances),
    }


def _figures(report: ParityReport, key: str) -> dict[str, Markup | None]:
    case = Case(report.scenario, report.recorded, report.live).comparison
    recorded, live = case.recorded, case.live
    return {
        "evidence": evidence_figure(f"{key}e", report),
        "scales": scales_figure(f"{key}s", report),
        "latency": distribution_figure(
            f"{key}l",
            "Latency of answers",
            "response time (ms)",
            recorded.latency_ms[recorded.answered],
            live.latency_ms[live.answered],
        ),
        "tokens": distribution_figure(
            f"{key}t",
            "Completion tokens of answers",
            "completion tokens",
            recorded.completion_tokens[recorded.billed],
            live.completion_tokens[live.billed],
        ),
        "errors": errors_figure(f"{key}r", report),
    }


def _ordered(report: ParityReport) -> list[CheckResult]:
    """Return the checks that are on, those that matter most first."""
    return sorted(report.on, key=lambda one: (by_importance(one), -share_of_tolerance(one)))


def _row(result: CheckResult, report: ParityReport) -> CheckRow:
    outcome, evidence = result.outcome, result.evidence
    unit = "" if outcome is None else outcome.unit
    difference = ""
    if evidence is not None:
        difference = f"{_number(evidence.difference)} [{_number(evidence.low)}, {_number(evidence.high)}] {unit}"
    words = "exact" if evidence is None else evidence.verdict.value
    if evidence is not None and evidence.says_nothing:
        words += ", and a coin would mostly pass"
    invented = result.check.name in report.invented
    return CheckRow(
        name=result.check.name,
        question=result.check.question,
        state=_STATES[by_importance(result)],
        verdict=result.verdict.value,
        values="" if outcome is None else values_in_words(outcome),
        difference=difference.strip(),
        margin=_range(evidence.margin) if evidence is not None else "" if outcome is None else outcome.tolerance,
        noise=_range(evidence.noise) if evidence is not None else "none",
        evidence=f"{words}, on invented values" if invented else words,
        sentence=result.sentence if evidence is None else evidence.sentence(unit),
        advice=ADVICE[result.check.name],
        invented=invented,
    )


def _number(value: float) -> str:
    if not math.isfinite(value) or abs(value) >= _ANY:
        return "any"
    return "0" if abs(value) < _NOTHING else signed(value)


def _range(margin: Margin) -> str:
    """Return how far a difference may go, either way; one way where the other does not matter."""
    if math.isfinite(margin.low) and math.isfinite(margin.high):
        if max(-margin.low, margin.high) < _NOTHING:
            return "0"
        if math.isclose(margin.low, -margin.high, abs_tol=_NOTHING):
            return f"±{margin.high:.3g}"
        return f"{_number(margin.low)} to {_number(margin.high)}"
    if math.isfinite(margin.low):
        return f"at least {_number(margin.low)}"
    return f"at most {_number(margin.high)}" if math.isfinite(margin.high) else "any"
