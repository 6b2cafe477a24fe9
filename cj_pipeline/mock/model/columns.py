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
    columns = {field.name: getattr(answers, field.name) for field in fields(Answers)}
    return Answers(
        **{
            name: column[where] if isinstance(column, np.ndarray) else tuple(compress(column, where))
            for name, column in columns.items()
        }
    )


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
    columns = {
        field.name: [getattr(part, field.name) for part in parts] for field in fields(Answers) if field.name != "batch"
    }
    return Answers(
        batch=np.concatenate([part.batch + start for part, start in zip(parts, first, strict=True)]),
        **{
            name: np.concatenate(column) if isinstance(column[0], np.ndarray) else tuple(chain.from_iterable(column))
            for name, column in columns.items()
        },
    )
