"""This module builds what a manifest says about how a model is asked: effort, and literal parts of the body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cj_pipeline.contracts.comparison import LLMConfigOverrides
from cj_pipeline.contracts.enums import ReasoningEffort
from cj_pipeline.services.lps.providers.model import EffortShape, Model

# Left out, these mean some effort: a model that always reasons is asked for its least.
_NEVER_SILENT = (EffortShape.REASONING_EFFORT, EffortShape.THINKING_LEVEL)
_LEAST_FIRST = ("none", "minimal", "low", "medium", "high")


def merged(body: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body with a change laid over it, as RFC 7396 says: mappings merge, null removes.

    >>> merged({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": None}, "e": 4})
    {'a': {'c': 2}, 'd': 3, 'e': 4}
    """
    result = dict(body)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            below = result.get(key)
            result[key] = merged(below if isinstance(below, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def effort(overrides: LLMConfigOverrides, model: Model) -> str | None:
    """The model's own literal for the effort asked for; None when there is nothing to send."""
    asked = overrides.reasoning_effort
    if asked is None:
        return None
    if asked.value in model.reasoning_efforts:
        return asked.value
    if asked is not ReasoningEffort.NONE:
        return None
    if "minimal" in model.reasoning_efforts or model.effort_shape in _NEVER_SILENT:
        return next((word for word in _LEAST_FIRST if word in model.reasoning_efforts), None)
    return None


def literal_effort(overrides: LLMConfigOverrides, model: Model) -> dict[str, Any] | None:
    """What the manifest writes out for the effort asked for; None where it leaves that to the shape."""
    asked = overrides.reasoning_effort
    if asked is None:
        return None
    for word in (asked.value, effort(overrides, model)):
        if word in model.effort_requests:
            return model.effort_requests[word]
    return None
