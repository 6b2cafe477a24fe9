"""This module reads `published.yaml`: what was published about a run whose callbacks were not.

The file keeps two things apart that must never be mixed up: what was published, and (under `assumed`) what had to be
made up so that there is a callback to write at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from cj_pipeline.contracts.enums import OutputVerbosity, Provider, ReasoningEffort
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.contracts.model import FileModel, VersionOne
from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.foundation.yaml_file import read_yaml_model
from cj_pipeline.traces.provenance import PUBLISHED_FILE as PUBLISHED_FILE
from cj_pipeline.traces.reconstruct.outcomes import OUTCOMES_FILE, Outcome, read_outcomes

if TYPE_CHECKING:
    from pathlib import Path

    from cj_pipeline.traces.summary import Summary


# The path of a figure in summary.json, so that a published figure and the reconstructed one are found alike.
FigureName = Literal[
    "token_usage.prompt_tokens.min",
    "token_usage.prompt_tokens.mean",
    "token_usage.prompt_tokens.max",
    "token_usage.completion_tokens.min",
    "token_usage.completion_tokens.mean",
    "token_usage.completion_tokens.max",
    "token_usage.total_tokens.min",
    "token_usage.total_tokens.mean",
    "token_usage.total_tokens.max",
    "response_time_ms.min_ms",
    "response_time_ms.mean_ms",
    "response_time_ms.p50_ms",
    "response_time_ms.p95_ms",
    "response_time_ms.p99_ms",
    "response_time_ms.max_ms",
]


class CannotReconstruct(CjPipelineError):
    """The published facts cannot all hold, or do not suffice. `field`: the dotted key of published.yaml."""

    def __init__(self, problem: str, *, field: str) -> None:
        self.problem = problem
        self.field = field
        super().__init__(f"{field}: {problem}")


class Figure(FileModel):
    """A number with the unit to which it was rounded when it was published."""

    value: float
    rounded_to: Annotated[float, Field(gt=0.0)]

    def holds(self, actual: float) -> bool:
        """Return whether `actual` rounds to the published value whatever the rounding does with a half."""
        return abs(actual - self.value) < self.rounded_to * (0.5 - 1e-6)


class Run(FileModel):
    """What was published about the run's identity; absent means not published.

    What is given must be what the scenario says, except `label`, which only people read. `model` is what the callbacks
    name, also where the scenario overrides none.
    """

    label: str | None = None
    bos_batch_id: str | None = None
    cj_batch_id: int | None = None
    provider: Provider | None = None
    model: str | None = None
    reasoning_effort: ReasoningEffort | None = None
    output_verbosity: OutputVerbosity | None = None


class Counts(FileModel):
    """Events of the trace, and how many of them are errors: those need a table of outcomes."""

    events: Annotated[int, Field(ge=1)]
    failed: Annotated[int, Field(ge=0)]

    @property
    def answers(self) -> int:
        """Events that are no error."""
        return self.events - self.failed


class WinnerSplit(FileModel):
    """How often each position won."""

    essay_a: Annotated[int, Field(ge=0)]
    essay_b: Annotated[int, Field(ge=0)]


class AssumedError(FileModel):
    """How each failed call of the run failed, where that was not published."""

    code: ErrorCode
    message: Annotated[str, Field(min_length=1)]
    details: dict[str, str | int | bool] = Field(default_factory=dict)


class Assumed(FileModel):
    """What was made up. Nothing here is evidence of anything."""

    why: Annotated[str, Field(min_length=10)]
    """Where the assumptions come from; goes into provenance.json."""
    seed: int
    prompt_base_tokens: Annotated[int, Field(ge=0)]
    essay_tokens: dict[str, Annotated[int, Field(ge=1)]]
    """By item label. A comparison's prompt has base + both essays tokens."""
    ability_span: Annotated[float, Field(ge=0.0)] = 4.0
    """Logits of the best item; the worst has the negative, the others lie evenly between."""
    error: AssumedError | None = None
    """Of every failed call; needed where some failed."""
    figures: dict[FigureName, Figure] = Field(default_factory=dict)
    """Of completion_tokens and response_time_ms; prompts follow from the lengths above, totals from both."""

    @model_validator(mode="after")
    def _figures_have_an_effect(self) -> Self:
        for name in self.figures:
            if not name.startswith(("token_usage.completion_tokens.", "response_time_ms.")):
                raise ValueError(f"figures: '{name}' follows from other assumptions")
        return self


