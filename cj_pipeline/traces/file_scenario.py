"""This module makes a scenario for a file of callbacks that has none.

It is that of an imported trace without a choice: what the callbacks say, and no grades, tolerances or mode.
"""

from __future__ import annotations

from pathlib import Path

from cj_pipeline.contracts.engine_settings import MetadataHint
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.captured_scenario import ScenarioChoices, TraceFacts, scenario_of_facts
from cj_pipeline.traces.reader import CallbackFile, QuarantinedLine
from cj_pipeline.traces.scenario import Profile, Scenario

BARE_ID = "bare_callbacks"
"""Of the scenario of a file that has none."""


def scenario_of_file(callbacks: CallbackFile, profile: Profile) -> Scenario:
    """Return a scenario that follows a file: its essays, ungraded, and a budget of exactly its comparisons.

    profile: whose floor tolerances are meant. Raises BadInput when no line is a usable callback, or one essay is all.
    """
    verdicts = [event.event.data for event in callbacks.events]
    if not verdicts:
        raise no_usable_line(callbacks.path, callbacks.quarantined[0])
    essays = sorted({essay for verdict in verdicts for essay in verdict.essay_ids()})
    if len(essays) < 2:
        raise BadInput("compares one essay with itself only.", path=callbacks.path)
    keys = {key for verdict in verdicts for key in verdict.request_metadata}
    facts = TraceFacts(
        essays=tuple(essays),
        comparisons=len({verdict.correlation_id for verdict in verdicts}),
        first=callbacks.events[0].event,
        started_at=min(verdict.requested_at for verdict in verdicts),
        title=f"callbacks of {callbacks.path.name}",
        hints=frozenset(hint for hint in MetadataHint if hint in keys),
    )
    scenario = scenario_of_facts(BARE_ID, facts, ScenarioChoices(profile=profile))
    return scenario.model_copy(update={"live": scenario.live.model_copy(update={"repeats": None})})


def no_usable_line(path: Path, first: QuarantinedLine) -> BadInput:
    """Return the error about a file in which every line is in quarantine. first: of these lines."""
    return BadInput(
        f"no line is a usable callback; the first: {first.reason}.",
        path=path,
        line=first.line,
        field=first.field or None,
    )
