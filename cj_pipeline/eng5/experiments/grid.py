"""This module reads the grid of an experiment: which configurations of a judge are asked the same comparisons.

A grid is a YAML file, or made of the options of a command; both have the same keys and the same refusals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from cj_pipeline.contracts.enums import LLMBatchingMode, OutputVerbosity, Provider, ReasoningEffort
from cj_pipeline.contracts.model import FileModel, VersionOne
from cj_pipeline.eng5.options import JudgeKind
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.names import EXPERIMENT, valid_name
from cj_pipeline.foundation.yaml_file import Key, YamlFile, read_yaml, read_yaml_model

WHEN_UNFIT = "The keys are in docs/experiments.md. Quote a name that looks like a number: '003'."

T = TypeVar("T")


def _listed(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    if not values:
        raise ValueError("is empty; leave the axis out")
    for place, value in enumerate(values):
        if value in values[:place]:
            raise ValueError(f"'{value}' is given twice")
    return values


def _asked(provider: Provider) -> Provider:
    if provider is Provider.MOCK:
        raise ValueError("a mock answers under the name of the provider that it stands for: judge: mock")
    return provider


Axis = Annotated[tuple[T, ...] | None, BeforeValidator(_listed), AfterValidator(_distinct)]
"""The values of one key: one alone or a list, each once."""

Asked = Annotated[Provider, AfterValidator(_asked)]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\s,=]+$")]
Temperature = Annotated[float, Field(ge=0.0, le=2.0)]
Usd = Annotated[float, Field(ge=0.0, le=1_000_000.0)]
Count = Annotated[int, Field(ge=1)]


class Configuration(FileModel):
    """How one cell asks its judge. None: as the provider, the LPS or the ENG5 runner has it by default.

    prompt: see prompts.py. batching: how the LPS works off its queue. mock_mode: of judge `mock`. repeat: a number that
    changes nothing, to ask the same again.
    """

    provider: Asked | None = None
    model: Name | None = None
    temperature: Temperature | None = None
    max_tokens: Count | None = None
    effort: ReasoningEffort | None = None
    verbosity: OutputVerbosity | None = None
    prompt: Name | None = None
    batching: LLMBatchingMode | None = None
    mock_mode: Name | None = None
    repeat: Count | None = None

    @property
    def choices(self) -> dict[str, str]:
        """What was chosen, as it is written, in the order of the keys."""
        return {name: str(value) for name, value in self if value is not None}


AXES = tuple(Configuration.model_fields)


class Axes(FileModel):
    """The values of each key that a cell has; every combination is a cell, the last key varying fastest."""

    provider: Axis[Asked] = None
    model: Axis[Name] = None
    temperature: Axis[Temperature] = None
    max_tokens: Axis[Count] = None
    effort: Axis[ReasoningEffort] = None
    verbosity: Axis[OutputVerbosity] = None
    prompt: Axis[Name] = None
    batching: Axis[LLMBatchingMode] = None
    mock_mode: Axis[Name] = None
    repeat: Axis[Count] = None


class Grid(FileModel):
    """One experiment.

    axes: every combination is a cell; cells: these and no others. base: what the others are held against, as the
    choices that tell it from all others; the first cell by default. net: folder of the anchors, the shipped ones by
    default. comparisons: in each cell, the first of all pairs; both_orders: every pair once more, the other essay
    first. seed: of pairs, sides and the mock. max_usd: for all cells together. price_per_million: US dollars for a
    million tokens, in and out, of models whose price the manifest does not know.
    """

    schema_version: VersionOne = 1
    name: Annotated[str, AfterValidator(partial(valid_name, rule=EXPERIMENT))]
    about: str = ""
    judge: JudgeKind = JudgeKind.MOCK
    axes: Axes = Axes()
    cells: tuple[Configuration, ...] = ()
    base: Configuration = Configuration()
    net: str | None = None
    comparisons: Annotated[int, Field(ge=2)] | None = None
    both_orders: bool = False
    seed: int = 42
    concurrency: Annotated[int, Field(ge=1, le=64)] = 1
    max_usd: Annotated[float, Field(ge=0.0)] | None = None
    price_per_million: tuple[Usd, Usd] | None = None
    base_url: Annotated[str, Field(pattern=r"^https?://")] | None = None


@dataclass(frozen=True, slots=True)
class GridSource:
    """A grid and where it was written. root: what relative paths in it count from; file: None for options.

    dashes: whether options have the form of the terminal.
    """

    grid: Grid
    path: Path | str
    root: Path
    file: YamlFile | None = None
    dashes: bool = True

    def changed(self, given: Mapping[str, Any]) -> Self:
        """Return the grid with some keys from options. given: None is left as it is. Raises BadInput."""
        changes = {name: value for name, value in given.items() if value is not None}
        content = {**self.grid.model_dump(exclude_unset=True), **changes}
        try:
            grid = Grid.model_validate(content)
        except ValidationError as error:
            raise _refused(error, "eng5 experiment", dashes=True) from None
        return replace(self, grid=grid)

    def problem(self, keys: Sequence[Key], problem: str, remedy: str = "") -> BadInput:
        """Return the error about one place of the grid."""
        if self.file is None:
            return BadInput(problem, path=self.path, field=option_of(keys, dashes=self.dashes), remedy=remedy)
        field = ".".join(map(str, keys))
        return BadInput(problem, path=self.path, line=self.file.line(keys), field=field or None, remedy=remedy)


def read_grid(path: Path) -> GridSource:
    """Read the file of a grid. Raises BadInput naming file, line and key."""
    missing = "Name the YAML file of a grid."
    grid = read_yaml_model(path, Grid, when_missing=missing, when_unfit=WHEN_UNFIT)
    return GridSource(grid, path, path.parent.absolute(), read_yaml(path, when_missing=missing))


def grid_of_options(command: str, given: Mapping[str, Any], *, dashes: bool = True) -> GridSource:
    """Return the grid that options describe. command: as errors name it. given: keys of Grid; None is left out.

    dashes: whether errors name options as the terminal does. Raises BadInput naming the option.
    """
    content = {name: value for name, value in given.items() if value is not None}
    try:
        grid = Grid.model_validate(content)
    except ValidationError as error:
        raise _refused(error, command, dashes=dashes) from None
    return GridSource(grid, command, Path.cwd(), dashes=dashes)


def _refused(error: ValidationError, command: str, *, dashes: bool) -> BadInput:
    first = error.errors(include_url=False)[0]
    keys = tuple(part for part in first["loc"] if isinstance(part, str | int))
    message = first["msg"].removeprefix("Value error, ")
    return BadInput(
        f"{message}.", path=command, field=option_of(keys, dashes=dashes), remedy="See --help." if dashes else ""
    )


def option_of(keys: Sequence[Key], *, dashes: bool = True) -> str:
    """Return the option or argument that a key of the grid is given by.

    >>> option_of(("axes", "mock_mode", 0)), option_of(("cells", 1, "effort"))
    ('--mock-mode', 'B.effort')
    """
    named = [str(key) for key in keys if isinstance(key, str)]
    if keys[:1] == ("cells",) and len(keys) > 1:
        return ".".join(("AB"[int(keys[1])], *named[1:]))
    if not named or named == ["axes"]:
        return "(options)"
    option = named[1] if named[0] == "axes" and len(named) > 1 else named[0]
    return f"--{option.replace('_', '-')}" if dashes else option
