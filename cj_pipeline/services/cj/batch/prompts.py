"""This module makes the requests of a stored batch's wave, with the context of its assignment.

A request follows from the database alone, byte for byte, so a wave that is sent again after a crash is the same wave
to the LPS. Neither an essay's id nor an anchor's label is in it but for the metadata, which no judge is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from sqlalchemy import select

from cj_pipeline.contracts.comparison import ComparisonRequest, PromptBlock
from cj_pipeline.engine.effects import SubmitWave
from cj_pipeline.engine.state import Batch, Comparison
from cj_pipeline.engine.waves.requests import comparison_request
from cj_pipeline.services.cj.batch.stored_batch import LockedBatch
from cj_pipeline.services.cj.intake.request_record import RequestRecord
from cj_pipeline.services.cj.store.database import Transaction
from cj_pipeline.services.cj.store.tables import processed_essays

Requests = Mapping[UUID, ComparisonRequest]


@dataclass(frozen=True, slots=True)
class Prompts:
    """Builds requests. callback_topic: where the LPS is to answer."""

    callback_topic: str

    async def of_wave(self, transaction: Transaction, stored: LockedBatch, batch: Batch, wave: SubmitWave) -> Requests:
        """Return a wave's requests, by correlation id."""
        return await self.of(transaction, stored.request, batch, wave.comparisons, len(wave.comparisons))

    async def of(
        self,
        transaction: Transaction,
        record: RequestRecord,
        batch: Batch,
        comparisons: Iterable[Comparison],
        wave_size: int,
    ) -> Requests:
        """Return the requests of some of a wave's comparisons, by correlation id."""
        wanted = list(comparisons)
        texts = await _texts(transaction, batch.cj_batch_id, {essay for c in wanted for essay in c.pair})
        context = context_block(record)
        requests = {}
        for comparison in wanted:
            request = comparison_request(
                comparison,
                batch=batch,
                wave_size=wave_size,
                texts=texts,
                overrides=record.llm_config_overrides,
                callback_topic=self.callback_topic,
            )
            blocks = [_hashed(block) for block in (*context, *(request.prompt_blocks or ()))]
            requests[comparison.correlation_id] = request.model_copy(
                update={
                    "prompt_blocks": tuple(blocks),
                    "user_prompt": "\n\n".join(block.content for block in blocks),
                    "user_id": record.user_id,
                }
            )
        return requests


def context_block(record: RequestRecord) -> tuple[PromptBlock, ...]:
    """Return what all comparisons of a batch share, as one block that a provider can cache; none when it is empty."""
    sections = (
        ("Student Assignment", record.student_prompt_text),
        ("Assessment Criteria", record.instructions_text),
        ("Judge Instructions", record.judge_rubric_text),
    )
    found = [f"{heading}:\n{text.strip()}" for heading, text in sections if text is not None and text.strip()]
    return (PromptBlock(content="\n\n".join(found), cacheable=True, ttl="5m"),) if found else ()


def _hashed(block: PromptBlock) -> PromptBlock:
    digest = sha256(block.content.encode()).hexdigest()
    return PromptBlock.model_validate({**block.model_dump(), "content_hash": digest})


async def _texts(transaction: Transaction, cj_batch_id: int, essays: set[str]) -> dict[str, str]:
    rows = await transaction.all(
        select(processed_essays.c.els_essay_id, processed_essays.c.assessment_input_text).where(
            processed_essays.c.cj_batch_id == cj_batch_id, processed_essays.c.els_essay_id.in_(sorted(essays))
        )
    )
    return {row.els_essay_id: row.assessment_input_text for row in rows}
