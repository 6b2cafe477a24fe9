"""This module holds the `recorded` part of provenance.json: who was asked, with which words, and what it took.

No address and no key: where a judge is reached is nobody's business. Whether it is on this machine is.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from cj_pipeline.contracts.enums import OutputVerbosity, Provider, ReasoningEffort
from cj_pipeline.contracts.model import FileModel

Text = Annotated[str, Field(max_length=50_000)]


class PromptTexts(FileModel):
    """What a judge is told beside the two essays."""

    system: Text
    """The system prompt."""
    assignment: Text = ""
    """What the pupils were asked to write; left out of the message where it is empty."""
    rubric: Text = ""
    """What counts in a good text; left out where it is empty."""
    question: Text
    """What stands after the essays."""


class RecordedPrompt(FileModel):
    """A prompt variant as it was used. texts: None in a redacted copy, since a person may have written them."""

    name: str
    sha256: str
    texts: PromptTexts | None = None


class RecordedJudge(FileModel):
    """Who was asked, and how. Together with prompt, essays and seed it is the identity of a recording."""

    provider: Provider
    model: str
    temperature: float | None = None
    """None: as the service's settings have it."""
    max_tokens: int | None = None
    reasoning_effort: ReasoningEffort | None = None
    output_verbosity: OutputVerbosity | None = None
    model_file: str | None = None
    """Of a model that came in a file: its name."""
    model_file_sha256: str | None = None


PairsInWords = Literal[
    "every pair once",
    "every pair in both orders",
    "chosen by the engine",
    "as in the first run",
    "those asked least often before",
]
AS_IN_THE_FIRST_RUN: PairsInWords = "as in the first run"
ASKED_LEAST: PairsInWords = "those asked least often before"


class RecordingDesign(FileModel):
    """Which comparisons were asked."""

    pairs: PairsInWords
    comparisons: int
    essays: int
    seed: int
    """Of pairs, sides and ids."""
    run: int
    """From 1."""
    runs: int


class RecordingProvenance(FileModel):
    """One run of a judge, as this project recorded it."""

    through: Literal["embedded LPS", "deployed LPS"]
    judge: RecordedJudge
    on_this_machine: bool
    """Whether the model ran on the machine that asked it; its latency is then that machine's load."""
    prompt: RecordedPrompt
    design: RecordingDesign
    concurrency: int
    texts_sha256: str
    """Over all essays; under the key of the redaction, where there is one."""
    began_at: AwareDatetime
    finished_at: AwareDatetime
    answered: int
    """Comparisons with a winner; the others have an error."""
    asked_again: int
    """Comparisons that were in flight when the recording was interrupted, and were asked a second time."""
    provider_calls: int | None = None
    """HTTP requests to the provider, retries included; None where a deployed service made them."""
    spent_usd: float | None = None
    """What they cost at most; None where the price is unknown."""
    budget_usd: float | None = None
