"""This module makes the cells of a grid: every configuration that is asked, under a name that stays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from math import prod
from pathlib import Path

from cj_pipeline.eng5.experiments.grid import AXES, Configuration, GridSource
from cj_pipeline.foundation.errors import did_you_mean

MOST_CELLS = 100
"""A cell of twelve anchors takes the mock two seconds and a real judge minutes."""

# Of a folder's name; beyond it the end is replaced by a digest.
_LONGEST_NAME = 120


@dataclass(frozen=True, slots=True)
class Cell:
    """One configuration of a grid.

    name: of its folder, by all its choices, so that it is the same in every grid that has them. label: what tells it
    from the other cells of this grid. keys: where the grid has it.
    """

    name: str
    label: str
    configuration: Configuration
    keys: tuple[str | int, ...]


def cells_of(source: GridSource) -> tuple[Cell, ...]:
    """Return the cells of a grid, in its order. Raises BadInput: none, too many, two of the same."""
    grid = source.grid
    axes = {name: values for name, values in grid.axes if values is not None}
    if bool(axes) == bool(grid.cells):
        problem = "needs axes or cells." if not axes else "has axes beside it, and one of the two is meant."
        raise source.problem(("cells",) if axes else (), problem, f"Axes: {', '.join(AXES)}.")
    count = prod(len(values) for values in axes.values()) if axes else len(grid.cells)
    if count > MOST_CELLS:
        sizes = " x ".join(f"{len(values)} of {name}" for name, values in axes.items()) or "these"
        raise source.problem(("axes",), f"{sizes} are {count} cells; at most {MOST_CELLS} fit into one experiment.")
    placed: list[tuple[Configuration, tuple[str | int, ...]]] = [
        (Configuration.model_validate(dict(zip(axes, values, strict=True))), ("axes",))
        for values in product(*axes.values())
    ] if axes else [(cell, ("cells", number)) for number, cell in enumerate(grid.cells)]  # fmt: skip
    names: dict[str, int] = {}
    for number, (configuration, keys) in enumerate(placed):
        name = name_of(configuration)
        if name in names:
            raise source.problem(
                keys, f"cells {names[name] + 1} and {number + 1} have one name ({name}).",
                "Leave one out, rename a prompt's file, or tell them apart by repeat: 1 and 2.",
            )  # fmt: skip
        names[name] = number
    varying = _varying([configuration for configuration, _ in placed])
    return tuple(
        Cell(name_of(configuration), _label(configuration, varying), configuration, keys)
        for configuration, keys in placed
    )


def base_of(source: GridSource, cells: Sequence[Cell]) -> Cell:
    """Return the cell that the others are held against. Raises BadInput where the grid's base is none or several."""
    wanted = source.grid.base.choices
    found = [cell for cell in cells if wanted.items() <= cell.configuration.choices.items()]
    if not wanted or len(found) == 1:
        return found[0]
    written = ", ".join(f"{name}={value}" for name, value in wanted.items())
    if not found:
        raise source.problem(("base",), f"no cell has {written}.", did_you_mean(written, [one.label for one in cells]))
    raise source.problem(("base",), f"{len(found)} cells have {written}.", "Name more of its choices.")


def name_of(configuration: Configuration) -> str:
    """Return the name of a cell, which its folder and its partition have. It never depends on the rest of a grid.

    >>> name_of(Configuration(effort="low", prompt="prompts/my_exam.v1.yaml"))
    'effort-low.prompt-my_exam.v1'
    """
    parts = [f"{name}-{_short(name, value)}" for name, value in configuration.choices.items()]
    name = ".".join(parts) or "default"
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 9]}.{sha256(name.encode()).hexdigest()[:8]}"


def _short(axis: str, value: str) -> str:
    if axis == "model":  # its vendor tells it from a model of another: openai/gpt-oss-20b, azure/gpt-oss-20b
        return re.sub(r"[^A-Za-z0-9.+-]+", "_", value)
    stems = "+".join(Path(part).name.removesuffix(".yaml").removesuffix(".txt") for part in value.split("+"))
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", stems)


def _varying(configurations: Sequence[Configuration]) -> tuple[str, ...]:
    return tuple(name for name in AXES if len({one.choices.get(name) for one in configurations}) > 1)


def _label(configuration: Configuration, varying: Sequence[str]) -> str:
    chosen = configuration.choices
    if not varying:
        return "the only cell"
    return " ".join(f"{name}={_short(name, chosen[name]) if name in chosen else 'default'}" for name in varying)
