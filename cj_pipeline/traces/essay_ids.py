"""Which essays a callback compares: the rule that makes a well-formed callback one that can be replayed.

Here: two different strings in the echoed metadata. Not here: whether a scenario knows them (store.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from cj_pipeline.contracts.callback import Rejection

ESSAY_KEYS = ("essay_a_id", "essay_b_id")


def essay_rejection(request_metadata: Mapping[str, object]) -> Rejection | None:
    """Why a replay could not tell which essays were compared; None when it can."""
    for key in ESSAY_KEYS:
        if not isinstance(request_metadata.get(key), str):
            return Rejection(field=f"data.request_metadata.{key}", reason="missing, or not a string")
    essay_a, essay_b = (request_metadata[key] for key in ESSAY_KEYS)
    if essay_a == essay_b:
        return Rejection(field="data.request_metadata.essay_b_id", reason="the same essay as essay_a_id")
    return None
