"""Batches that the CJ service ran, kept in a database, with the callbacks as they were on the topic.

Here: running one in virtual time and keeping what came of it. Not here: assertions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cj_pipeline.contracts.callback import CallbackEvent, parse_callback
from cj_pipeline.contracts.cj_events import CJ_COMPLETED_TOPIC
from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.runs.virtual_time import run_real, run_virtual
from cj_pipeline.services.cj.store.tables import comparison_pairs, processed_essays
from tests.services.cj.lab import request, world
from tests.services.cj.test_batches import with_assignment


@dataclass(frozen=True)
class Kept:
    """A finished batch. callbacks: as they were on the topic; scores: by essay id, as stored."""

    url: str
    callbacks: tuple[CallbackEvent, ...]
    pairs: list[dict[str, Any]]
    scores: dict[str, float]


def kept_batch(url: str, essays: int = 6, *, graded: bool = False, **given: Any) -> Kept:
    """Run batch `bos-1` to its end in a database of its own. graded: with the eight anchors of the Swedish scale."""

    async def script() -> Kept:
        async with world("cj_generic_batch" if "mode" not in given else given.pop("mode"), url=url, **given) as w:
            if graded:
                await with_assignment(w)
            await w.ask(request(essays, **({"assignment_id": "assignment-1"} if graded else {})))
            async with w.service():
                await w.next_event(CJ_COMPLETED_TOPIC)
            events = [parse_callback(message.value) for message in w.bus._logs[COMPARISON_RESULT_TOPIC]]
            rows = await w.rows(processed_essays)
            return Kept(
                url,
                tuple(event for event in events if isinstance(event, CallbackEvent)),
                await w.rows(comparison_pairs),
                {row["els_essay_id"]: row["current_bt_score"] for row in rows},
            )

    return run_virtual(script()) if url.startswith("sqlite") else run_real(script())
