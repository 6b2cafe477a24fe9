"""This module answers the three questions that people open a report with, in a few sentences each.

Is my mock still good? What changed? May I trust this?
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cj_pipeline.parity.compare import CheckResult, ParityReport, Verdict
from cj_pipeline.parity.tables import verdict_words
from cj_pipeline.parity.verdict import Doubt, Parity
from cj_pipeline.reports.advice import ADVICE
from cj_pipeline.reports.headline import (
    doubt_lines,
    given_lines,
    headline,
    help_lines,
    mock_answered,
    power_lines,
)
from cj_pipeline.traces.provenance import Provenance, TraceOrigin

LONGEST_HEADLINE = 60
SIGNS = {Parity.PARITY: "✓", Parity.NO_PARITY: "✗", Parity.CANNOT_TELL: "?"}
"""Of a verdict, beside its colour."""

_CANNOT_TELL = {
    Doubt.NO_GATE: "no gate is on",
    Doubt.NO_ANSWERS: "no answers were compared",
    Doubt.PARTIAL: "a part of the input is missing",
    Doubt.SAME_FILE: "both sides are the same file",
    Doubt.NOTHING_ABOUT_ESSAYS: "the recording ignores the essays",
    Doubt.UNPROVEN: "a wrong mock could get past",
    Doubt.INCONCLUSIVE: "the evidence settles too little",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One question with its answer: a few words, then sentences."""

    question: str
    words: str
    sentences: tuple[str, ...]


def short_headline(report: ParityReport) -> str:
    """Return the verdict as a sentence of at most 60 characters."""
    subject = "The mock" if mock_answered(report) else "The live side"
    if report.verdict is Parity.NO_PARITY:
        return f"{subject} has drifted: {len(report.failed)} of {len(report.could_fail)} gates failed."
    if report.verdict is Parity.PARITY:
        return f"{subject} answers as the recorded judge does."
    doubts = {reason.doubt for reason in report.reasons}
    return f"Cannot tell: {next(words for doubt, words in _CANNOT_TELL.items() if doubt in doubts)}."


RECONSTRUCTION = "The recording is a reconstruction from published figures: do not cite this verdict."


def answers(report: ParityReport, provenances: Iterable[Provenance] = ()) -> tuple[Answer, Answer, Answer]:
    """Return the three questions with their answers. provenances: of the recordings, where they are known."""
    good = "Is my mock still good?" if mock_answered(report) else "Do both sides still agree?"
    return (
        Answer(good, _GOOD[report.verdict], _goodness(report)),
        Answer("What changed?", _changed_words(report), _changes(report)),
        Answer("May I trust this?", _trust_words(report), _trust(report, provenances)),
    )


_GOOD = {
    Parity.PARITY: "Yes.",
    Parity.NO_PARITY: "No.",
    Parity.CANNOT_TELL: "This comparison cannot tell.",
}


def _goodness(report: ParityReport) -> tuple[str, ...]:
    lines = [f"{headline(report)}."]
    if report.scenario.expect is not None:
        reason = report.scenario.expect.reason.rstrip(".")
        lines.append(f"The scenario expects {report.expected}, since {reason}.")
    return tuple(lines)


def _changed_words(report: ParityReport) -> str:
    if report.failed:
        return f"{len(report.failed)} {'thing' if len(report.failed) == 1 else 'things'} beyond tolerance."
    return "Small differences, within tolerance." if report.different else "Nothing beyond tolerance."


def _changes(report: ParityReport) -> tuple[str, ...]:
    lines = [
        f"{one.check.name}: {one.sentence.rstrip('.')}. {ADVICE[one.check.name][0]}" for one in report.failed[:_MOST]
    ]
    if len(report.failed) > _MOST:
        lines.append(f"{len(report.failed) - _MOST} more are in the table below.")
    lines += [f"{one.check.name} differs, within its margin: {one.sentence}." for one in report.different[:_MOST]]
    # Of two recordings they are an answer; a mock has prompts and batches of its own each time.
    return (*lines, *(() if mock_answered(report) else note_lines(report)))


_MOST = 5


def _trust_words(report: ParityReport) -> str:
    missed = [one for one in report.detections if one.missed]
    looked_for = [one for one in report.detections if not one.same_as_recorded]
    if report.verdict is Parity.CANNOT_TELL:
        return "No: it proves nothing either way."
    if report.verdict is Parity.NO_PARITY:
        by_chance = any(one.evidence is not None for one in report.failed)
        return (
            f"What failed, yes: {'chance alone does it in 1 of 100 runs' if by_chance else 'chance has no part in it'}."
        )
    if not looked_for or missed:
        return "With care."
    return f"It would have caught {len(looked_for)} of {len(looked_for)} wrong mocks."


def _trust(report: ParityReport, provenances: Iterable[Provenance]) -> tuple[str, ...]:
    """Return what is known of it. What limits the verdict comes first: the page folds all but three sentences."""
    why = [_sentence(reason.sentence) for reason in report.reasons]
    made_up = any(one.origin is TraceOrigin.RECONSTRUCTED for one in provenances)
    limits = (*((RECONSTRUCTION,) if made_up else ()), *given_lines(report))
    power = (line.replace("+-", "±") for line in power_lines(report))
    return (*why, *limits, *power, *doubt_lines(report), *help_lines(report))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def note_lines(report: ParityReport) -> tuple[str, ...]:
    """Return what differs between the sides and is no fault: batches, prompts, labels. A key keeps its small letter."""
    return tuple(_sentence(note) if note.split()[0].isalpha() else f"{note.rstrip('.')}." for note in report.notes)


def by_importance(result: CheckResult) -> int:
    """Return the place of a check among the others: what decides the verdict first, what is proven last."""
    if result.verdict is Verdict.FAIL:
        return 0
    if result.verdict is Verdict.PARTIAL:
        return 1
    if result.proven_different:
        return 2
    evidence = result.evidence
    if evidence is not None and evidence.says_nothing:
        return 4
    return 3 if result.inconclusive else 5


def expected_words(report: ParityReport) -> str:
    """Return how the verdict relates to the expected one; empty where PARITY was expected and came."""
    words = verdict_words(report.verdict, report.expected).removeprefix(report.verdict.value)
    return words.removeprefix(", ")
