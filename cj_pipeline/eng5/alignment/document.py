"""This module makes the content of an alignment report as tables and sentences: of one run, or of two side by side.

How it is written down (Markdown, HTML) is in markdown.py and page.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.eng5.alignment.case import AlignmentCase
from cj_pipeline.eng5.alignment.result import AB_BASELINE, REPEATS, AlignmentResult
from cj_pipeline.eng5.alignment.targets import TARGET_TAU, in_words, targets

# Of a justification in the short report.
SHORT = 50


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings; every cell is text that may hold data."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report. preformatted: texts that keep their lines, by title."""

    title: str
    sentences: tuple[str, ...] = ()
    table: Table | None = None
    preformatted: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Side:
    """One run with its result. name: empty where there is one side only."""

    case: AlignmentCase
    result: AlignmentResult
    name: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A whole report, in order."""

    title: str
    sections: tuple[Section, ...]
    sides: tuple[Side, ...] = field(default=())


def report_of(sides: Sequence[Side], *, full: bool) -> Report:
    """Return the report. full: with every comparison and every justification in full."""
    sections = [_summary(sides), _targets(sides), _anchors(sides)]
    for side in sides:
        sections += _inversions(side, full)
    if full:
        sections += [_comparisons(side) for side in sides]
    sections += [_prompts(side) for side in sides if side.case.prompts is not None]
    return Report(f"Anchor alignment of {sides[0].case.title}", tuple(sections), tuple(sides))


def _summary(sides: Sequence[Side]) -> Section:
    rows = [
        (
            side.name or "run",
            side.case.source,
            side.case.judge,
            str(side.result.judged),
            str(side.result.failed),
            str(len(side.result.anchors)),
        )
        for side in sides
    ]
    columns = ("", "read from", "judge", "judged", "failed", "graded essays")
    return Section("Runs", table=Table(columns, tuple(rows)), sentences=tuple(_remarks(sides)))


def _remarks(sides: Sequence[Side]) -> list[str]:
    remarks = []
    for side in sides:
        name = f"{side.name}: " if side.name else ""
        if side.case.mocked:
            remarks.append(f"{name}a mock answered. Nothing here says how the named model judges.")
        if ungraded := side.case.ungraded:
            labels = ", ".join(side.case.labels[essay] for essay in ungraded)
            remarks.append(f"{name}no grade is known of {labels}; the numbers below are without.")
        if never := side.result.never_compared:
            labels = ", ".join(side.case.labels[essay] for essay in never)
            remarks.append(f"{name}never compared, so neither won nor lost: {labels}.")
        if side.result.tau_a is None:
            remarks.append(
                f"{name}tau is not defined: it needs a judged comparison and anchors of two different grades, and an "
                "order that nobody knows is agreed with by nobody."
            )
    return remarks


def _targets(sides: Sequence[Side]) -> Section:
    found = [targets(side.result) for side in sides]
    columns = ["measure", "target"]
    for side in sides:
        columns += [f"{side.name} {column}".strip() for column in ("value", "95 % interval", "in a repeat", "verdict")]
    rows = []
    for number, target in enumerate(found[0]):
        row = [target.measure, target.wanted]
        for one in found:
            row += [one[number].value, one[number].interval, one[number].repeat, one[number].verdict]
        rows.append(tuple(row))
    tau_b = ["Kendall tau-b, with ties", ""]
    for side in sides:
        tau_b += [*in_words(side.result.tau_b, 3), ""]
    sentences = (
        "Interval: of the judge's own scale, by the model that the mock draws from. In a repeat: the middle 95 % of "
        f"runs in which a judge with these scores is asked the same pairs again (parametric bootstrap, {REPEATS} "
        "repeats). A run without a fault has nowhere to go but down, so a repeat is often worse than the run.",
        "tau-a is the reference's: a pair of equal grades counts as agreeing. tau-b corrects for ties and is below 1 "
        "where grades are equal and scores are not. A/B regression: direct inversions between A and B beyond the "
        f"{AB_BASELINE} of the reference's baseline.",
        *_noise(sides),
    )
    return Section("Targets", sentences, Table(tuple(columns), (*rows, tuple(tau_b))))


def _noise(sides: Sequence[Side]) -> list[str]:
    sentences = []
    for side in sides:
        tau = side.result.tau_a
        if tau is not None and tau.interval is not None and tau.interval.low <= TARGET_TAU <= tau.interval.high:
            name = f" of the {side.name} side" if side.name else ""
            sentences.append(
                f"With {len(side.result.anchors)} anchors and {side.result.judged} comparisons{name}, every tau from "
                f"{tau.interval.low:.2f} to {tau.interval.high:.2f} lies within sampling noise. The target of "
                f"{TARGET_TAU:.2f} is inside, so this run alone does not tell whether the judge meets it."
            )
    return sentences


def _anchors(sides: Sequence[Side]) -> Section:
    columns = ["expected", "anchor", "grade"]
    for side in sides:
        name = f"{side.name} " if side.name else ""
        columns += [f"{name}{column}" for column in ("rank", "score (logits)", "SE", "W", "L", "win rate")]
    by_side = [{anchor.aligned.essay_id: anchor for anchor in side.result.anchors} for side in sides]
    rows = []
    for anchor in sorted(sides[0].result.anchors, key=lambda anchor: anchor.aligned.expected_rank):
        essay = anchor.aligned.essay_id
        row = [str(anchor.aligned.expected_rank), sides[0].case.labels[essay], anchor.aligned.grade]
        for found in by_side:
            one = found.get(essay)
            if one is None:
                row += [""] * 6
                continue
            aligned, error = one.aligned, one.standard_error
            met = aligned.wins + aligned.losses > 0
            row += [
                str(aligned.rank),
                f"{aligned.theta:.3f}",
                "-" if error is None else f"{error:.2f}",
                str(aligned.wins),
                str(aligned.losses),
                f"{aligned.win_rate:.2f}" if met else "-",
            ]
        rows.append(tuple(row))
    return Section("Anchors, by expected rank", table=Table(tuple(columns), tuple(rows)))


def _inversions(side: Side, full: bool) -> list[Section]:
    if not side.result.inversions:
        return []
    labels = side.case.labels
    rows = tuple(
        (
            f"{labels[one.higher]} ({side.case.grades[one.higher]})",
            f"{labels[one.lower]} ({side.case.grades[one.lower]})",
            f"{one.won} of {one.meetings}",
            "-" if one.confidence is None else f"{one.confidence:g}",
            f"{one.luck:.2f}",
            one.justification if full or len(one.justification) <= SHORT else f"{one.justification[:SHORT]}...",
        )
        for one in side.result.inversions
    )
    sentence = (
        "Luck: the probability that the judge has the better grade higher all the same, given every comparison. Near "
        "1, the lost comparison was an accident; near 0, the judge means it."
    )
    columns = ("better grade", "worse grade, which won", "won", "confidence", "luck", "justification")
    title = f"Direct inversions, {side.name}" if side.name else "Direct inversions"
    return [Section(title, (sentence,), Table(columns, rows))]


def _comparisons(side: Side) -> Section:
    labels = side.case.labels
    rows = tuple(_comparison_row(number, one, labels) for number, one in enumerate(side.case.callbacks, start=1))
    title = f"Every comparison, {side.name}" if side.name else "Every comparison"
    columns = ("no.", "essay A", "essay B", "winner", "confidence", "justification, or the error")
    return Section(title, table=Table(columns, rows))


def _comparison_row(number: int, one: LLMComparisonResultV1, named: Mapping[str, str]) -> tuple[str, ...]:
    first, second = one.essay_ids()
    winner = one.winning_essay()
    error = "" if one.error_detail is None else f"{one.error_detail.error_code}: {one.error_detail.message}"
    return (
        str(number),
        named.get(first, first),
        named.get(second, second),
        "none" if winner is None else named.get(winner, winner),
        "-" if one.confidence is None else f"{one.confidence:g}",
        one.justification or error,
    )


def _prompts(side: Side) -> Section:
    prompts = side.case.prompts or {}
    title = f"Prompts, {side.name}" if side.name else "Prompts"
    return Section(title, preformatted=tuple((name, text or "(default)") for name, text in prompts.items()))
