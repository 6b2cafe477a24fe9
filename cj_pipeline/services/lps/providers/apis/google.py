"""This module speaks Google's generateContent API: the payload of a comparison, and its reply."""

from __future__ import annotations

from typing import Any

from cj_pipeline.contracts.enums import Provider, Winner
from cj_pipeline.services.lps.providers.apis.api import (
    ApiCall,
    Reply,
    max_tokens,
    temperature,
)
from cj_pipeline.services.lps.providers.apis.asking import effort, literal_effort, merged
from cj_pipeline.services.lps.providers.apis.structure import FORMAT_INSTRUCTION, needs_words
from cj_pipeline.services.lps.providers.apis.verdict import (
    CONFIDENCE_DESCRIPTION,
    JUSTIFICATION_DESCRIPTION,
    WINNER_DESCRIPTION,
    verdict_schema,
)
from cj_pipeline.services.lps.providers.endpoint import Timeouts, endpoint_of
from cj_pipeline.services.lps.providers.model import EffortShape, Model, StructuredOutput
from cj_pipeline.services.lps.providers.prompts import shown_prompt
from cj_pipeline.services.lps.providers.replies.google import read_generated_content
from cj_pipeline.services.lps.providers.settings import ProviderSettings
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest

# The budgets that Google's own OpenAI-compatible endpoint gives these words.
_THINKING_BUDGETS = {"none": 0, "low": 1024, "medium": 8192, "high": 24_576}
_VERDICT_TOKENS = 256


class GoogleApi:
    """JSON by MIME type and response schema. The key travels in a header: URLs end up in logs."""

    name = Provider.GOOGLE
    timeouts = Timeouts(total_s=40, connect_s=6, read_s=30)

    def __init__(self, settings: ProviderSettings) -> None:
        self._settings = settings
        self.default_model = settings.google_default_model
        self.endpoint = endpoint_of(settings, self.name)

    def call(self, request: QueuedRequest, model: Model, structure: StructuredOutput | None = None) -> ApiCall:
        """One generated content."""
        return ApiCall(
            url=self.endpoint.url(f"/{model.api_version}/models/{model.model_id}:generateContent", model),
            headers=self.endpoint.authorised({}, model),
            payload=self.payload(request, model, structure),
            max_tokens=max_tokens(request.overrides, self._settings, model),
        )

    def payload(
        self, request: QueuedRequest, model: Model, structure: StructuredOutput | None = None
    ) -> dict[str, Any]:
        """The body of the call."""
        overrides = request.overrides
        structure = structure or model.structures()[0]
        limit = max_tokens(overrides, self._settings, model)
        generation: dict[str, Any] = {"maxOutputTokens": limit, **_shape(structure)}
        warmth = temperature(overrides, self._settings, model)
        if warmth is not None:
            generation["temperature"] = warmth
        literal, thinking = literal_effort(overrides, model), effort(overrides, model)
        if literal is None and thinking is not None:
            generation["thinkingConfig"] = _thinking(thinking, model, limit)
        payload: dict[str, Any] = {
            "contents": [{"role": "user", "parts": [{"text": shown_prompt(self.name, request.request)}]}],
            "generationConfig": generation,
        }
        system = overrides.system_prompt_override or ""
        if needs_words(structure, own_server=self.endpoint.of(model).is_the_providers_own):
            system = "\n\n".join(part for part in (system, FORMAT_INSTRUCTION) if part)
        if system:
            payload["systemInstruction"] = {"parts": [{"text": system}]}
        return merged(merged(payload, literal or {}), model.request)

    def read(self, body: bytes) -> Reply:
        """See `Api.read`."""
        return read_generated_content(body)


def _thinking(word: str, model: Model, limit: int) -> dict[str, Any]:
    if model.effort_shape is EffortShape.THINKING_LEVEL:
        return {"thinkingLevel": word}
    # Thoughts count as output: a budget of all of it would leave nothing for the verdict.
    return {"thinkingBudget": min(_THINKING_BUDGETS.get(word, 0), max(0, limit - _VERDICT_TOKENS))}


def _shape(structure: StructuredOutput) -> dict[str, Any]:
    match structure:
        case StructuredOutput.JSON_SCHEMA:
            return {"responseMimeType": "application/json", "responseJsonSchema": verdict_schema()}
        case StructuredOutput.JSON_MIME_TYPE:
            return {"responseMimeType": "application/json", "responseSchema": _response_schema()}
        case StructuredOutput.JSON_OBJECT:
            return {"responseMimeType": "application/json"}
        case _:
            return {}


def _response_schema() -> dict[str, Any]:
    """The verdict in the API's own schema language, which takes neither maxLength nor additionalProperties."""
    return {
        "type": "OBJECT",
        "properties": {
            "winner": {
                "type": "STRING",
                "enum": [winner.value for winner in Winner],
                "description": WINNER_DESCRIPTION,
            },
            "justification": {"type": "STRING", "description": JUSTIFICATION_DESCRIPTION},
            "confidence": {"type": "NUMBER", "description": CONFIDENCE_DESCRIPTION},
        },
        "required": ["winner", "justification", "confidence"],
        "propertyOrdering": ["winner", "justification", "confidence"],
    }
