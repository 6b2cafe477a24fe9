"""This module says what an import reads from: callbacks one by one, and what a source knows of their scenario."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from cj_pipeline.contracts.callback import Rejection
from cj_pipeline.contracts.engine_settings import EngineSettings
from cj_pipeline.contracts.enums import OutputVerbosity, ReasoningEffort
from cj_pipeline.traces.provenance import FieldOrigin, FieldProvenance
from cj_pipeline.traces.scenario import Item

# Checks that look at a field, by what the field is. Parity knows these names; a test holds the two together.
LATENCY_CHECKS = (
    *("latency_mean", "latency_p95", "latency_p99", "latency_shape"),
    *("latency_drift", "latency_link"),
)
TOKEN_CHECKS = ("tokens_prompt", "tokens_completion", "tokens_total", "repeat_tokens")
CONFIDENCE_CHECKS = ("confidence",)
SIDE_CHECKS = ("winner_share", "repeat_share")
ERROR_CODE_CHECKS = ("error_mix",)
SHAPE_CHECKS = ("schema",)

# Fills the place of a confidence that nobody recorded: the middle of the wire's 1 to 5.
NO_CONFIDENCE = 3.0
NO_ERROR_CODE = "NOT_RECORDED"
NO_MODEL = "unknown"


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that may be a callback.

    raw: an envelope as JSON bytes, or whatever was there; where: file and line, or table and row, for the person at
    the terminal; numbered: the same place without a file's name, which may be a pupil's; refused: why it is none, where
    the source knows already. time: microseconds since 1970 that order the trace; of equal ones the first found counts.
    """

    raw: bytes
    where: str
    numbered: str
    refused: Rejection | None = None
    time: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """What a source knows beside its callbacks; None and empty where it does not.

    statement: one paragraph for provenance, without any name of an essay or a person. sources: what was read, a line
    each, without one too. fields: by dotted key of the callback. missing: what it lacks itself, a sentence each.
    end_is_known: whether it says itself that the batch is over, or how many callbacks there are.
    unanswered: comparisons it asked and has no outcome of. bt_scores: final scores by essay id, logits.
    remarks: sentences for the person who imports.
    """

    statement: str
    sources: tuple[str, ...]
    fields: Mapping[str, FieldProvenance]
    items: tuple[Item, ...] = ()
    grade_scale: tuple[str, ...] | None = None
    started_at: datetime | None = None
    temperature: float | None = None
    reasoning_effort: ReasoningEffort | None = None
    output_verbosity: OutputVerbosity | None = None
    engine: EngineSettings | None = None
    checks_off: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    end_is_known: bool = False
    unanswered: int = 0
    bt_scores: Mapping[str, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


class Source(Protocol):
    """A source that was opened.

    kind: `JSON files`, `ENG5 artefact` or `CJ database`. found: its callbacks; may be gone through once. known: asked
    for after that.
    """

    @property
    def kind(self) -> str:
        """Return what it is, for people."""

    @property
    def found(self) -> Iterable[Found]:
        """Yield what may be callbacks."""

    @property
    def known(self) -> Known:
        """Return what it says beside them."""


@dataclass(frozen=True, slots=True)
class ReadSource:
    """A source that knows everything before its callbacks are gone through, in the order of the trace."""

    kind: str
    found: Iterable[Found]
    known: Known


def recorded(note: str) -> FieldProvenance:
    """Say that a field is taken over as it was."""
    return FieldProvenance(origin=FieldOrigin.RECORDED, note=note)


def derived(note: str) -> FieldProvenance:
    """Say that a field follows from the record, by the rule in the note."""
    return FieldProvenance(origin=FieldOrigin.DERIVED, note=note)


def absent(note: str) -> FieldProvenance:
    """Say that a field is not on record; the note says what is in its place."""
    return FieldProvenance(origin=FieldOrigin.ABSENT, note=note)
