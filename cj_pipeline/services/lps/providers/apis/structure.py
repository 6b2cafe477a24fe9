"""This module decides how a model is asked for an answer of a given shape, and learns what its server refuses.

A server that speaks an API need not take all of it: LM Studio refuses `json_object`, DeepSeek `json_schema`, and a
small one both. The first refusal costs nothing; the next milder way is tried at once, and kept once it has worked.
"""

from __future__ import annotations

import logging
import re

from cj_pipeline.contracts.callback import MAX_JUSTIFICATION_WORDS
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.services.lps.providers.model import Model, StructuredOutput

_log = logging.getLogger(__name__)

# Without these words a model that is held to no schema would have to guess the keys.
FORMAT_INSTRUCTION = (
    'Answer with one JSON object and nothing else: "winner" is "Essay A" or "Essay B", "justification" says why in at'
    f' most {MAX_JUSTIFICATION_WORDS} words, "confidence" is a number from 1 (a guess) to 5 (certain).'
)

_BAD_REQUEST, _NOT_IMPLEMENTED, _UNPROCESSABLE = 400, 501, 422
_NAMED = re.compile(
    rb"response_?format|json_?schema|json_?object|response_?(?:mime|json|schema)|structured|grammar|guided|tool|output_config",
    re.IGNORECASE,
)


def needs_words(structure: StructuredOutput, *, own_server: bool) -> bool:
    """Return whether the prompt must say which JSON. own_server: of the provider, which keeps to a schema it takes.

    Of others some ignore it and say nothing; there two thirds of the answers of a small model had wrong keys.
    """
    held = (StructuredOutput.JSON_SCHEMA, StructuredOutput.JSON_MIME_TYPE, StructuredOutput.TOOL_USE)
    return structure not in held or not own_server


class LearnedStructures:
    """What the models of one provider turned out to take."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._learned: dict[str, StructuredOutput] = {}

    def of(self, model: Model) -> StructuredOutput:
        """Return how to ask a model first."""
        return self._learned.get(model.model_id, model.structures()[0])

    def milder(self, model: Model, refused: StructuredOutput, status: int, body: bytes) -> StructuredOutput | None:
        """Return how to ask instead after a refusal; None when it was about something else, or nothing is left."""
        if status not in (_BAD_REQUEST, _NOT_IMPLEMENTED, _UNPROCESSABLE) or not _NAMED.search(body):
            return None
        ways = model.structures()
        left = ways[ways.index(refused) + 1 :] if refused in ways else ()
        return left[0] if left else None

    def worked(self, model: Model, structure: StructuredOutput) -> None:
        """Keep what a model has answered to."""
        if structure is self.of(model):
            return
        if structure is model.structures()[0]:
            del self._learned[model.model_id]  # what was refused before was something else
            return
        self._learned[model.model_id] = structure
        _log.warning(
            "%s does not take structured output by %s for %s; it is asked by %s from now on",
            self._provider.value,
            model.structures()[0].value,
            model.model_id,
            structure.value,
            extra={"remedy": f"set structured_output_method: {structure.value} in the manifest"},
        )
