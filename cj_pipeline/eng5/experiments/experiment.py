"""This module is an experiment on the disk: its grid, its cells, what they asked and what they have spent.

<folder>/experiment.json        the grid, and what relative paths in it count from
<folder>/spent.sqlite           what each cell can have spent
<folder>/cells/<cell>/          the run of one cell, as `eng5 anchor-align-test` writes it
<folder>/results.{csv,md,json}  the table
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cj_pipeline.eng5.artefact.files import artefact_path, read_document, replace_file, schema_errors
from cj_pipeline.eng5.draft import draft_folder
from cj_pipeline.eng5.experiments.cells import Cell, base_of, cells_of
from cj_pipeline.eng5.experiments.grid import Grid, GridSource
from cj_pipeline.eng5.experiments.ledger import Ledger
from cj_pipeline.eng5.options import JudgeKind, RunnerMode
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.stored_formats import EXPERIMENT
from cj_pipeline.foundation.versions import marked, read_marked
from cj_pipeline.traces.draft import disk_errors_in_words

EXPERIMENT_FILE, LEDGER_FILE, CELL_FILE, CELLS = "experiment.json", "spent.sqlite", "cell.json", "cells"
MODE = RunnerMode.ANCHOR_ALIGN
WHEN_DAMAGED = "Put it back, or forget all answers with --restart."


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment. folder: of all that it writes; base: the cell that the others are held against."""

    source: GridSource
    folder: Path
    cells: tuple[Cell, ...]
    base: Cell

    @property
    def grid(self) -> Grid:
        """What is asked."""
        return self.source.grid

    @property
    def ledger(self) -> Ledger:
        """What its cells have spent."""
        return Ledger(self.folder / LEDGER_FILE)

    def cell_folder(self, cell: Cell) -> Path:
        """Return where a cell writes."""
        return self.folder / CELLS / cell.name

    def artefact(self, cell: Cell) -> Path:
        """Return where the artefact of a cell is, or will be."""
        return artefact_path(self.cell_folder(cell), MODE)

    def document(self, cell: Cell) -> dict[str, Any] | None:
        """Return the artefact of a cell; None where it has none yet. Raises BadInput for one that is damaged."""
        path = self.artefact(cell)
        if not path.exists():
            return None
        document = read_document(path)
        if errors := schema_errors(document):
            raise BadInput(f"is damaged: {errors[0]}.", path=path, remedy=WHEN_DAMAGED)
        return document

    def is_finished(self, cell: Cell) -> bool:
        """Return whether a cell has asked all that it was to ask."""
        document = self.document(cell)
        return document is not None and not document["validation"]["runner_status"]["partial_data"]

    def begun_with(self, cell: Cell) -> dict[str, Any] | None:
        """Return what a cell was begun with; None where it was not begun. Raises BadInput where nobody can tell."""
        path = self.cell_folder(cell) / CELL_FILE
        try:
            found = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or not found:
            raise BadInput("does not say what this cell was asked with.", path=path, remedy=WHEN_DAMAGED)
        return found

    def begin(self, cell: Cell, begun_with: dict[str, Any]) -> None:
        """Write down what a cell is begun with, before it asks."""
        replace_file(self.cell_folder(cell) / CELL_FILE, json.dumps(begun_with, indent=2, sort_keys=True) + "\n")

    def left_behind(self) -> tuple[str, ...]:
        """Return the names of cells that are in the folder and not in the grid."""
        folder = self.folder / CELLS
        names = {path.name for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()
        return tuple(sorted(names - {cell.name for cell in self.cells}))

    def forget(self) -> None:
        """Forget what the cells of this grid asked, and what all cells paid."""
        for cell in self.cells:
            shutil.rmtree(self.cell_folder(cell), ignore_errors=True)
        ledger = self.folder / LEDGER_FILE
        try:
            ledger.unlink(missing_ok=True)
        except OSError as error:
            raise BadInput(f"cannot be removed ({error.strerror}).", path=ledger, remedy="Remove it.") from None

    def settle_draft(self, cell: Cell) -> None:
        """Remove what an interrupted end of a finished cell left behind."""
        shutil.rmtree(draft_folder(self.cell_folder(cell), MODE), ignore_errors=True)

    def keep(self) -> None:
        """Write the grid down, so that it can be asked for by the experiment's name."""
        document = {
            "root": str(self.source.root),
            "grid": self.grid.model_dump(mode="json", exclude_none=True),
            "cells": [cell.name for cell in self.cells],
        }
        with disk_errors_in_words(self.folder):
            replace_file(self.folder / EXPERIMENT_FILE, json.dumps(marked(EXPERIMENT, document), indent=2) + "\n")


def experiment_of(source: GridSource, experiments: Path) -> Experiment:
    """Return the experiment of a grid. experiments: folder of all. Raises BadInput naming the key.

    Who else than a provider answers has a folder of its own, beside that of the real thing: NAME.mock, NAME.local.
    """
    cells, grid = cells_of(source), source.grid
    name = grid.name if grid.judge is JudgeKind.PROVIDER else f"{grid.name}.{grid.judge}"
    return Experiment(source, experiments / name, cells, base_of(source, cells))


def kept_experiment(name: str, experiments: Path) -> Experiment:
    """Return an experiment that was begun. name: of its folder. Raises BadInput where there is none; NewerVersion."""
    path = experiments / name / EXPERIMENT_FILE
    try:
        document = read_marked(EXPERIMENT, path.read_bytes(), path)
        grid, root = Grid.model_validate(document["grid"]), Path(document["root"])
    except FileNotFoundError:
        known = ", ".join(kept_names(experiments)) or "none"
        raise BadInput("no such experiment.", path=path, remedy=f"There are: {known}. Plan it first.") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise BadInput("is not what an experiment writes.", path=path, remedy="Plan it again.") from None
    return experiment_of(GridSource(grid, path, root), experiments)


def kept_names(experiments: Path) -> list[str]:
    """Return the names of the folders of experiments that were begun, sorted."""
    return sorted(path.parent.name for path in experiments.glob(f"*/{EXPERIMENT_FILE}"))


def newest_name(experiments: Path) -> str | None:
    """Return the name of the folder that was planned last; None where there is none."""
    files = list(experiments.glob(f"*/{EXPERIMENT_FILE}"))
    return max(files, key=lambda path: path.stat().st_mtime).parent.name if files else None


def experiments_folder(data_dir: Path) -> Path:
    """Return where experiments are, below the data folder."""
    return data_dir / "eng5" / "experiments"
