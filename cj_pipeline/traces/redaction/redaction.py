"""One callback, without what it says about pupils.

Here: a callback in, the line that is kept out. Not here: the names that stand in for others (pseudonyms.py), the words
that may stay (vocabulary.py), whole traces (trace.py).

What is kept is named; everything else goes. Essays, batches and requests get pseudonyms; justifications, messages and
traces of calls go; hints and counts stay where they have the wire's types and words. Every key of the wire stays in its
place, with a word where a text stood, so that the redacted callback has the same shape. Counted is how much went, never
what: a key can be a name too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from msgspec import UNSET, Raw, UnsetType, to_builtins
from msgspec.json import Encoder

from cj_pipeline.traces.redaction.policy import REDACTED, Justifications, RedactionPolicy
from cj_pipeline.traces.redaction.pseudonyms import Kept, Pseudonyms
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
from cj_pipeline.traces.wire_callback import WideCallback, WireCallback, WireError, WireMetadata, WireResult

_encoder = Encoder()

# A struct's own shallow copies: copy.copy takes four times as long to find them.
_copy_callback: Callable[[WireCallback], WireCallback] = WireCallback.__copy__  # type: ignore[attr-defined]
_copy_data: Callable[[WireResult], WireResult] = WireResult.__copy__  # type: ignore[attr-defined]
_copy_metadata: Callable[[WireMetadata], WireMetadata] = WireMetadata.__copy__  # type: ignore[attr-defined]

# 2 KiB: a callback that was redacted is shorter, and a longer one makes it grow.
_LINE_BYTES = 2048


@dataclass(frozen=True, slots=True)
class Redaction:
    """A policy and a key, at work. For one thread at a time; `dropped` is this instance's own count.

    dropped: `fields` and `metadata_keys` that are gone; `words` that were replaced because no list knows them;
    `error_texts` and `error_details` that are gone.
    """

    policy: RedactionPolicy
    pseudonyms: Pseudonyms
    dropped: Counter[str] = field(default_factory=Counter, compare=False)
    _models: Kept = field(init=False, repr=False, compare=False)
    _rows: Kept = field(init=False, repr=False, compare=False)
    _line: bytearray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_models", Kept(self.model))
        object.__setattr__(self, "_rows", Kept(self._row))
        object.__setattr__(self, "_line", bytearray(_LINE_BYTES))

    def __reduce__(self) -> tuple[type[Redaction], tuple[RedactionPolicy, Pseudonyms]]:
        return Redaction, (self.policy, self.pseudonyms)

    def essay(self, essay_id: str) -> str:
        """The pseudonym of an essay."""
        return self.pseudonyms.essays[essay_id]

    def batch(self, bos_batch_id: str) -> str:
        """A batch id as it may be kept."""
        return self.pseudonyms.batches[bos_batch_id]

    def model(self, model: str) -> str:
        """A model's name where it is made like one; a pseudonym otherwise."""
        return model if is_model(model) else f"model-{self.pseudonyms.of('model', model)}"

    def error_code(self, callback: WireCallback) -> str | None:
        """The error code that the callback's line has; None where it has a winner."""
        code = callback.data.error_code
        return None if code is None else self._code(code)

    def line(self, callback: WireCallback) -> bytes:
        """The callback's redacted JSON, without a newline; `read_message` reads it again.

        The callback itself is left as it is. Raises SamePseudonym.
        """
        kept = _copy_callback(callback)
        kept.data = _copy_data(callback.data)
        kept.data.request_metadata = _copy_metadata(callback.data.request_metadata)
        line = self._line
        _encoder.encode_into(self.redact(kept), line)
        return bytes(line)

    def redact(self, callback: WireCallback) -> WireCallback | Raw:
        """What `line` writes, made of the callback itself: msgspec's JSON of it is the same bytes.

        For whoever read the callback and needs it no more: three copies less, a fifth of the time. Its request and
        correlation ids, its times and its figures stay what they were. Raises SamePseudonym, and then it is spoilt.
        """
        data = callback.data
        metadata = data.request_metadata
        pseudonyms = self.pseudonyms
        essays = pseudonyms.essays
        models = self._models
        metadata.essay_a_id = essays[metadata.essay_a_id]
        metadata.essay_b_id = essays[metadata.essay_b_id]
        # UNSET is false. So is an empty text, which may stay.
        if batch := metadata.bos_batch_id:
            metadata.bos_batch_id = pseudonyms.batches[batch]
        if row := metadata.cj_batch_id:
            metadata.cj_batch_id = self._rows[row]
        if (source := metadata.cj_source) and source not in SOURCES:
            metadata.cj_source = self._word()
        if model := metadata.resolved_model:
            metadata.resolved_model = models[model]
        if prompt := metadata.prompt_sha256:
            metadata.prompt_sha256 = pseudonyms.prompt(prompt)
        data.model = models[data.model]
        if callback.source_service not in SERVICES:
            callback.source_service = self._word()
        if callback.data_schema_uri:
            callback.data_schema_uri = self._word()
        if data.trace_id:
            data.trace_id = self._word()
        if data.justification:
            policy = self.policy.justifications
            if policy is Justifications.DROP:
                data.justification = REDACTED
            elif policy is Justifications.HASH:
                data.justification = pseudonyms.text(data.justification)
        if data.error_detail:
            data.error_detail = self._error(data.error_detail)
        return self._wide_line(callback) if isinstance(callback, WideCallback) else callback

    def _row(self, cj_batch_id: str) -> str:
        return cj_batch_id if is_row_number(cj_batch_id) else self.pseudonyms.batch(cj_batch_id)

    def _word(self) -> str:
        self.dropped["words"] += 1
        return REDACTED

    def _error(self, error: WireError) -> WireError:
        code = self._code(error.error_code)
        texts = [error.message, error.stack_trace, error.trace_id, error.span_id]
        self.dropped["error_texts"] += sum(bool(text) for text in texts)
        return WireError(
            error_code=code,
            message=f"{REDACTED} ({code})",
            correlation_id=error.correlation_id,
            timestamp=error.timestamp,
            service=error.service if error.service in SERVICES else self._word(),
            operation=error.operation if error.operation in OPERATIONS else self._word(),
            details=self._details(error.details),
            stack_trace=_worded(error.stack_trace),
            trace_id=_worded(error.trace_id),
            span_id=_worded(error.span_id),
        )

    def _code(self, code: str) -> str:
        # Still a code, and equal for equal ones: failures are counted by it.
        return code if code in ERROR_CODES else f"OTHER_{self.pseudonyms.of('error code', code).upper()}"

    def _details(self, details: dict[str, Any] | UnsetType) -> dict[str, Any] | UnsetType:
        if isinstance(details, UnsetType):
            return UNSET
        kept = {key: value for key, value in details.items() if may_stay(key, value)}
        self.dropped["error_details"] += len(details) - len(kept)
        return kept

    def _wide_line(self, callback: WideCallback) -> Raw:
        """The line of a callback that says more than the wire's own keys."""
        self.dropped["fields"] += callback.unknown
        document: dict[str, Any] = to_builtins(callback)
        for key in ("more_metadata", "unknown", "envelope_metadata"):
            del document[key]
        if callback.envelope_metadata:
            document["metadata"] = {}
        data = document["data"]
        data["request_id"] = self.pseudonyms.request(data["request_id"])
        metadata = data["request_metadata"]
        for key, value in callback.more_metadata.items():
            if key in self.policy.allowed_keys:
                metadata[key] = value
            elif key in WireMetadata.__struct_fields__ and is_figure(value):
                # Where the wire wants words, a figure is a name as well: a date of birth, a number of a class list.
                metadata[key] = value if value is None or key in FIGURES else type(value)(0)
            else:
                self.dropped["metadata_keys"] += 1
        return Raw(_encoder.encode(document))


def _worded(text: str | UnsetType | None) -> str | UnsetType | None:
    return REDACTED if text else text
