"""This module chooses and joins answers that are kept as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from itertools import chain, compress
from typing import Any

import numpy as np

from cj_pipeline.mock.model.answers import Answers, BoolArray, IntArray


def chosen(answers: Answers, where: BoolArray) -> Answers:
    """Return some of the answers, in their order. where: (n,) which."""
    columns: dict[str, Any] = {}
    for field in fields(Answers):
        column = getattr(answers, field.name)
        columns[field.name] = column[where] if isinstance(column, np.ndarray) else tuple(compress(column, where))
    return Answers(**columns)


def taken(answers: Answers, rows: IntArray) -> Answers:
    """Return answers by their places, each as often as it is named."""
    columns: dict[str, Any] = {}
    for field in fields(Answers):
        column = getattr(answers, field.name)
        columns[field.name] = tuple(column[row] for row in rows.tolist()) if isinstance(column, tuple) else column[rows]
    return Answers(**columns)


def joined(parts: Sequence[Answers]) -> Answers:
    """Return the answers of several recordings one after the other, each batch of each with a number of its own."""
    if len(parts) == 1:
        return parts[0]
    first = np.cumsum([0, *(int(part.batch.max(initial=-1)) + 1 for part in parts[:-1])])
    columns: dict[str, Any] = {
        "batch": np.concatenate([part.batch + start for part, start in zip(parts, first, strict=True)])
    }
    for field in fields(Answers):
        if field.name != "batch":
            column = [getattr(part, field.name) for part in parts]
            is_array = isinstance(column[0], np.ndarray)
            columns[field.name] = np.concatenate(column) if is_array else tuple(chain.from_iterable(column))
    return Answers(**columns)
