"""The embedded twin of a batch that a deployed stack has judged: the same request, in this process and in virtual time.

Here: making it, and what both answered side by side. Not here: driving the deployed batch (drive.py).

A mock's answer follows from mode, seed, correlation id and attempt; a correlation id from the batch's id, its seed and
the comparison's place; both seeds from the scenario and the request. So the twin asks under the very same ids, and its
winners are not like those of the deployed batch but the same, pair by pair, or something between the two is broken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.contracts.els_request import AssessmentRequestEvent
from cj_pipeline.engine.state import State
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.runs.batch_run import run_batch
from cj_pipeline.runs.judges import ProviderJudge
from cj_pipeline.runs.stack import embedded_stack
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.cj.new_batch import batch_of, judge_of
from cj_pipeline.services.cj.settings import CjSettings
from cj_pipeline.services.lps.settings import LpsSettings

# Of virtual time: a batch that takes longer has stalled.
_BUDGET_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Twin:
    """The batch as the embedded stack judged it."""

    state: State
    events: tuple[CallbackEvent, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two sides, answer by answer. Counts of comparisons.

    asked: by either side; same_pair, same_prompt, same_winner: by both, and alike in that; a failure is an answer too.
    differing: correlation ids of the first that are not alike in all three, at most ten.
    """

    asked: int
    same_pair: int
    same_prompt: int
    same_winner: int
    differing: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether every comparison is alike in everything."""
        return self.asked > 0 and self.asked == self.same_pair == self.same_prompt == self.same_winner


def twin_of(
    event: AssessmentRequestEvent,
    texts: Mapping[str, str],
    cj_settings: Mapping[str, Any],
    lps_settings: Mapping[str, Any],
    *,
    cj_batch_id: int,
) -> Twin:
    """Judge the request's batch on an embedded stack under the settings of both services.

    texts: by essay id; cj_settings, lps_settings: by the names of CjSettings and LpsSettings, where not the defaults.
    """
    settings = CjSettings.model_validate(dict(cj_settings))
    batch = batch_of(event, texts, settings, cj_batch_id=cj_batch_id)
    # A queue in Redis changes no answer, and must not be shared with the service whose twin this is.
    queue = {"queue_backend": "memory", "publish_llm_usage_events": False}
    lps = LpsSettings.model_validate(dict(lps_settings) | queue)

    async def judged() -> Twin:
        async with embedded_stack(lps, load_mode(lps.mock_mode), origin=event.event_timestamp) as stack:
            topic = settings.llm_provider_callback_topic
            judge = ProviderJudge(
                stack.client,
                await stack.listen(topic),
                callback_topic=topic,
                overrides=judge_of(event.data, settings),
                texts=texts,
                budget_s=_BUDGET_S,
            )
            return Twin(*await run_batch(batch, judge))

    return run_virtual(judged())


def agreement(deployed: Sequence[CallbackEvent], embedded: Sequence[CallbackEvent]) -> Agreement:
    """Hold the answers of both sides together, by correlation id; of several answers to one, the first counts."""
    left, right = _by_id(deployed), _by_id(embedded)
    pairs = prompts = winners = 0
    differing: list[str] = []
    for correlation_id in sorted(left.keys() | right.keys()):
        here, there = left.get(correlation_id), right.get(correlation_id)
        if here is None or there is None:
            differing.append(str(correlation_id))
            continue
        same = [_pair(here) == _pair(there), _prompt(here) == _prompt(there), _answer(here) == _answer(there)]
        pairs += same[0]
        prompts += same[1]
        winners += same[2]
        if not all(same):
            differing.append(str(correlation_id))
    return Agreement(len(left.keys() | right.keys()), pairs, prompts, winners, tuple(differing[:10]))


def _by_id(events: Sequence[CallbackEvent]) -> dict[UUID, CallbackEvent]:
    found: dict[UUID, CallbackEvent] = {}
    for event in events:
        found.setdefault(event.data.correlation_id, event)
    return found


def _pair(event: CallbackEvent) -> tuple[str, str]:
    return event.data.essay_ids()


def _prompt(event: CallbackEvent) -> object:
    return event.data.request_metadata.get("prompt_sha256")


def _answer(event: CallbackEvent) -> tuple[object, object]:
    error = event.data.error_detail
    return event.data.winner, None if error is None else error.error_code
