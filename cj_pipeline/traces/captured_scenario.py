"""This module makes the scenario of a new trace: taken from another one, or made from its callbacks.

The scenario can be judged at once. What nobody said it does not make up: no grade, no tolerance, no name of a pupil.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import yaml

from cj_pipeline.contracts.engine_settings import EngineSettings, MetadataHint, Pairing
from cj_pipeline.contracts.enums import LLMBatchingMode, OutputVerbosity, QueueProcessingMode, ReasoningEffort
from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.grade_file import GRADE_ORDER, KnownGrade, read_grade_file
from cj_pipeline.traces.provenance import PROVENANCE_FILE, Provenance, read_provenance
from cj_pipeline.traces.scenario import (
    NO_BATCH,
    SCENARIO_FILE,
    Batch,
    Item,
    Live,
    Net,
    Profile,
    ProviderIdentity,
    Repeats,
    Scenario,
    Service,
    read_scenario,
)

if TYPE_CHECKING:
    from cj_pipeline.contracts.callback import LLMComparisonResultV1
    from cj_pipeline.traces.redactor import Redactor

NO_MODE = "default"

Word = TypeVar("Word", bound=StrEnum)

FitMode: TypeAlias = Callable[[Path, Scenario, Provenance], str | None]
"""Fits a mode to a file of callbacks, and returns the text of its file; None where no callback has a winner."""

# How often the live side asks a new trace's pairs once more, so that means are not the noise of one batch; of large
# traces not all of them.
REPEATED_BATCHES = 3
MOST_REPEATED = 2_000


@dataclass(frozen=True, slots=True)
class ScenarioChoices:
    """What a person says about the scenario of a new trace.

    like: folder of a scenario whose net, engine, service, tolerances and mode are taken over. grades_file: CSV of
    essay_id, grade and perhaps label. profile, mode: instead of those of `like`; without it `judge`, and a mode that
    `fit_mode` fits to the callbacks, or `default`.
    """

    like: Path | None = None
    grades_file: Path | None = None
    profile: Profile | None = None
    mode: str | None = None
    fit_mode: FitMode | None = None

    @property
    def wanted_fit(self) -> FitMode | None:
        """Return what fits a mode to the new trace; None where a mode was chosen."""
        return self.fit_mode if self.mode is None and self.like is None else None


@dataclass(frozen=True, slots=True)
class TraceFacts:
    """What the callbacks of a new trace say about it.

    essays: as the trace names them, sorted; comparisons: different correlation ids; first: the first callback of the
    trace, as it is there; started_at: the earliest `requested_at`. hints: the keys of metadata that its callbacks
    carry. known: grades that came with the callbacks, by the essay ids of the source.
    """

    essays: tuple[str, ...]
    comparisons: int
    first: LLMComparisonResultV1
    started_at: datetime
    title: str
    hints: frozenset[MetadataHint] = frozenset()
    callback_topic: str = COMPARISON_RESULT_TOPIC
    known: Mapping[str, KnownGrade] = field(default_factory=dict)


def require_choices(choices: ScenarioChoices) -> None:
    """Raise BadInput for files that cannot be used, before anything is captured for them."""
    like = None if choices.like is None else read_scenario(choices.like / SCENARIO_FILE)
    if choices.grades_file is not None:
        read_grade_file(choices.grades_file, _scale(like))
    if like is not None and choices.mode is None and like.mode.partition("+")[0].endswith(".yaml"):
        raise BadInput(
            "is a file, which the new trace would not have beside it.",
            path=SCENARIO_FILE if choices.like is None else choices.like / SCENARIO_FILE,
            field="mode",
            remedy="Choose another with --mode, such as default; a copy of the file can be named later.",
        )


def captured_scenario(
    scenario_id: str, facts: TraceFacts, choices: ScenarioChoices, redaction: Redactor | None
) -> Scenario:
    """Return the scenario of a new trace.

    Raises BadInput when the callbacks speak of essays that `like` does not know, or a file of the choices cannot be
    used.
    """
    like = None if choices.like is None else read_scenario(choices.like / SCENARIO_FILE)
    known = dict(facts.known)
    if choices.grades_file is not None:
        known |= read_grade_file(choices.grades_file, _scale(like))
    if redaction is not None:
        # A label is what people call a pupil's essay; a grade is not.
        grades = {} if like is None or _is_redacted(choices.like) else redaction.grades(like.net.grade_scale or ())
        known = {
            redaction.essay(essay): KnownGrade(grades.get(entry.grade, entry.grade), None)
            for essay, entry in known.items()
        }
    if like is None:
        return scenario_of_facts(scenario_id, facts, choices, known)
    if redaction is not None and not _is_redacted(choices.like):
        like = redaction.scenario(like, scenario_id, like.mode)
    elif redaction is not None:
        like = redaction.scenario_of_pseudonyms(like)
    net = like.net
    strangers = set(facts.essays) - {item.id for item in net.items}
    if strangers:
        raise BadInput(
            f"does not know {len(strangers)} of the {len(facts.essays)} essays of the callbacks.",
            path=(choices.like or Path()) / SCENARIO_FILE,
            field="net.items",
            remedy="Name the scenario that was judged, or leave --like out. What was taken is kept: use --finish.",
        )
    return like.model_copy(
        update={
            "scenario_id": scenario_id,
            "title": facts.title,
            "profile": choices.profile or like.profile,
            "mode": choices.mode or like.mode,
            "net": Net(
                grade_scale=like.net.grade_scale or _used_scale(known),
                items=tuple(_graded(item, known.get(item.id)) for item in net.items),
            ),
            "provider": _provider(facts.first),
            "batch": _batch(facts),
            "engine": with_carried_hints(like.engine, facts.hints),
        }
    )


def scenario_text(scenario: Scenario, heading: str) -> str:
    """Return the text of a `scenario.yaml`. heading: one line, for the comment that opens it."""
    document: dict[str, Any] = {
        "schema_version": scenario.schema_version,
        **scenario.model_dump(mode="json", exclude_defaults=True, exclude_none=True, exclude={"schema_version"}),
    }
    # A default may change with a later version; what the live side asks must not change with it.
    document["engine"] = scenario.engine.model_dump(mode="json")
    document["service"] = scenario.service.model_dump(mode="json")
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    advice = "Yours to edit: title, grades, tolerances, mode. The schema is in docs/scenarios.md."
    return f"# {heading}\n# {advice}\n{text}"


def scenario_of_facts(
    scenario_id: str, facts: TraceFacts, choices: ScenarioChoices, known: Mapping[str, KnownGrade] | None = None
) -> Scenario:
    """Make a scenario of what callbacks say. choices: its profile and mode. known: grades by essay."""
    known = known or {}
    metadata = facts.first.request_metadata
    items = tuple(_graded(Item(id=essay, label=essay), known.get(essay)) for essay in facts.essays)
    queue_mode = _word(QueueProcessingMode, metadata.get("queue_processing_mode"))
    return Scenario(
        schema_version=1,
        scenario_id=scenario_id,
        title=facts.title,
        profile=choices.profile or Profile.JUDGE,
        mode=choices.mode or NO_MODE,
        net=Net(grade_scale=_used_scale(known), items=items),
        provider=_provider(facts.first),
        batch=_batch(facts),
        engine=_engine(facts),
        service=Service() if queue_mode is None else Service(queue_processing_mode=queue_mode),
        live=Live(
            callback_budget_s=3600,
            repeats=Repeats(batches=REPEATED_BATCHES, comparisons=min(facts.comparisons, MOST_REPEATED)),
        ),
    )


def with_carried_hints(engine: EngineSettings, carried: frozenset[MetadataHint]) -> EngineSettings:
    """Return the settings under which the live side sends the hints that callbacks carry, and no others."""
    if set(engine.sent_hints()) == carried:
        return engine
    named = tuple(hint for hint in MetadataHint if hint in carried)
    return engine.model_copy(update={"metadata_hints": named})


def _engine(facts: TraceFacts) -> EngineSettings:
    """Return a budget of exactly what was compared, and the hints that were sent along."""
    mode = _word(LLMBatchingMode, facts.first.request_metadata.get("cj_llm_batching_mode"))
    hints: dict[str, Any] = {
        "enable_llm_batching_metadata_hints": MetadataHint.LLM_BATCHING_MODE in facts.hints,
        **({} if mode is None else {"llm_batching_mode": mode}),
    }
    engine = EngineSettings(
        pairing=Pairing.RECORDED,
        max_pairwise_comparisons=facts.comparisons,
        # Above the budget: what was recorded is replayed to its end, whatever the scores do.
        min_comparisons_for_stability_check=facts.comparisons + 1,
        **hints,
    )
    return with_carried_hints(engine, facts.hints)


def _provider(first: LLMComparisonResultV1) -> ProviderIdentity:
    """Return who answered, with the hints that were sent: those and no others go to the mock as well."""
    metadata = first.request_metadata
    model = metadata.get("resolved_model")
    return ProviderIdentity(
        name=first.provider,
        model=model if isinstance(model, str) and model else None,
        reasoning_effort=_word(ReasoningEffort, metadata.get("reasoning_effort")),
        output_verbosity=_word(OutputVerbosity, metadata.get("output_verbosity")),
    )


def _word(kind: type[Word], value: object) -> Word | None:
    """Return one of the wire's words; None for whatever else the first callback says under that key."""
    return kind(value) if isinstance(value, str) and value in list(kind) else None


