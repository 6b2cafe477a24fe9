"""This module drives one batch from its first wave to its last decision: the loop between engine and judge.

It is the only place where the engine's effects are carried out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.engine.effects import SubmitWave
from cj_pipeline.engine.engine import advance, start
from cj_pipeline.engine.state import Batch, State

if TYPE_CHECKING:
    from cj_pipeline.runs.judges import Judge

Progress = Callable[[int], None]
"""Called with the number of comparisons answered since the last call."""


async def run_batch(
    batch: Batch, judge: Judge, progress: Progress | None = None
) -> tuple[State, tuple[CallbackEvent, ...]]:
    """Drive a batch to its end, or to where its judge falls silent.

    Returns the state (unfinished in the second case) and every callback in order of arrival.
    """
    events: list[CallbackEvent] = []
    state, effects = start(batch)
    while waves := [effect for effect in effects if isinstance(effect, SubmitWave)]:
        effects = ()
        for wave in waves:
            async for event in judge.judge(batch, wave):
                events.append(event)
                state, more = advance(state, [event.data])
                effects += more
                if progress is not None:
                    progress(1)
    return state, tuple(events)
