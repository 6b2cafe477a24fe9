"""This module says how a run's comparisons were batched, and what it overrode: asked for, and as callbacks tell it.

The CJ service decides by its own settings and a request's hint, the LPS by its own.
Callbacks alone tell what came of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.contracts.enums import LLMBatchingMode, QueueProcessingMode
from cj_pipeline.eng5.facts import RunFacts

QUEUE_MODES: Mapping[LLMBatchingMode, QueueProcessingMode] = {
    LLMBatchingMode.PER_REQUEST: QueueProcessingMode.PER_REQUEST,
    LLMBatchingMode.SERIAL_BUNDLE: QueueProcessingMode.SERIAL_BUNDLE,
    LLMBatchingMode.PROVIDER_BATCH_API: QueueProcessingMode.BATCH_API,
}
"""How the LPS has to work its queue off for a mode of the CJ service to have its effect."""

TEXTS = frozenset({"system_prompt_override", "judge_rubric_override"})
NOT_STATED = "not stated"
NOTHING = "none"

DEPLOYED = "deployed"
"""The kind of judge whom a CJ service asks."""


def batching_block(hint: LLMBatchingMode | None, callbacks: Iterable[LLMComparisonResultV1]) -> dict[str, Any]:
    """Return what an artefact says of batching: the hint, and callbacks counted by what they carry.

    hints_carried: by the CJ service's hint, for those that carry one; worked_off: by the LPS's queue mode.
    """
    carried, worked = Counter[str](), Counter[str]()
    for callback in callbacks:
        stated = callback.request_metadata
        if (mode := stated.get("cj_llm_batching_mode")) is not None:
            carried[str(mode)] += 1
        worked[str(stated.get("queue_processing_mode", NOT_STATED))] += 1
    return {
        "hint": None if hint is None else hint.value,
        "hints_carried": dict(sorted(carried.items())),
        "worked_off": dict(sorted(worked.items())),
    }


def batching_words(block: Mapping[str, Any]) -> str:
    """Return the block as a line of a summary.

    >>> batching_words({"hint": "serial_bundle", "hints_carried": {}, "worked_off": {"per_request": 4}})
    'Batching: asked for serial_bundle; worked off as per_request (4).'
    """
    asked = "no mode asked for" if block["hint"] is None else f"asked for {block['hint']}"
    worked = _counts(block["worked_off"])
    hints = f"; hints to the LPS {_counts(block['hints_carried'])}" if block["hints_carried"] else ""
    return f"Batching: {asked}{hints}; " + (f"worked off as {worked}." if worked else "nobody was asked.")


def batching_problem(block: Mapping[str, Any]) -> str | None:
    """Return why the batching is not what was asked for; None where it is, or where nobody can tell.

    >>> batching_problem({"hint": "serial_bundle", "hints_carried": {}, "worked_off": {"per_request": 4}})
    'serial_bundle was asked for, and 4 of 4 callbacks were worked off otherwise (per_request).'
    """
    worked: Mapping[str, int] = block["worked_off"]
    if len(worked.keys() - {NOT_STATED}) > 1:
        return f"the queue changed its mode during the run: {_counts(worked)}."
    if block["hint"] is None:
        return None
    wanted = QUEUE_MODES[LLMBatchingMode(block["hint"])].value
    strange = {mode: count for mode, count in worked.items() if mode not in (wanted, NOT_STATED)}
    if not strange:
        return None
    others, whole = sum(strange.values()), sum(worked.values())
    return (
        f"{block['hint']} was asked for, and {others} of {whole} callbacks were worked off otherwise "
        f"({', '.join(strange)})."
    )


def overrides_of(facts: RunFacts) -> dict[str, Any]:
    """Return what the run overrode, by name: what its request says, or whom an embedded run asked by name.

    A text is shown by its length.
    """
    asked = facts.options.overrides().model_dump(mode="json", exclude_none=True)
    if facts.asked is not None:
        judge = facts.asked.judge
        if judge.get("kind") == DEPLOYED and facts.request is not None:
            asked = facts.request["data"].get("llm_config_overrides") or {}
        asked |= {f"{name}_override": judge[name] for name in ("provider", "model") if name in judge}
    found = {name: f"{len(value)} characters" if name in TEXTS else value for name, value in asked.items()}
    if facts.options.max_comparisons is not None:
        found["max_comparisons"] = facts.options.max_comparisons
    return found


def overrides_words(found: Mapping[str, Any]) -> str:
    """Return overrides as a line of a summary.

    >>> overrides_words({"model_override": "gpt-5.1", "max_comparisons": 30}), overrides_words({})
    ('Overrides: model gpt-5.1, max_comparisons 30.', 'Overrides: none.')
    """
    words = [f"{name.removesuffix('_override')} {value}" for name, value in found.items()]
    return f"Overrides: {', '.join(words) or NOTHING}."


def _counts(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in counted.items())