def _batch(facts: TraceFacts) -> Batch:
    metadata = facts.first.request_metadata
    cj_batch = str(metadata.get("cj_batch_id", ""))
    return Batch(
        bos_batch_id=str(metadata.get("bos_batch_id") or NO_BATCH),
        cj_batch_id=int(cj_batch) if cj_batch.isascii() and cj_batch.isdigit() and len(cj_batch) < 19 else 0,
        callback_topic=facts.callback_topic,
        started_at=facts.started_at,
    )


def _graded(item: Item, known: KnownGrade | None) -> Item:
    if known is None:
        return item
    return item.model_copy(update={"grade": known.grade, **({"label": known.label} if known.label else {})})


def _scale(like: Scenario | None) -> tuple[str, ...]:
    return GRADE_ORDER if like is None or like.net.grade_scale is None else like.net.grade_scale


def _used_scale(known: Mapping[str, KnownGrade]) -> tuple[str, ...] | None:
    used = {entry.grade for entry in known.values()}
    return tuple(grade for grade in GRADE_ORDER if grade in used) or None


def _is_redacted(folder: Path | None) -> bool:
    """Return whether a scenario's essays have pseudonyms already."""
    if folder is None or not (folder / PROVENANCE_FILE).exists():
        return False
    return read_provenance(folder).redaction is not None
