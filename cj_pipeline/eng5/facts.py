"""This module holds what is known of a run when its artefact is written: inputs, judge, prompts, answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.contracts.cj_events import AssessmentResultV1
from cj_pipeline.eng5.inputs import Essay, Inventory
from cj_pipeline.eng5.options import RunnerOptions
from cj_pipeline.traces.recording_provenance import PromptTexts


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """The ids of one run. began_at: of its first session, where it was interrupted."""

    batch_uuid: UUID
    correlation_id: UUID
    began_at: datetime


@dataclass(frozen=True, slots=True)
class Asked:
    """What a judge was asked.

    essays: by the id under which they are compared; texts: the same, as they are judged; prompt: None where a service
    has its own. through: which services; judge: whom, in JSON values.
    """

    essays: Mapping[str, Essay]
    anchors: frozenset[str]
    prompt: PromptTexts | None
    through: str
    judge: Mapping[str, Any]

    @property
    def texts(self) -> dict[str, str]:
        """The texts by id, sorted."""
        return {essay: self.essays[essay].file.text for essay in sorted(self.essays)}


@dataclass(frozen=True, slots=True)
class Answers:
    """What came back. events: of comparisons, in order of arrival, each once; raw: the same, as they were read.

    wanted: comparisons that were to be judged, None where the CJ service decides; partial: why the run ended before
    they were, None where it did not; timed_out: whether that was for its time. results, completions: events of a CJ
    service, as they were read. counters: what the LPS in this process counted, over all sessions that ended themselves.
    """

    events: tuple[CallbackEvent, ...] = ()
    raw: tuple[bytes, ...] = ()
    wanted: int | None = None
    partial: str | None = None
    timed_out: bool = False
    asked_again: int = 0
    duplicates: int = 0
    spent_usd: float | None = None
    results: tuple[bytes, ...] = ()
    completions: tuple[bytes, ...] = ()
    result: AssessmentResultV1 | None = None
    counters: Mapping[str, float] = field(default_factory=dict)

    @property
    def won(self) -> list[tuple[str, str]]:
        """Winner and loser of each comparison that was judged."""
        won = []
        for event in self.events:
            winner = event.data.winning_essay()
            if winner is not None:
                first, second = event.data.essay_ids()
                won.append((winner, second if winner == first else first))
        return won


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Everything that an artefact says. asked, answers: None in a mode that asks nobody."""

    options: RunnerOptions
    inventory: Inventory
    identity: RunIdentity
    grade_scale: str | None
    asked: Asked | None = None
    answers: Answers | None = None
    request: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
    post_run: Mapping[str, Any] = field(default_factory=dict)
