"""This module puts a scenario under the names that its redacted trace uses. A mode is the caller's affair.

Grades, settings, tolerances and figures stay: they say how was judged, not who. Everything that a person wrote in words
goes, the reasons for checks that are off included: a reason may say whose essay it is about.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.traces.redaction.vocabulary import is_grade, is_row_number
from cj_pipeline.traces.scenario import Item, Net, Scenario

if TYPE_CHECKING:
    from cj_pipeline.traces.redactor import Redactor

REASON = "off in the scenario that this one was redacted from"

# The label of an ENG5 anchor: a number and its grade, `vt_012_A`.
_ANCHOR_LABEL = re.compile(r"vt_\d{3}_(.+)")


def redacted_scenario(scenario: Scenario, scenario_id: str, redaction: Redactor, mode: str) -> Scenario:
    """Return the scenario of a redacted copy. scenario_id: the copy's; mode: what it is to run under."""
    provider, batch = scenario.provider, scenario.batch
    return scenario.model_copy(
        update={
            "scenario_id": scenario_id,
            "title": f"{scenario_id} (redacted)",
            "mode": mode,
            "net": _redacted_net(scenario.net, redaction),
            "provider": provider.model_copy(
                update={"model": None if provider.model is None else redaction.model(provider.model)}
            ),
            "batch": batch.model_copy(
                update={
                    "bos_batch_id": redaction.batch(batch.bos_batch_id),
                    "cj_batch_id": batch.cj_batch_id if is_row_number(str(batch.cj_batch_id)) else 0,
                    # Any topic will do for the live side, and the recorded one's name is the recording house's affair.
                    "callback_topic": COMPARISON_RESULT_TOPIC,
                }
            ),
            "checks_off": dict.fromkeys(scenario.checks_off, REASON),
        }
    )


def redacted_grades(scale: Sequence[str]) -> dict[str, str]:
    """Return what the grades of a scale become, best to worst. A scale of words is a scale by their order alone."""
    words = not all(is_grade(grade) for grade in scale)
    return {grade: str(place) if words else grade for place, grade in enumerate(scale, start=1)}


def without_texts(scenario: Scenario) -> Scenario:
    """Return a scenario whose essays have pseudonyms already, without labels and reasons that people wrote since."""
    items = (
        item if _says_a_grade_only(item) else item.model_copy(update={"label": item.id}) for item in scenario.net.items
    )
    net = scenario.net.model_copy(update={"items": tuple(items)})
    return scenario.model_copy(update={"net": net, "checks_off": dict.fromkeys(scenario.checks_off, REASON)})


def _redacted_net(net: Net, redaction: Redactor) -> Net:
    grades = redacted_grades(net.grade_scale or ())
    items = []
    for item in net.items:
        name = redaction.essay(item.id)
        grade = None if item.grade is None else grades[item.grade]
        items.append(Item(id=name, label=item.label if _says_a_grade_only(item) else name, grade=grade))
    places = {grade: place for place, grade in enumerate(grades.values())}
    # In an order of their own: a list of a class is in the order of its names, and would tell them one by one.
    items.sort(key=lambda item: (places.get(item.grade or "", len(places)), item.id))
    return Net(grade_scale=tuple(grades.values()) or None, items=tuple(items))


def _says_a_grade_only(item: Item) -> bool:
    label = _ANCHOR_LABEL.fullmatch(item.label)
    return label is not None and label[1] == item.grade and is_grade(label[1])
