"""This module says what a gauntlet found: in sentences, as rows, as Markdown and as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict
from enum import StrEnum
from typing import Any

from cj_pipeline.foundation import exit_codes
from cj_pipeline.foundation.text import markdown_text
from cj_pipeline.parity.evidence import POWER
from cj_pipeline.parity.gauntlet.gauntlet import Gauntlet
from cj_pipeline.parity.gauntlet.limits import in_words, limit_values
from cj_pipeline.parity.gauntlet.tried import Tried
from cj_pipeline.parity.gauntlet.wrong_mock import Group
from cj_pipeline.reports.headline import ANOTHER_JUDGE
from cj_pipeline.reports.more import AddCommand

COLUMNS = ("wrong mock", "group", "found", "first found by")

_NO_GAIN = 0.1
"""Of the detection rate: what a larger comparison must add to be of help."""

_BY_CHANCE = 0.05
"""A detection rate below which the check that fails most often has no part in it: faithful runs fail one in 1 %."""

GLOSS = (
    "An essential wrong mock (*) must be found in 95 % of runs; 1 % is what a faithful mock comes to. A logit of "
    "position turns a chance of 50 % into 73 %."
)


class Remedy(StrEnum):
    """What helps with a blind spot, as the heading of those that it helps with."""

    CLOSES = "Blind spots that more answers would close (an estimate):"
    HELPS = "Blind spots that more answers would make smaller (an estimate):"
    MARGIN = "Within the margins, so allowed (to find one, set a tighter margin under `tolerances` in scenario.yaml):"
    NOTHING = "Blind spots that more of the same recording does not close:"
    UNSEEN = "No check fails on these:"


def exit_code(gauntlet: Gauntlet) -> int:
    """Return the exit code: a comparison that an essential wrong mock gets past cannot tell."""
    return exit_codes.CANNOT_TELL if gauntlet.missed else exit_codes.PASSED


def headline(gauntlet: Gauntlet) -> str:
    """Return how many wrong mocks are found, as one sentence without its full stop."""
    looked_for, blind = gauntlet.looked_for, gauntlet.blind_spots
    words = f"{len(looked_for) - len(blind)} of {len(looked_for)} wrong mocks are found in at least 80 % of runs"
    if gauntlet.missed:
        past = ", ".join(f"{one.name} (found in {percent(one)})" for one in gauntlet.missed)
        words += f"; essential ones get past, so `parity` says CANNOT TELL: {past}"
    return words


def summary_lines(gauntlet: Gauntlet, add: AddCommand | None) -> tuple[str, ...]:
    """Return what stands above the list of wrong mocks.

    add: names the command that adds comparisons to the recording; None for a file.
    """
    lines = [f"{headline(gauntlet)}."]
    if gauntlet.limits:
        lines.append(f"{in_words(gauntlet.limits)}.")
    if gauntlet.failing:
        lines.append(
            f"The live side fails {', '.join(gauntlet.failing)} as it is, so what these would find is not known."
        )
    if gauntlet.unread:
        lines.append(f"The recording says nothing about the essays. What helps: {ANOTHER_JUDGE}")
    if (step := next_step(gauntlet, add)) is not None:
        lines.append(step)
    return tuple(lines)


def blind_groups(gauntlet: Gauntlet) -> tuple[tuple[Remedy, tuple[str, ...]], ...]:
    """Return each blind spot in a sentence, those that the same helps with together.

    A sentence says what would get past, how often it is found, and what would find it.
    """
    found: dict[Remedy, list[str]] = {}
    for one in gauntlet.blind_spots:
        words = _in_words(one, unread=gauntlet.unread)
        sentence = f"A mock that {one.change} is found in {percent(one)} of runs{words}."
        found.setdefault(_remedy(one, unread=gauntlet.unread), []).append(sentence)
    return tuple((remedy, tuple(found[remedy])) for remedy in Remedy if remedy in found)


def blind_lines(gauntlet: Gauntlet) -> tuple[str, ...]:
    """Return the sentences of all blind spots, in the order of their groups."""
    return tuple(line for _, lines in blind_groups(gauntlet) for line in lines)


def left_out_lines(gauntlet: Gauntlet) -> tuple[str, ...]:
    """Return the wrong mocks that were not looked for, those with the same reason together."""
    by_reason: dict[str, list[str]] = {}
    for one in gauntlet.tried:
        if one.left_out:
            by_reason.setdefault(one.left_out, []).append(one.name)
    return tuple(f"{', '.join(names)}: {reason}." for reason, names in by_reason.items())


def next_step(gauntlet: Gauntlet, add: AddCommand | None) -> str | None:
    """Return which recording closes the most blind spots; None where none of those tried closes any."""
    closed = [
        one.closing.recorded
        for one in gauntlet.blind_spots
        if one.closing is not None and one.closing.enough and one.closing.recorded
    ]
    if not closed:
        return None
    more = f"{max(closed)} more recorded comparisons of the same judge"
    words = f"Next: {more} would close {len(closed)} of {len(gauntlet.blind_spots)} blind spots (an estimate)."
    return words if add is None else f"{words} To add them: {add(max(closed))}"


def rows_of(gauntlet: Gauntlet) -> list[list[str]]:
    """Return a row for each wrong mock that was looked for."""
    return [
        [
            one.name + (" *" if one.essential else ""),
            one.group.value,
            percent(one),
            one.first if one.rate is not None and one.rate >= _BY_CHANCE else "",
        ]
        for one in gauntlet.looked_for
    ]


def percent(tried: Tried) -> str:
    """Return a detection rate, rounded down: what is missed in 1 of 1,000 runs is not found in all of them."""
    return "" if tried.rate is None else f"{math.floor(100 * tried.rate + 1e-9)} %"


def as_json(gauntlet: Gauntlet, add: AddCommand | None) -> dict[str, Any]:
    """Return a gauntlet as plain values: what `--json` prints."""
    return {
        "scenario_id": gauntlet.scenario_id,
        "headline": headline(gauntlet),
        "lines": list(summary_lines(gauntlet, add)),
        "exit_code": exit_code(gauntlet),
        "wrong_mocks": [{**asdict(one), "blind": one.blind, "missed": one.missed} for one in gauntlet.tried],
        "limits": [limit_values(limit) for limit in gauntlet.limits],
        "blind_spots": list(blind_lines(gauntlet)),
        "failing_anyway": list(gauntlet.failing),
    }


def as_markdown(gauntlet: Gauntlet, add: AddCommand | None) -> str:
    """Return a gauntlet as markdown."""
    first, *rest = summary_lines(gauntlet, add)
    lines = [f"**{markdown_text(first)}**", "", *(f"- {markdown_text(line)}" for line in rest), ""]
    for remedy, blind in blind_groups(gauntlet):
        lines += [markdown_text(remedy), "", *(f"- {markdown_text(line)}" for line in blind), ""]
    lines += [f"| {' | '.join(COLUMNS)} |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(markdown_text(cell) for cell in row)} |" for row in rows_of(gauntlet)]
    lines += ["", GLOSS]
    if left_out := left_out_lines(gauntlet):
        lines += ["", "Left out:", "", *(f"- {markdown_text(line)}" for line in left_out)]
    return "\n".join(lines) + "\n"


def _remedy(one: Tried, *, unread: bool) -> Remedy:
    closing = one.closing
    if unread and one.essential and one.group is Group.JUDGEMENTS:
        return Remedy.NOTHING
    if closing is not None and closing.enough:
        return Remedy.CLOSES
    if closing is not None and closing.rate >= (one.rate or 0.0) + _NO_GAIN:
        return Remedy.HELPS
    if one.allowed_by:
        return Remedy.MARGIN
    return Remedy.UNSEEN if closing is None and not one.first else Remedy.NOTHING


def _in_words(one: Tried, *, unread: bool) -> str:
    remedy, closing = _remedy(one, unread=unread), one.closing
    if remedy is Remedy.MARGIN:
        return f"; nearest margin: {one.allowed_by}"
    if unread and remedy is Remedy.NOTHING and one.essential:
        return "; more answers like these would not help"
    if closing is None or remedy not in (Remedy.CLOSES, Remedy.HELPS):
        return ""
    larger = (
        f"{closing.recorded} more recorded comparisons"
        if closing.recorded
        else f"{closing.live} times the live batches (live.repeats in scenario.yaml)"
    )
    rate = f"in about {round(100 * closing.rate)} %"
    doubt = "" if closing.enough or closing.rate < POWER else ", less if the judge sees less difference between essays"
    return f"; with {larger} {rate}{doubt}"
