"""This module takes what a callback says about pupils out of it: a callback in, the line that is kept out.

What is kept is named; everything else goes. Essays, batches and requests get pseudonyms; justifications, messages and
traces of calls go; hints and counts stay where they have the wire's types and words. Every key of the wire stays in its
place, with a word for a text, so that the redacted callback has the same shape. Counted is how much went, never what: a
key can be a name too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from cj_pipeline.contracts.callback import CallbackEvent, callback_json
from cj_pipeline.traces.redaction.pseudonyms import Cache, Pseudonyms
from cj_pipeline.traces.redaction.scenario import redacted_grades, redacted_scenario, without_texts
from cj_pipeline.traces.redaction.vocabulary import (
    ERROR_CODES,
    FIGURES,
    OPERATIONS,
    SERVICES,
    SOURCES,
    is_figure,
    is_model,
    is_row_number,
    may_stay,
)
from cj_pipeline.traces.redaction.wire import (
    ENVELOPE_KEYS,
    ERROR_KEYS,
    METADATA_TYPES,
    RESULT_KEYS,
    TOKEN_KEYS,
    USAGE_KEYS,
)
from cj_pipeline.traces.redaction_policy import REDACTED, Justifications, RedactionPolicy

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from cj_pipeline.traces.scenario import Scenario

Document = dict[str, Any]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Document).decode


@dataclass(frozen=True, slots=True)
class Redaction:
    """A policy and a key, at work. For one thread at a time; `dropped` is this instance's own count.

    public_models: names that stay although they are not made like a model's, since a person gave them for one.
    dropped: `fields` and `metadata_keys` that are gone; `words` that were replaced because no list knows them;
    `error_texts` and `error_details` that are gone.
    """

    policy: RedactionPolicy
    pseudonyms: Pseudonyms
    public_models: frozenset[str] = frozenset()
    dropped: Counter[str] = field(default_factory=Counter, compare=False)
    _models: Cache = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_models", Cache(self._model))

    @property
    def key_id(self) -> str:
        """Return 8 hex digits that name the key."""
        return self.pseudonyms.key_id

    def essay(self, essay_id: str) -> str:
        """Return the pseudonym of an essay. Raises SamePseudonym."""
        return self.pseudonyms.essays[essay_id]

    def batch(self, bos_batch_id: str) -> str:
        """Return a batch id as it may be kept."""
        return self.pseudonyms.batches[bos_batch_id]

    def model(self, model: str) -> str:
        """Return a model's name where it is made like one; a pseudonym otherwise."""
        return self._models[model]

    def message_digest(self, raw: bytes) -> str:
        """Return a digest under the key of a message that is not kept."""
        return self.pseudonyms.message(raw)

    def grades(self, scale: Sequence[str]) -> dict[str, str]:
        """Return what the grades of a scale become, best to worst."""
        return redacted_grades(scale)

    def scenario(self, scenario: Scenario, scenario_id: str, mode: str) -> Scenario:
        """Return a scenario under the names of its redacted copy."""
        return redacted_scenario(scenario, scenario_id, self, mode)

    def scenario_of_pseudonyms(self, scenario: Scenario) -> Scenario:
        """Return a scenario whose essays have pseudonyms already, without what people wrote into it since."""
        return without_texts(scenario)

    def line(self, event: CallbackEvent) -> bytes:
        """Return the callback's redacted JSON, without a newline, bare where it came bare. The callback stays as it is.

        Raises SamePseudonym.
        """
        document = _decode(callback_json(event))
        if event.bare:
            return _encode(self._result(document))
        document = self._known(document, ENVELOPE_KEYS)
        self._replace(document, "source_service", SERVICES)
        self._replace(document, "data_schema_uri", ())
        if isinstance(stated := document.get("metadata"), dict):
            self.dropped["fields"] += len(stated)
            document["metadata"] = {}
        document["data"] = self._result(document["data"])
        return _encode(document)

    def _result(self, data: Document) -> Document:
        data = self._known(data, RESULT_KEYS)
        data["request_id"] = self.pseudonyms.request(data["request_id"])
        data["model"] = self._models[data["model"]]
        data["token_usage"] = self._known(data["token_usage"], TOKEN_KEYS)
        self._replace(data, "trace_id", ())
        if justification := data.get("justification"):
            data["justification"] = self._justification(justification)
        if error := data.get("error_detail"):
            data["error_detail"] = self._error(self._known(error, ERROR_KEYS))
        data["request_metadata"] = self._metadata(data["request_metadata"])
        return data

    def _justification(self, text: str) -> str:
        if self.policy.justifications is Justifications.KEEP:
            return text
        return self.pseudonyms.text(text) if self.policy.justifications is Justifications.HASH else REDACTED

    def _metadata(self, stated: Document) -> Document:
        kept: Document = {}
        for key, value in stated.items():
            fits = METADATA_TYPES.get(key)
            if fits is not None and fits(value):
                kept[key] = self._metadata_value(key, value)
            elif key in self.policy.allowed_keys:
                kept[key] = value
            elif fits is not None and is_figure(value):
                # Where the wire wants words, a figure is a name as well: a date of birth, a number of a class list.
                kept[key] = value if value is None or key in FIGURES else type(value)(0)
            else:
                self.dropped["metadata_keys"] += 1
        return kept

    def _metadata_value(self, key: str, value: Any) -> Any:
        if key in ("essay_a_id", "essay_b_id"):
            return self.pseudonyms.essays[value]
        if key == "usage":
            return self._known(value, USAGE_KEYS)
        # An empty text says nothing and may stay.
        if key == "bos_batch_id" and value:
            return self.pseudonyms.batches[value]
        if key == "cj_batch_id" and value:
            return value if is_row_number(value) else self.pseudonyms.batches[value]
        if key == "resolved_model" and value:
            return self._models[value]
        if key == "prompt_sha256" and value:
            return self.pseudonyms.prompt(value)
        if key == "cj_source" and value and value not in SOURCES:
            return self._word()
        return value

    def _error(self, error: Document) -> Document:
        code = error["error_code"]
        # Still a code, and equal for equal ones: failures are counted by it.
        code = code if code in ERROR_CODES else f"OTHER_{self.pseudonyms.of('error code', code).upper()}"
        self.dropped["error_texts"] += bool(error["message"])
        error |= {"error_code": code, "message": f"{REDACTED} ({code})"}
        self._replace(error, "service", SERVICES)
        self._replace(error, "operation", OPERATIONS)
        for key in ("stack_trace", "trace_id", "span_id"):
            if error.get(key):
                self.dropped["error_texts"] += 1
                error[key] = REDACTED
        if (details := error.get("details")) is not None:
            error["details"] = {key: value for key, value in details.items() if may_stay(key, value)}
            self.dropped["error_details"] += len(details) - len(error["details"])
        return error

    def _known(self, document: Document, keys: AbstractSet[str]) -> Document:
        """Return the part of an object that the wire has keys for; the rest is counted."""
        if document.keys() <= keys:
            return document
        kept = {key: value for key, value in document.items() if key in keys}
        self.dropped["fields"] += len(document) - len(kept)
        return kept

    def _replace(self, document: Document, key: str, allowed: AbstractSet[str] | tuple[()]) -> None:
        """Put a word in the place of a text that no list knows."""
        if (text := document.get(key)) and text not in allowed:
            document[key] = self._word()

    def _word(self) -> str:
        self.dropped["words"] += 1
        return REDACTED

    def _model(self, model: str) -> str:
        return (
            model if model in self.public_models or is_model(model) else f"model-{self.pseudonyms.of('model', model)}"
        )
