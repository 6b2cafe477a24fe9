"""What the judge is shown: the assignment, two texts, and nobody's name."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from cj_pipeline.contracts.cj_events import CJ_COMPLETED_TOPIC
from cj_pipeline.contracts.comparison import LLMConfigOverrides
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.cj.batch.prompts import context_block
from cj_pipeline.services.cj.intake.assignments import Instructions, register_anchor, register_instructions
from cj_pipeline.services.cj.intake.request_record import RequestRecord
from cj_pipeline.services.cj.settings import SYSTEM_PROMPT
from cj_pipeline.services.cj.store.tables import comparison_pairs
from tests.services.cj.lab import World, request, world


async def bodies(w: World, **data: Any) -> list[dict[str, Any]]:
    await w.ask(request(3, **data))
    async with w.service():
        await w.next_event(CJ_COMPLETED_TOPIC)
    return list(w.lps.bodies.values())


def test_no_id_and_no_label_is_in_what_the_judge_reads() -> None:
    async def script() -> None:
        async with world() as w:
            async with w.database.transaction() as transaction:
                instructions = Instructions(
                    "Reward ideas.", "swedish_8_anchor", "x", "assignment-1", None, "prompt", "rubric"
                )
                await register_instructions(transaction, instructions, w.clock)
                for grade in ("A", "C", "E"):
                    await register_anchor(
                        transaction,
                        assignment_id="assignment-1",
                        anchor_label=f"label-{grade}",
                        grade=grade,
                        grade_scale="swedish_8_anchor",
                        text_storage_id=f"anchor-text-{grade}",
                        clock=w.clock,
                    )
            sent = await bodies(w, assignment_id="assignment-1")
            assert any(body["metadata"]["essay_a_id"].startswith("ANCHOR_") for body in sent)
            for body in sent:
                shown = (
                    body["user_prompt"] + json.dumps(body["prompt_blocks"]) + json.dumps(body["llm_config_overrides"])
                )
                for name in ("ANCHOR_", "essay-0", "label-", "anchor-text", "bos-1", "teacher-1"):
                    assert name not in shown

    run_virtual(script())


def test_the_blocks_are_context_a_b_instructions_and_together_the_prompt() -> None:
    async def script() -> None:
        async with world() as w:
            w.texts.kept = {
                "the-prompt": "Describe a storm.\x00",
                "text-00": "First.",
                "text-01": "Second.",
                "text-02": "Third.",
            }
            prompt = {"references": {"student_prompt_text": {"storage_id": "the-prompt", "path_hint": ""}}}
            sent = await bodies(
                w, student_prompt_ref=prompt, llm_config_overrides={"judge_rubric_override": "Reward ideas."}
            )
            texts = {f"essay-{number:02d}": text for number, text in enumerate(("First.", "Second.", "Third."))}
            for body in sent:
                context, a, b, instructions = body["prompt_blocks"]
                assert (
                    context["content"] == "Student Assignment:\nDescribe a storm.\n\nJudge Instructions:\nReward ideas."
                )
                assert texts[body["metadata"]["essay_a_id"]] in a["content"]
                assert texts[body["metadata"]["essay_b_id"]] in b["content"]
                assert [block["cacheable"] for block in (context, a, b, instructions)] == [True, False, False, True]
                assert body["user_prompt"] == "\n\n".join(block["content"] for block in body["prompt_blocks"])
                for block in body["prompt_blocks"]:
                    assert block["content_hash"] == sha256(block["content"].encode()).hexdigest()
                assert body["llm_config_overrides"]["system_prompt_override"] == SYSTEM_PROMPT
            rows = await w.rows(comparison_pairs)
            assert {row["prompt_text"] for row in rows} == {body["user_prompt"] for body in sent}

    run_virtual(script())


def test_without_a_context_there_is_no_block_for_it() -> None:
    record = RequestRecord(
        language="en", course_code="ENG5", user_id="u", llm_config_overrides=LLMConfigOverrides(), instructions_text=" "
    )
    assert context_block(record) == ()
    (block,) = context_block(record.model_copy(update={"instructions_text": "Ideas."}))
    assert block.content == "Assessment Criteria:\nIdeas."
