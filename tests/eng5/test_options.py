from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from cj_pipeline.contracts.enums import OutputVerbosity, Provider
from cj_pipeline.eng5.options import CapacityError, RunnerMode, require_usable
from cj_pipeline.eng5.runner import prepare
from cj_pipeline.foundation.errors import BadInput
from tests.eng5.nets import options, small_net

UUID_1 = UUID("11111111-1111-1111-1111-111111111111")


@pytest.mark.parametrize(
    ("changed", "deployed", "problem"),
    [
        ({"max_comparisons": 1}, False, "eng5: max_comparisons: 1 is fewer than two."),
        ({"timeout_s": 0.0}, False, "eng5: completion_timeout: is no time."),
        ({"expected_grade_scale": "swedish_8_anchor"}, False, "eng5: expected_grade_scale: is no scale of ENG5."),
        ({}, True, "eng5: assignment_id: is missing."),
        ({"assignment_id": UUID_1}, True, "eng5: course_id: is missing."),
        ({"auto_extract": True}, False, "eng5: auto_extract_eng5_db: needs a service"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_option(
    tmp_path: Path, changed: dict[str, Any], deployed: bool, problem: str
) -> None:
    with pytest.raises(BadInput, match=re.escape(problem)):
        require_usable(options(RunnerMode.EXECUTE, tmp_path, **changed), deployed=deployed)


@pytest.mark.parametrize("content", [None, " \n"])
def test_a_missing_or_blank_prompt_is_refused(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "rubric.txt"
    if content is not None:
        file.write_text(content)
    with pytest.raises(BadInput, match=r"rubric\.txt: rubric: "):
        prepare(options(RunnerMode.ANCHOR_ALIGN, tmp_path, rubric=file))


@pytest.mark.parametrize(
    ("mode", "anchors", "students", "fits"),
    [
        (RunnerMode.PLAN, 0, 2, False),
        (RunnerMode.PLAN, 2, 0, False),
        (RunnerMode.EXECUTE, 2, 0, False),
        (RunnerMode.EXECUTE, 1, 1, True),
        # A test of anchors needs no student.
        (RunnerMode.ANCHOR_ALIGN, 2, 0, True),
        (RunnerMode.ANCHOR_ALIGN, 1, 2, False),
    ],
)
def test_too_few_essays_are_a_capacity_error(
    tmp_path: Path, mode: RunnerMode, anchors: int, students: int, fits: bool
) -> None:
    net = small_net(tmp_path / "net", anchors=anchors, students=students)
    asked = options(mode, tmp_path, net=net)
    if fits:
        prepare(asked)
    else:
        with pytest.raises(CapacityError):
            prepare(asked)


def test_the_anchors_of_the_service_count_where_one_is_asked(tmp_path: Path) -> None:
    asked = options(RunnerMode.EXECUTE, tmp_path, assignment_id=UUID_1, course_id=UUID_1)
    with pytest.raises(CapacityError, match="the CJ service: no anchors"):
        prepare(asked, deployed=True, anchors=0)


@pytest.mark.parametrize(("mode", "anchors"), [(RunnerMode.PLAN, 3), (RunnerMode.DRY_RUN, 3), (RunnerMode.EXECUTE, 4)])
def test_modes_that_ask_nobody_show_the_first_essays_of_each_list(
    tmp_path: Path, mode: RunnerMode, anchors: int
) -> None:
    found = prepare(options(mode, tmp_path, max_comparisons=5))
    assert len(found.inventory.anchors) == anchors


def test_an_unknown_model_names_the_command_that_lists_them(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"'gpt-9' is not a model of openai.*cj-pipeline lps models"):
        prepare(options(RunnerMode.PLAN, tmp_path, provider=Provider.OPENAI, model="gpt-9"))


def test_a_verbosity_that_a_model_does_not_take_is_refused(tmp_path: Path) -> None:
    asked = options(RunnerMode.PLAN, tmp_path, model="claude-haiku-4-5-20251001", verbosity=OutputVerbosity.HIGH)
    with pytest.raises(BadInput, match="output_verbosity: claude-haiku-4-5-20251001 does not take 'high'"):
        prepare(asked)


def test_no_model_is_a_note(tmp_path: Path) -> None:
    assert prepare(options(RunnerMode.PLAN, tmp_path)).notes == ("no model is named; anthropic's default is asked",)
