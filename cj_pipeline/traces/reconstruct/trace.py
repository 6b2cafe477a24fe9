"""This module reconstructs a trace from a folder's scenario.yaml, published.yaml and outcomes.csv, if it has one.

The same files give the same bytes on every machine: all draws are SHA-256 of the seed and their own name.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cj_pipeline.contracts.callback import LLMComparisonResultV1, Rejection, parse_callback
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.provenance import PROVENANCE_FILE, TraceOrigin, read_provenance
from cj_pipeline.traces.reconstruct.events import events, to_line
from cj_pipeline.traces.reconstruct.origins import provenance
from cj_pipeline.traces.reconstruct.published import (
    PUBLISHED_FILE,
    CannotReconstruct,
    read_facts,
    require_agreement,
)
from cj_pipeline.traces.scenario import SCENARIO_FILE, read_scenario
from cj_pipeline.traces.store import CALLBACKS_FILE
from cj_pipeline.traces.summary import summarise
from cj_pipeline.traces.writing import WRITTEN_FILES, TraceDescription, write_trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cj_pipeline.traces.reconstruct.published import Facts, Published
    from cj_pipeline.traces.scenario import Scenario
    from cj_pipeline.traces.summary import Summary


def reconstruct(scenario: Scenario, facts: Facts, seed: int) -> list[bytes]:
    """Return the lines of llm_callbacks.jsonl, without newlines; every published figure holds on them.

    Raises CannotReconstruct when the facts contradict each other, the scenario, or what is assumed.
    """
    _require_same_run(scenario, facts.published)
    lines = [to_line(event) for event in events(scenario, facts, seed)]
    require_agreement(_summary(lines, scenario), facts.published)
    return lines


def reconstruct_trace(folder: Path) -> Path:
    """Write a folder's trace again from its scenario.yaml and what was published; its other files stay.

    Returns the folder. Raises BadInput, and changes nothing, when the folder holds a captured trace, callbacks of
    unknown origin, or facts from which nothing can be reconstructed.
    """
    folder = folder.resolve()
    _refuse_recordings(folder)
    scenario = read_scenario(folder / SCENARIO_FILE)
    facts = read_facts(folder)
    seed = facts.published.assumed.seed
    try:
        lines = reconstruct(scenario, facts, seed)
    except CannotReconstruct as error:
        raise BadInput(
            f"{error.problem}.", path=folder / PUBLISHED_FILE, field=error.field, remedy="Nothing was written."
        ) from None
    others = {
        name: path
        for path in folder.rglob("*")
        if path.is_file() and (name := path.relative_to(folder).as_posix()) not in (*WRITTEN_FILES, SCENARIO_FILE)
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }
    description = TraceDescription(
        scenario,
        provenance(scenario, facts, seed),
        scenario_file=(folder / SCENARIO_FILE).read_bytes(),
        files=others,
    )
    return write_trace(folder, lines, lambda _: description, replace=True).folder


def _require_same_run(scenario: Scenario, published: Published) -> None:
    """Refuse a scenario without the published identity; an id typed wrongly would otherwise travel for ever."""
    carried = {
        "bos_batch_id": scenario.batch.bos_batch_id,
        "cj_batch_id": scenario.batch.cj_batch_id,
        "provider": scenario.provider.name,
        "model": scenario.provider.model or published.run.model,
        "reasoning_effort": scenario.provider.reasoning_effort,
        "output_verbosity": scenario.provider.output_verbosity,
    }
    for name, value in carried.items():
        known = getattr(published.run, name)
        if known is not None and known != value:
            raise CannotReconstruct(f"published '{known}', but the scenario has '{value}'", field=f"run.{name}")


def _summary(lines: Sequence[bytes], scenario: Scenario) -> Summary:
    """Summarise the lines as a reader will see them, so that nothing is agreed on that is not in the file."""
    callbacks: list[LLMComparisonResultV1] = []
    for line in lines:
        parsed = parse_callback(line)
        if isinstance(parsed, Rejection):
            raise CannotReconstruct(f"a callback breaks the contract: {parsed.reason}", field=parsed.field)
        callbacks.append(parsed.data)
    return summarise(callbacks, scenario.scenario_id, (item.id for item in scenario.net.items))


def _refuse_recordings(folder: Path) -> None:
    path = folder / PROVENANCE_FILE
    if not path.exists():
        if (folder / CALLBACKS_FILE).exists():
            raise BadInput(
                "its origin is unknown, so it is not overwritten.",
                path=folder / CALLBACKS_FILE,
                remedy="Move it away if it may go.",
            )
    elif read_provenance(folder).origin is TraceOrigin.CAPTURED:
        raise BadInput(
            "this trace was captured; a reconstruction never overwrites a recording.",
            path=path,
            field="origin",
            remedy="Reconstruct into a folder of its own.",
        )
