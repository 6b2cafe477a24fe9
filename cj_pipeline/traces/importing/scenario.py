"""This module makes the scenario of an imported trace: what its callbacks say, and over it what its source knows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.captured_scenario import (
    ScenarioChoices,
    TraceFacts,
    captured_scenario,
)
from cj_pipeline.traces.grade_file import GRADE_ORDER
from cj_pipeline.traces.importing.source import NO_MODEL, Known
from cj_pipeline.traces.scenario import Item, Net, Scenario

if TYPE_CHECKING:
    from cj_pipeline.traces.redactor import Redactor


def imported_scenario(
    scenario_id: str, known: Known, facts: TraceFacts, choices: ScenarioChoices, redaction: Redactor | None
) -> Scenario:
    """Return the scenario. A grade from a person's file counts before the source's. Raises as captured_scenario."""
    scenario = captured_scenario(scenario_id, facts, choices, redaction)
    changes: dict[str, Any] = {
        "provider": scenario.provider.model_copy(update=_judge(known, scenario, facts)),
        # Over those of `like`: a check that its recording could bear may look at something that this one lacks.
        "checks_off": {**scenario.checks_off, **known.checks_off},
    }
    if choices.like is None:
        changes["net"] = _net(scenario, known, redaction)
        if known.engine is not None:
            # Numbers of waves are in its callbacks whatever was sent; the stored settings say what was.
            changes["engine"] = known.engine
    return scenario.model_copy(update=changes)


def _judge(known: Known, scenario: Scenario, facts: TraceFacts) -> dict[str, Any]:
    model = facts.first.model
    stated = {
        "model": scenario.provider.model or (None if model == NO_MODEL else model),
        "temperature": known.temperature,
        "reasoning_effort": known.reasoning_effort,
        "output_verbosity": known.output_verbosity,
    }
    return {name: value for name, value in stated.items() if value is not None}


def _net(scenario: Scenario, known: Known, redaction: Redactor | None) -> Net:
    items = {item.id: item for item in scenario.net.items}
    for item in known.items:
        name = item.id if redaction is None else redaction.essay(item.id)
        there = items.get(name, Item(id=name, label=name))
        # A label is what people call a pupil's essay; a grade is not.
        label = item.label if redaction is None and there.label == name else there.label
        items[name] = Item(id=name, label=label, grade=there.grade or item.grade)
    graded = tuple(items[name] for name in sorted(items))
    return Net(grade_scale=_scale(known, (item.grade for item in graded if item.grade is not None)), items=graded)


def _scale(known: Known, grades: Iterable[str]) -> tuple[str, ...] | None:
    used = set(grades)
    steps = set(known.grade_scale or ())
    if used <= steps or not used:
        return known.grade_scale
    if not (used | steps) <= set(GRADE_ORDER):
        raise BadInput(
            "some grades are not on the scale of the source's own.",
            path="--grades",
            field="grade",
            remedy=f"Use the source's scale, best to worst: {' '.join(known.grade_scale or ())}.",
        )
    return tuple(grade for grade in GRADE_ORDER if grade in used | steps)