class Published(FileModel):
    """One `published.yaml`."""

    schema_version: VersionOne
    scenario_id: str
    sources: Annotated[tuple[str, ...], Field(min_length=1)]
    caveats: tuple[str, ...] = ()
    """What a reader of the trace should know about the original run; goes into provenance.json."""
    run: Run
    counts: Counts
    winners: WinnerSplit | None = None
    """Absent: not published; reconstructed as near to half as possible."""
    same_pair: tuple[str, str] | None = None
    """Labels shown as A and as B in every event, when the run asked for one ordered pair again and again."""
    ladder: tuple[tuple[str, ...], ...] | None = None
    """Labels from best to worst when every item beat every later one; labels in one group: their order is unknown."""
    outcomes: Literal["outcomes.csv"] | None = None
    """A table beside this file, with every comparison in the order in which it was asked (outcomes.py)."""
    figures: dict[FigureName, Figure] = Field(default_factory=dict)
    assumed: Assumed

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.winners is not None and self.winners.essay_a + self.winners.essay_b != self.counts.answers:
            raise ValueError("winners and counts.failed do not add up to counts.events")
        if sum(one is not None for one in (self.same_pair, self.ladder, self.outcomes)) > 1:
            raise ValueError("same_pair, ladder and outcomes exclude each other")
        if self.counts.failed and (self.outcomes is None or self.assumed.error is None):
            raise ValueError("a run with failed calls needs outcomes and assumed.error")
        if both := sorted(set(self.figures) & set(self.assumed.figures)):
            raise ValueError(f"'{both[0]}' is both published and assumed")
        return self

    def known_figures(self) -> dict[FigureName, Figure]:
        """Return published figures and, where there are none, the assumed ones."""
        return {**self.assumed.figures, **self.figures}


@dataclass(frozen=True, slots=True)
class Facts:
    """What was published about a run. outcomes: none where `published` names no table of them."""

    published: Published
    outcomes: tuple[Outcome, ...] = ()


def read_published(folder: Path) -> Published:
    """Read a folder's `published.yaml`; raises BadInput naming file and key."""
    path = folder / PUBLISHED_FILE
    published = read_yaml_model(
        path,
        Published,
        when_missing="A reconstruction needs the published figures; write them down first.",
        when_unfit="The files under traces/ show the schema.",
    )
    if published.scenario_id != folder.name:
        raise BadInput(
            f"is '{published.scenario_id}', but its folder is '{folder.name}'.",
            path=path,
            field="scenario_id",
            remedy="Give both the same name.",
        )
    return published


def read_facts(folder: Path) -> Facts:
    """Read what was published about a run: `published.yaml`, and its table of outcomes where it names one."""
    published = read_published(folder)
    return Facts(published, read_outcomes(folder) if published.outcomes == OUTCOMES_FILE else ())


def require_agreement(summary: Summary, published: Published) -> None:
    """Hold a summary against every published number; raises CannotReconstruct naming the first that fails."""
    exact = {
        "counts.events": (summary.total_events, published.counts.events),
        "counts.failed": (summary.error_count, published.counts.failed),
    }
    if published.winners is not None:
        split = published.winners
        exact["winners.essay_a"] = (summary.winner_counts.get("Essay A", 0), split.essay_a)
        exact["winners.essay_b"] = (summary.winner_counts.get("Essay B", 0), split.essay_b)
    for field, (actual, expected) in exact.items():
        if actual != expected:
            raise CannotReconstruct(f"published {expected}, reconstructed {actual}", field=field)
    for name, figure in published.figures.items():
        value = figure_of(summary, name)
        if not figure.holds(value):
            raise CannotReconstruct(
                f"published {figure.value} (to {figure.rounded_to}), reconstructed {value:.4f}; change what is assumed",
                field=f"figures.{name}",
            )


def figure_of(summary: Summary, name: FigureName) -> float:
    """Return the figure of a summary at a dotted path."""
    value: object = summary
    for part in name.split("."):
        value = getattr(value, part)
    if not isinstance(value, float):
        raise TypeError(f"{name} is no number")
    return value
