"""This module makes the input of an alignment report: answers and known grades, whatever they were read from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cj_pipeline.contracts.callback import LLMComparisonResultV1, Rejection, parse_callback
from cj_pipeline.eng5.artefact.files import read_document
from cj_pipeline.eng5.essay_ids import STUDENT_PREFIX
from cj_pipeline.eng5.facts import Asked, RunFacts
from cj_pipeline.eng5.inputs import grade_of_name
from cj_pipeline.eng5.options import JudgeKind
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.runs.record import RunRecord
from cj_pipeline.runs.recording.essays import ENDINGS
from cj_pipeline.traces.essay_key import anchor_keys, essay_key
from cj_pipeline.traces.grade_file import GRADE_ORDER
from cj_pipeline.traces.importing.artefact import eng5_artefact
from cj_pipeline.traces.importing.cj_database import cj_database
from cj_pipeline.traces.importing.grade_scales import net_scale
from cj_pipeline.traces.importing.source import Source
from cj_pipeline.traces.scenario import Item, Scenario


@dataclass(frozen=True, slots=True)
class AlignmentCase:
    """One run to be held against known grades.

    title: the label of its files; source: what was read, a sentence. labels: what people call an essay, by id.
    grades: by id, of those that are known; ungraded: ids that should have a grade and have none. scale: best first.
    prompts: by name, None for the default, empty where the source does not say. mocked: a mock is known to have
    answered, under the name of a provider.
    """

    title: str
    source: str
    callbacks: tuple[LLMComparisonResultV1, ...]
    labels: Mapping[str, str]
    grades: Mapping[str, str]
    scale: tuple[str, ...]
    ungraded: tuple[str, ...] = ()
    prompts: Mapping[str, str | None] | None = None
    mocked: bool = False

    @property
    def items(self) -> tuple[str, ...]:
        """Every essay, compared or not, sorted."""
        return tuple(sorted(self.labels))

    @property
    def judge(self) -> str:
        """Who judged."""
        judges = sorted({f"{callback.provider} {callback.model}" for callback in self.callbacks})
        named = ", ".join(judges) or "nobody"
        return f"a mock, as {named}" if self.mocked else named


def has_order(case: AlignmentCase) -> bool:
    """Return whether two different grades are known, without which there is no order to agree with."""
    return len(set(case.grades.values())) > 1


def case_of_record(scenario: Scenario, record: RunRecord, title: str = "") -> AlignmentCase:
    """Return one side of a comparison of runs."""
    items = scenario.net.items
    source = f"{record.document.side} side of {scenario.scenario_id}, judge {record.document.judge}"
    return _case(title or scenario.title, source, record.callbacks, items, scenario.net.grade_scale)


def case_of_run(facts: RunFacts, asked: Asked) -> AlignmentCase:
    """Return a run of the ENG5 runner that has just ended."""
    answers = facts.answers
    if answers is None:
        raise AssertionError("a run without answers has no order")
    callbacks = tuple(event.data for event in answers.events)
    anchors = [Item(id=name, label=asked.essays[name].stem, grade=asked.essays[name].grade) for name in asked.anchors]
    others = {essay for callback in callbacks for essay in callback.essay_ids()} | set(asked.essays)
    students = [Item(id=name, label=name) for name in sorted(others - asked.anchors)]
    case = _case(
        facts.options.batch_id,
        f"{facts.options.mode} run {facts.identity.batch_uuid}",
        callbacks,
        [*anchors, *students],
        net_scale(facts.grade_scale, (item.grade for item in anchors if item.grade is not None)),
    )
    prompts = None
    if asked.prompt is not None:
        given = {"system prompt": facts.options.system_prompt, "rubric": facts.options.rubric}
        texts = {"system prompt": asked.prompt.system, "rubric": asked.prompt.rubric}
        whole = facts.options.prompt is not None
        prompts = {name: texts[name] if whole or path is not None else None for name, path in given.items()}
    ungraded = tuple(sorted(item.id for item in anchors if item.grade is None))
    return replace(case, prompts=prompts, ungraded=ungraded, mocked=_is_a_mock(asked.judge))


def case_of_artefact(path: Path) -> AlignmentCase:
    """Return the run of an artefact, ours or the reference's. Raises BadInput where it holds no answered comparison."""
    source = eng5_artefact(path)
    metadata = read_document(path).get("metadata") or {}
    case = _case_of_source(source, str(metadata.get("batch_id") or path.stem), f"artefact {path.name}")
    return replace(case, mocked=_is_a_mock(metadata.get("judge")))


def _is_a_mock(judge: object) -> bool:
    return isinstance(judge, Mapping) and judge.get("kind") == JudgeKind.MOCK.value


def case_of_database(url: str, batch: str, anchor_dir: Path | None) -> AlignmentCase:
    """Return a batch of a CJ database. batch: its BOS id or its CJ number.

    anchor_dir: files of anchors whose names end in their grades, for a batch whose rows hold none.
    Raises BadInput: a database that cannot be read, a batch that is not there, a file that fits no essay.
    """
    case = _case_of_source(cj_database(url, batch), batch, f"CJ database, batch {batch}")
    return case if anchor_dir is None else graded_by_files(case, anchor_dir)


def graded_by_files(case: AlignmentCase, anchor_dir: Path) -> AlignmentCase:
    """Return the case with the grades that files' names end in. Raises BadInput where none of them fits an essay."""
    if not anchor_dir.is_dir():
        raise BadInput("no such folder.", path=anchor_dir, field="anchor_dir", remedy="Name the anchors' folder.")
    by_key = {_key(essay): essay for essay in case.labels}
    by_key |= {essay_key(label): essay for essay, label in case.labels.items()}
    labels, grades, ungraded = dict(case.labels), dict(case.grades), []
    for path in sorted(anchor_dir.iterdir()):
        essay = next((by_key[key] for key in anchor_keys(path.stem) if key in by_key), None)
        if path.suffix.lower() not in ENDINGS or essay is None:
            continue
        labels[essay] = path.stem
        grade = grade_of_name(path.stem)
        if grade is None:
            ungraded.append(essay)
        else:
            grades[essay] = grade
    if not grades:
        raise BadInput(
            "none of its files is an anchor of this batch with a grade at the end of its name.",
            path=anchor_dir,
            field="anchor_dir",
            remedy="A file is called as the essay was, and ends in _GRADE.",
        )
    scale = net_scale(None, grades.values()) if not set(grades.values()) <= set(GRADE_ORDER) else GRADE_ORDER
    return replace(case, labels=labels, grades=grades, scale=scale or GRADE_ORDER, ungraded=tuple(ungraded))


def _key(essay: str) -> str:
    return essay.removeprefix(STUDENT_PREFIX).rpartition("::")[2].upper()


def _case_of_source(source: Source, title: str, words: str) -> AlignmentCase:
    callbacks = []
    for found in source.found:
        event = None if found.refused is not None else parse_callback(found.raw)
        if event is not None and not isinstance(event, Rejection):
            callbacks.append(event.data)
    known = source.known
    return _case(title, words, tuple(callbacks), known.items, known.grade_scale)


def _case(
    title: str,
    source: str,
    callbacks: tuple[LLMComparisonResultV1, ...],
    items: Sequence[Item],
    scale: tuple[str, ...] | None,
) -> AlignmentCase:
    return AlignmentCase(
        title=title,
        source=source,
        callbacks=callbacks,
        labels={item.id: item.label.removeprefix(STUDENT_PREFIX) for item in items},
        grades={item.id: item.grade for item in items if item.grade is not None},
        scale=scale or GRADE_ORDER,
    )
