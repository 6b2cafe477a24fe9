"""This module says what a run asks: which essays, with which prompt, under which engine settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from cj_pipeline.contracts.engine_settings import EngineSettings, Pairing
from cj_pipeline.eng5.essay_ids import anchor_as_student_id, anchor_id, student_id
from cj_pipeline.eng5.facts import Asked
from cj_pipeline.eng5.inputs import Essay, Inventory
from cj_pipeline.eng5.options import RunnerMode, RunnerOptions, refusal, text_of
from cj_pipeline.engine.state import PlannedPair
from cj_pipeline.engine.waves.plan import Plan
from cj_pipeline.foundation.errors import BadInput, did_you_mean
from cj_pipeline.runs.recording.design import all_pairs, first_of, pairs_of
from cj_pipeline.runs.recording.prompts import PromptVariant, load_prompt
from cj_pipeline.traces.grade_file import GRADE_ORDER
from cj_pipeline.traces.importing.grade_scales import STEPS

CANONICAL = "plain.v1"
"""The prompt variant whose system prompt is sent where no other is given."""


@dataclass(frozen=True, slots=True)
class Design:
    """What an embedded run asks. plan: empty where the engine chooses the pairs; wanted: comparisons, at most."""

    asked: Asked
    prompt: PromptVariant
    settings: EngineSettings
    plan: Plan
    wanted: int


def design_of(
    options: RunnerOptions, inventory: Inventory, through: str, judge: Mapping[str, Any], grade_scale: str | None
) -> Design:
    """Return what a run asks. through, judge: for the artefact."""
    essays, anchors = compared_essays(options.mode, inventory)
    prompt = _prompt(options, inventory)
    asked = Asked(essays, anchors, prompt.texts, through, judge)
    plan, wanted = _plan(options, asked, grade_scale)
    return Design(asked, prompt, _settings(options, wanted, planned=bool(plan)), plan, wanted)


def compared_essays(mode: RunnerMode, inventory: Inventory) -> tuple[dict[str, Essay], frozenset[str]]:
    """Return the essays by the id under which they are compared, and which of them are anchors."""
    name = anchor_as_student_id if mode.anchors_only else anchor_id
    essays: dict[str, Essay] = {}
    for anchor in inventory.anchors:
        _add(essays, name(anchor.stem), anchor)
    anchors = frozenset(essays)
    if not mode.anchors_only:
        for student in inventory.students:
            _add(essays, student_id(student.stem), student)
    return essays, anchors


def _add(essays: dict[str, Essay], name: str, essay: Essay) -> None:
    if name in essays:
        problem = f"has the same id ({name}) as {essays[name].file.path.name}."
        raise BadInput(problem, path=essay.file.path, remedy="Rename one of the files.")
    essays[name] = essay


def _prompt(options: RunnerOptions, inventory: Inventory) -> PromptVariant:
    """Return the words around the essays. A test of anchors has no task and the rubric of a file only."""
    if options.prompt is not None:
        return options.prompt
    canonical = load_prompt(CANONICAL)
    system = canonical.system if options.canonical_prompt else ""
    if options.system_prompt is not None:
        system = text_of(options.system_prompt, "system_prompt")
    rubric = "" if options.rubric is None else text_of(options.rubric, "rubric")
    assignment = ""
    if not options.mode.anchors_only:
        assignment = "" if inventory.prompt is None else inventory.prompt.text
        rubric = rubric or ("" if inventory.instructions is None else inventory.instructions.text)
    return PromptVariant(
        schema_version=1,
        name="eng5.v1",
        system=system,
        assignment=assignment,
        rubric=rubric,
        question=canonical.question,
    )


def _plan(options: RunnerOptions, asked: Asked, grade_scale: str | None) -> tuple[Plan, int]:
    count, limit = len(asked.essays), options.max_comparisons
    if options.mode is RunnerMode.BOUNDARY:
        plan = boundary_plan(options, asked, grade_scale)
        return plan, sum(map(len, plan))
    if options.fixed_pairs:
        every = all_pairs(sorted(asked.essays), options.judging.seed, both_orders=options.both_orders)
        plan = every if limit is None else first_of(every, limit)
        return plan, sum(map(len, plan))
    if options.mode is RunnerMode.ANCHOR_ALIGN and (limit is None or limit >= pairs_of(count)):
        return all_pairs(sorted(asked.essays), options.judging.seed), pairs_of(count)
    return (), min(limit or EngineSettings().max_pairwise_comparisons, 10 * pairs_of(count))


def _settings(options: RunnerOptions, wanted: int, *, planned: bool) -> EngineSettings:
    changed: dict[str, Any] = {"max_pairwise_comparisons": wanted}
    if options.batching_mode is not None:
        changed |= {"llm_batching_mode": options.batching_mode, "enable_llm_batching_metadata_hints": True}
    if options.mode.anchors_only:
        # A test of the judge goes on to its end whatever the scores do, and asks nothing for the engine's own reasons.
        changed |= {
            "min_comparisons_for_stability_check": wanted + 1,
            "min_success_rate_threshold": 0.0,
            "max_resampling_passes_for_small_net": 0,
            "max_resampling_passes_for_regular_batch": 0,
            "enable_failed_comparison_retry": False,
        }
    return EngineSettings(pairing=Pairing.RECORDED if planned else Pairing.BALANCED, **changed)


def boundary_plan(options: RunnerOptions, asked: Asked, grade_scale: str | None) -> Plan:
    """Return each pair as often as wanted, and as often again with the other essay first."""
    pairs = boundary_pairs(options, asked, grade_scale)
    once = tuple(PlannedPair(first, second) for first, second in pairs)
    swapped = tuple(PlannedPair(second, first) for first, second in pairs)
    return (once, swapped) * options.boundary.repetitions


def boundary_pairs(options: RunnerOptions, asked: Asked, grade_scale: str | None) -> list[tuple[str, str]]:
    """Return the pairs of a boundary test, the better grade first: those named, or all of neighbouring grades."""
    if options.boundary.pairs:
        names: dict[str, str] = {}
        for essay_id, essay in asked.essays.items():
            names |= {essay.name: essay_id, essay.stem: essay_id, essay_id: essay_id}
        order = scale_order(grade_scale)
        found = [tuple(_named(name, names) for name in pair) for pair in options.boundary.pairs]
        for first, second in found:
            if first == second:
                raise refusal("pair", "names one essay twice.", "Name two anchors: NAME:NAME.")
        return [
            (second, first) if _place(asked, first, order) > _place(asked, second, order) else (first, second)
            for first, second in found
        ]
    order = scale_order(grade_scale)
    by_grade: dict[str, list[str]] = {}
    for essay_id, essay in sorted(asked.essays.items()):
        if essay.grade is not None:
            by_grade.setdefault(essay.grade, []).append(essay_id)
    present = sorted(by_grade, key=order.index)
    pairs = [(better, worse) for high, low in pairwise(present) for better in by_grade[high] for worse in by_grade[low]]
    if not pairs:
        raise refusal("pair", "no two anchors have neighbouring grades.", "Name pairs: --pair NAME:NAME.")
    return pairs


def scale_order(grade_scale: str | None) -> tuple[str, ...]:
    """Return the grades of a scale, best first, with all that letters can be."""
    steps = STEPS.get(grade_scale or "", ())
    return steps if steps and steps[0].isdigit() else GRADE_ORDER


def _place(asked: Asked, essay: str, order: tuple[str, ...]) -> int:
    grade = asked.essays[essay].grade
    return len(order) if grade is None else order.index(grade)


def _named(name: str, names: Mapping[str, str]) -> str:
    if name not in names:
        raise refusal("pair", f"'{name}' is no anchor.", did_you_mean(name, names))
    return names[name]
