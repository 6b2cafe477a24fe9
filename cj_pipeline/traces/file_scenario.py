"""This module makes a scenario for a file of callbacks that has none.

Such a scenario has what a replay needs, taken from the callbacks, and no grades, tolerances or mode.
"""

from __future__ import annotations

from pathlib import Path

from cj_pipeline.contracts.engine_settings import EngineSettings, Pairing
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.reader import CallbackFile, QuarantinedLine
from cj_pipeline.traces.scenario import Batch, Item, Live, Net, Profile, ProviderIdentity, Scenario

NO_MODE = "default"

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
    comparisons = len({verdict.correlation_id for verdict in verdicts})
    first_verdict = verdicts[0]
    return Scenario(
        schema_version=1,
        scenario_id=BARE_ID,
        title=f"callbacks of {callbacks.path.name}",
        profile=profile,
        mode=NO_MODE,
        net=Net(items=tuple(Item(id=essay, label=essay) for essay in essays)),
        provider=ProviderIdentity(name=first_verdict.provider),
        batch=Batch(
            bos_batch_id=str(first_verdict.request_metadata.get("bos_batch_id", "unknown")),
            cj_batch_id=0,
            started_at=min(verdict.requested_at for verdict in verdicts),
        ),
        engine=EngineSettings(
            pairing=Pairing.RECORDED,
            max_pairwise_comparisons=comparisons,
            # Above the budget: what was recorded is replayed to its end, whatever the scores do.
            min_comparisons_for_stability_check=comparisons + 1,
            enable_llm_batching_metadata_hints="cj_llm_batching_mode" in first_verdict.request_metadata,
        ),
        live=Live(callback_budget_s=3600),
    )


def no_usable_line(path: Path, first: QuarantinedLine) -> BadInput:
    """Return the error about a file in which every line is in quarantine. first: of these lines."""
    return BadInput(
        f"no line is a usable callback; the first: {first.reason}.",
        path=path,
        line=first.line,
        field=first.field or None,
    )
