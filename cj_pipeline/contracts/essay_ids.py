"""This module holds the rule that makes a well-formed callback one that can be replayed: it names two essays."""

from __future__ import annotations

from collections.abc import Mapping

from cj_pipeline.contracts.callback import Rejection

ESSAY_KEYS = ("essay_a_id", "essay_b_id")


def essay_rejection(request_metadata: Mapping[str, object]) -> Rejection | None:
    """Return why a replay could not tell which essays were compared; None when it can."""
    essays = request_metadata.get("essay_a_id"), request_metadata.get("essay_b_id")
    for key, essay in zip(ESSAY_KEYS, essays, strict=True):
        if not isinstance(essay, str):
            return Rejection(field=f"data.request_metadata.{key}", reason="missing, or not a string")
        if not essay:
            return Rejection(field=f"data.request_metadata.{key}", reason="empty")
    if essays[0] == essays[1]:
        return Rejection(field="data.request_metadata.essay_b_id", reason="the same essay as essay_a_id")
    return None
