"""What the scenario of a new trace is made of, and what of a person's never gets into it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.captured_scenario import ScenarioChoices, TraceFacts, captured_scenario, require_choices
from cj_pipeline.traces.redaction.pseudonyms import Pseudonyms
from cj_pipeline.traces.redaction.redaction import Redaction
from cj_pipeline.traces.redaction_policy import RedactionPolicy
from cj_pipeline.traces.scenario import SCENARIO_FILE, Scenario, read_scenario
from tests.traces.folders import LOWER5, copy_of, one_event

REDACTION = Redaction(RedactionPolicy(), Pseudonyms(bytes(32)))


def facts(essays: tuple[str, ...], **metadata: Any) -> TraceFacts:
    event = one_event()
    event["data"]["request_metadata"] |= metadata
    return TraceFacts(essays, 1, CallbackEvent.model_validate(event).data, datetime(2026, 1, 1, tzinfo=UTC), "a title")


def changed(folder: Path, **changes: Any) -> Scenario:
    """The folder's scenario with other values in its net or at its top."""
    path = folder / SCENARIO_FILE
    document = yaml.safe_load(path.read_text())
    document["net"] |= changes.pop("net", {})
    path.write_text(yaml.safe_dump(document | changes))
    return read_scenario(path)


@pytest.mark.parametrize(
    "metadata",
    [
        {"resolved_model": 5, "reasoning_effort": 5, "output_verbosity": ["low"]},
        {"queue_processing_mode": ["per_request"], "cj_llm_batching_mode": {"a": 1}},
        {"reasoning_effort": "enormous", "queue_processing_mode": "sideways"},
    ],
)
def test_a_first_callback_with_strange_hints_makes_a_scenario_without_them(metadata: dict[str, Any]) -> None:
    made = captured_scenario("autumn", facts(("one", "two"), **metadata), ScenarioChoices(), None)
    assert [item.id for item in made.net.items] == ["one", "two"]
    strange = {"resolved_model": "model"}
    for key in metadata:
        assert getattr(made.provider, strange.get(key, key), None) is None


def test_a_grade_file_and_a_scale_of_words_go_by_places_together(tmp_path: Path) -> None:
    folder = copy_of(LOWER5, tmp_path)
    essays = [item.id for item in read_scenario(folder / SCENARIO_FILE).net.items]
    items = [{"id": essay, "label": essay, "grade": "Good"} for essay in essays]
    changed(folder, mode="default", net={"grade_scale": ["Good", "Poor"], "items": items})
    grades = tmp_path / "grades.csv"
    grades.write_text(f"essay_id,grade\n{essays[0]},Poor\n")
    choices = ScenarioChoices(like=folder, grades_file=grades)
    made = captured_scenario("autumn", facts(tuple(map(REDACTION.essay, essays))), choices, REDACTION)
    assert made.net.grade_scale == ("1", "2")
    assert {item.id: item.grade for item in made.net.items} == {
        REDACTION.essay(essay): "2" if essay == essays[0] else "1" for essay in essays
    }


def test_a_mode_that_stands_beside_another_scenario_is_not_taken_over_by_its_name(tmp_path: Path) -> None:
    folder = copy_of(LOWER5, tmp_path)
    (folder / "mode.yaml").write_text("name: mine\n")
    changed(folder, mode="mode.yaml+instant")
    with pytest.raises(
        BadInput, match=r"scenario\.yaml: mode: is a file, which the new trace would not have beside it"
    ):
        require_choices(ScenarioChoices(like=folder))
    require_choices(ScenarioChoices(like=folder, mode="default"))


def test_a_grade_file_without_a_heading_is_refused_and_its_first_pupil_not_named(tmp_path: Path) -> None:
    grades = tmp_path / "grades.csv"
    grades.write_text("Asa Lindqvist,A,Asa in 9b\nBo Ek,B,Bo\n")
    with pytest.raises(BadInput, match="has no column essay_id") as refused:
        require_choices(ScenarioChoices(grades_file=grades))
    assert "The first line is essay_id,grade" in str(refused.value)
    assert "Asa" not in str(refused.value)


def test_a_grade_file_that_is_not_utf_8_is_told_so(tmp_path: Path) -> None:
    grades = tmp_path / "grades.csv"
    grades.write_bytes("essay_id,grade\nÅsa,A\n".encode("latin-1"))
    with pytest.raises(BadInput, match=r"grades\.csv:2: is not UTF-8\. Save it as CSV UTF-8"):
        require_choices(ScenarioChoices(grades_file=grades))


def test_a_grade_off_the_scale_is_told_by_its_place(tmp_path: Path) -> None:
    folder = copy_of(LOWER5, tmp_path)
    items = [{"id": "a", "label": "Asa", "grade": "A"}, {"id": "b", "label": "Bo", "grade": "Bo's own"}]
    with pytest.raises(BadInput, match=r"the grade of items\[1\] is not on the net's grade_scale") as refused:
        changed(folder, net={"grade_scale": ["A", "B"], "items": items})
    assert "Bo" not in str(refused.value)
