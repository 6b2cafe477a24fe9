"""This module reads the file of an ENG5 artefact: the blocks that are needed, and its checksum.

Of the schema (version 1.0.n) only what is needed is held to its type; the rest may be what it likes, since written
artefacts differ from their own schema in several places.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from cj_pipeline.contracts.enums import OutputVerbosity, ReasoningEffort
from cj_pipeline.contracts.model import WireModel
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.input_file import read_input

RUNNER_MODES = ("plan", "dry-run", "execute", "anchor-align-test")

ChecksumVerdict = Literal["agrees", "does not agree", "is not there"]

# Production blanks the field in two ways: with zeros in a stub, with nothing once the events are in.
_BLANKS = ("", "0" * 64)


def _aware(moment: object) -> object:
    return moment.replace(tzinfo=UTC) if isinstance(moment, datetime) and moment.tzinfo is None else moment


def _blank_is_none(text: object) -> object:
    """Return None for a blank or the word that a missing value becomes when it is printed."""
    return None if text in ("", "None", "null") else text


Name = Annotated[str | None, BeforeValidator(_blank_is_none)]


class ArtefactComparison(WireModel):
    """One record of `llm_comparisons`. Naive times are UTC."""

    sequence: Annotated[int, Field(ge=0)]
    correlation_id: Name = None
    winner_id: Name = None
    loser_id: Name = None
    prompt_hash: Annotated[str | None, BeforeValidator(_blank_is_none), Field(pattern=r"^[0-9a-f]{64}$")] = None
    provider: str
    model: str
    tokens_prompt: Annotated[int, Field(ge=0)] | None = None
    tokens_completion: Annotated[int, Field(ge=0)] | None = None
    cost_usd: Annotated[float, Field(ge=0.0)] | None = None
    started_at: datetime
    completed_at: datetime | None = None
    status: Name = None
    failure_reason: str | None = None
    request_id: Name = None
    essay_a_id: Name = None
    essay_b_id: Name = None
    confidence: float | None = None
    justification: str | None = None
    error_code: Name = None

    @property
    def waiting(self) -> bool:
        """Return whether it has no outcome."""
        return self.status == "submitted" or (self.status != "failed" and not self.failed and self.winner_id is None)

    @property
    def failed(self) -> bool:
        """Return whether its outcome is an error."""
        return self.status == "failed" or (self.winner_id is None and self.error_code is not None)

    @property
    def started(self) -> datetime:
        """Return the aware time."""
        return _utc(self.started_at)

    @property
    def completed(self) -> datetime:
        """Return the aware time; the start where no end is on record."""
        return _utc(self.completed_at or self.started_at)


class ArtefactMetadata(WireModel):
    """`metadata`, without what only the runner needs."""

    runner_mode: str
    grade_scale: Name = None
    batch_uuid: Name = None
    llm_config_overrides: dict[str, Any] | None = None

    @property
    def mode(self) -> str:
        """Return the runner's mode, where it is one that there is; a file may say anything."""
        return self.runner_mode if self.runner_mode in RUNNER_MODES else "of another kind"

    @property
    def temperature(self) -> float | None:
        """Return it as overridden; None where it was not, or is none."""
        stated = self._override("temperature")
        return float(stated) if isinstance(stated, int | float) and 0 <= stated <= 2 else None

    @property
    def reasoning_effort(self) -> ReasoningEffort | None:
        """Return it as overridden."""
        stated = self._override("reasoning_effort")
        return ReasoningEffort(stated) if stated in list(ReasoningEffort) else None

    @property
    def output_verbosity(self) -> OutputVerbosity | None:
        """Return it as overridden."""
        stated = self._override("output_verbosity")
        return OutputVerbosity(stated) if stated in list(OutputVerbosity) else None

    def _override(self, name: str) -> Any:
        """Return the override under either of the names that runners have used."""
        overrides = self.llm_config_overrides or {}
        return overrides.get(f"{name}_override", overrides.get(name))


class ArtefactAnchor(WireModel):
    """One of `inputs.anchors`."""

    anchor_id: str
    file_name: str | None = None
    grade: Name = None


class ArtefactInputs(WireModel):
    """`inputs`."""

    anchors: tuple[ArtefactAnchor, ...] = ()


class ArtefactScore(WireModel):
    """One of `bt_summary`. theta: logits."""

    essay_id: str
    theta: float | None = None
    is_anchor: bool = False
    anchor_grade: Name = None


class ObservedEvents(WireModel):
    """How many events the runner saw."""

    llm_comparisons: int | None = None


class RunnerStatus(WireModel):
    """How the collection of events ended."""

    partial_data: bool = False
    observed_events: ObservedEvents = ObservedEvents()


class ArtefactValidation(WireModel):
    """`validation`."""

    artefact_checksum: str | None = None
    runner_status: RunnerStatus | None = None


class Artefact(WireModel):
    """The blocks that an import reads."""

    schema_version: Annotated[str, Field(pattern=r"^1\.0\.\d+$")]
    metadata: ArtefactMetadata
    inputs: ArtefactInputs = ArtefactInputs()
    llm_comparisons: tuple[ArtefactComparison, ...]
    bt_summary: tuple[ArtefactScore, ...] = ()
    validation: ArtefactValidation = ArtefactValidation()


def read_artefact(path: Path) -> tuple[Artefact, str, ChecksumVerdict]:
    """Return the artefact, the SHA-256 of its file, and what became of its own checksum. Raises BadInput."""
    try:
        content = read_input(path)
    except FileNotFoundError:
        raise BadInput("no such file.", path=path, remedy="Name an assessment_run.execute.json.") from None
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror}).", path=path, remedy="Name a file, not a folder.") from None
    try:
        document = json.loads(content)
    except json.JSONDecodeError as error:
        raise BadInput(f"not JSON: {error.msg}.", path=path, line=error.lineno) from None
    except (ValueError, RecursionError):
        raise BadInput("not JSON text.", path=path) from None
    try:
        artefact = Artefact.model_validate_json(content)
    except ValidationError as error:
        # Without the input: an artefact holds essays' words.
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        raise BadInput(
            f"{first['msg']}.",
            path=path,
            field=".".join(str(part) for part in first["loc"]) or "(top level)",
            remedy="Expected is an assessment_run.execute.json of schema 1.0.",
        ) from None
    return artefact, sha256(content).hexdigest(), _checksum(document, artefact.validation.artefact_checksum)


def _checksum(document: dict[str, Any], stated: str | None) -> ChecksumVerdict:
    if not stated or stated in _BLANKS:
        return "is not there"
    for blank in _BLANKS:
        blanked = {**document, "validation": {**document["validation"], "artefact_checksum": blank}}
        for ascii_only in (True, False):
            text = json.dumps(blanked, indent=2, ensure_ascii=ascii_only)
            if sha256(text.encode("utf-8", "surrogatepass")).hexdigest() == stated:
                return "agrees"
    return "does not agree"


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
