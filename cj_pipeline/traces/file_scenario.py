"""This module makes a scenario for a file of callbacks that has none.

It is that of an imported trace without a choice: what the callbacks say, and no grades, tolerances or mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.contracts.engine_settings import MetadataHint
from cj_pipeline.contracts.essay_ids import ESSAY_KEYS
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.captured_scenario import ScenarioChoices, TraceFacts, scenario_of_facts
from cj_pipeline.traces.reader import QuarantinedLine
from cj_pipeline.traces.scenario import Profile, Scenario

BARE_ID = "bare_callbacks"
"""Of the scenario of a file that has none."""


class FileFacts:
    """What a scenario needs to know of a file's callbacks, gathered while they are read."""

    def __init__(self) -> None:
        self.first: LLMComparisonResultV1 | None = None
        self.essays: set[str] = set()
        self.correlation_ids: set[UUID] = set()
        self.started_at: datetime | None = None
        self.hints: set[MetadataHint] = set()

    def seen(self, callback: LLMComparisonResultV1) -> LLMComparisonResultV1:
        """Look at a callback that names its essays, and return it."""
        metadata = callback.request_metadata
        self.first = self.first or callback
        self.essays.update(metadata[key] for key in ESSAY_KEYS)
        self.correlation_ids.add(callback.correlation_id)
        self.started_at = min(self.started_at or callback.requested_at, callback.requested_at)
        self.hints.update(hint for hint in MetadataHint if hint in metadata)
        return callback


def scenario_of_file(
    path: Path, facts: FileFacts, quarantined: Sequence[QuarantinedLine], profile: Profile
) -> Scenario:
    """Return a scenario that follows a file: its essays, ungraded, and a budget of exactly its comparisons.

    profile: whose floor tolerances are meant. Raises BadInput when no line is a usable callback, or one essay is all.
    """
    if facts.first is None or facts.started_at is None:
        raise no_usable_line(path, quarantined[0])
    if len(facts.essays) < 2:
        raise BadInput("compares one essay with itself only.", path=path)
    trace_facts = TraceFacts(
        essays=tuple(sorted(facts.essays)),
        comparisons=len(facts.correlation_ids),
        first=facts.first,
        started_at=facts.started_at,
        title=f"callbacks of {path.name}",
        hints=frozenset(facts.hints),
    )
    scenario = scenario_of_facts(BARE_ID, trace_facts, ScenarioChoices(profile=profile))
    return scenario.model_copy(update={"live": scenario.live.model_copy(update={"repeats": None})})


def no_usable_line(path: Path, first: QuarantinedLine) -> BadInput:
    """Return the error about a file in which every line is in quarantine. first: of these lines."""
    return BadInput(
        f"no line is a usable callback; the first: {first.reason}.",
        path=path,
        line=first.line,
        field=first.field or None,
        remedy="" if first.field else "Write JSON lines, one callback a line; `traces import` also reads JSON lists.",
    )
