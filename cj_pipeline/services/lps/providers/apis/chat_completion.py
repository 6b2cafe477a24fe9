"""This module holds how Chat Completions are asked, which OpenAI defined and OpenRouter and others speak too."""

from __future__ import annotations

from typing import Any

from cj_pipeline.services.lps.providers.apis.verdict import verdict_schema
from cj_pipeline.services.lps.providers.model import Model, StructuredOutput


def chat_messages(system: str, user: str, model: Model) -> list[dict[str, str]]:
    """The turns of a comparison. system: may be empty."""
    if not system:
        return [{"role": "user", "content": user}]
    if not model.supports_system_prompt:
        return [{"role": "user", "content": f"{system}\n\n{user}"}]
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def response_format(structure: StructuredOutput) -> dict[str, Any]:
    """The part of the body that asks for a shape; nothing where the prompt alone does."""
    if structure is StructuredOutput.JSON_SCHEMA:
        schema = {"name": "comparison_result", "strict": True, "schema": verdict_schema()}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    if structure is StructuredOutput.JSON_OBJECT:
        return {"response_format": {"type": "json_object"}}
    return {}
