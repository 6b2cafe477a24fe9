"""This module keeps recorded callbacks as columns, and answers a batch that follows them.

A callback takes some 200 bytes here, and 4 KB as an event.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from uuid import UUID

from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.engine.effects import SubmitWave
from cj_pipeline.engine.engine import advance, start
from cj_pipeline.engine.intake import Verdict
from cj_pipeline.engine.scoring.diagnostics import Judge
from cj_pipeline.engine.state import Batch, State
from cj_pipeline.engine.waves.plan import Asked, Plan, asked_of, plan_of_asked


@dataclass(frozen=True, slots=True)
class AnswerColumns:
    """What a replay reads of callbacks, in their order.

    winners: None for an error. error_codes: None for a winner. retries, iterations: as in `plan.Asked`.
    """

    correlation_ids: tuple[UUID, ...]
    essays_a: tuple[str, ...]
    essays_b: tuple[str, ...]
    retries: tuple[bool, ...]
    iterations: tuple[int | None, ...]
    winners: tuple[Winner | None, ...]
    error_codes: tuple[str | None, ...]
    judges: tuple[Judge, ...]

    def __len__(self) -> int:
        return len(self.correlation_ids)

    def rows(self, order: Sequence[int]) -> AnswerColumns:
        """Return some of the callbacks, in another order."""
        columns = (getattr(self, field.name) for field in fields(self))
        return AnswerColumns(*(tuple(map(column.__getitem__, order)) for column in columns))

    def plan(self) -> Plan:
        """Return the waves that these callbacks answer, under their own ids."""
        columns = (self.correlation_ids, self.essays_a, self.essays_b, self.retries, self.iterations)
        return plan_of_asked((Asked(*row) for row in zip(*columns, strict=True)), keep_ids=True)

    def winning_essay(self, row: int) -> str | None:
        """Return the essay that won; None for an error."""
        winner = self.winners[row]
        return None if winner is None else (self.essays_a if winner is Winner.A else self.essays_b)[row]


def answer_columns(callbacks: Iterable[LLMComparisonResultV1]) -> AnswerColumns:
    """Put callbacks that name their essays into columns, one by one; equal values are kept once."""
    kept: dict[object, object] = {}
    columns: tuple[list[object], ...] = tuple([] for _ in fields(AnswerColumns))
    for callback in callbacks:
        error = callback.error_detail
        values = (
            *asked_of(callback)[1:],
            callback.winner,
            None if error is None else error.error_code,
            (str(callback.provider), callback.model),
        )
        columns[0].append(callback.correlation_id)
        for column, value in zip(columns[1:], values, strict=True):
            column.append(kept.setdefault((type(value), value), value))
    return AnswerColumns(*map(tuple, columns))  # type: ignore[arg-type]


def follow(batch: Batch, answers: AnswerColumns) -> tuple[State, list[int]]:
    """Run a batch that asks for nothing but these answers; return how it ended, and the rows it took, in their order.

    The engine is given all answers of a wave at once.
    """
    first: dict[UUID, int] = {}
    again: defaultdict[UUID, list[int]] = defaultdict(list)
    for row, correlation_id in enumerate(answers.correlation_ids):
        if first.setdefault(correlation_id, row) != row:
            again[correlation_id].append(row)
    order: list[int] = []
    state, effects = start(batch)
    while waves := [effect for effect in effects if isinstance(effect, SubmitWave)]:
        asked = [comparison.correlation_id for wave in waves for comparison in wave.comparisons]
        arrived = [row for one in asked for row in (first[one], *again.get(one, ()))]
        order += arrived
        ids, winners, codes = answers.correlation_ids, answers.winners, answers.error_codes
        state, effects = advance(state, (Verdict(ids[row], winners[row], codes[row]) for row in arrived))
    return state, order
