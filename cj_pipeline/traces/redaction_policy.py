"""This module holds the choices of a redaction, as provenance has them. It does not redact (redaction/)."""

from __future__ import annotations

from enum import StrEnum

from cj_pipeline.contracts.model import FileModel

# In the place of a text. A word and not null or nothing: parity compares the shapes of callbacks.
REDACTED = "redacted"


class Justifications(StrEnum):
    """What becomes of the judge's sentences. They quote essays."""

    DROP = "drop"
    HASH = "hash"
    """A keyed digest: equal sentences stay equal."""
    KEEP = "keep"


class RedactionPolicy(FileModel):
    """The choices of one redaction."""

    justifications: Justifications = Justifications.DROP
    allowed_keys: tuple[str, ...] = ()
    """Further keys of `request_metadata`, kept with whatever they say: for keys of a team's own."""
