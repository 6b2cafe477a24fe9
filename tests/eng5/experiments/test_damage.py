"""This module tests that a damaged folder of an experiment is refused in a sentence that names the file."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cj_pipeline.eng5.experiments.experiment import Experiment
from cj_pipeline.eng5.experiments.table import results_of
from cj_pipeline.foundation.errors import BadInput
from tests.eng5.experiments.stand import asked, experiment

AXES = {"effort": ["low"]}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an experiment of one cell that has asked all."""
    folder = tmp_path_factory.mktemp("finished")
    asked(experiment(folder, axes=AXES))
    return folder


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Experiment:
    """A copy of it, to be damaged."""
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    return experiment(folder, axes=AXES)


def used(one: Experiment) -> None:
    asked(one)
    results_of(one)


def refused(one: Experiment, damaged: Path, problem: str) -> None:
    with pytest.raises(BadInput, match=f"^{re.escape(str(damaged))}: .*{problem}"):
        used(one)


@pytest.mark.parametrize("content", ["{", "[]", "{}", "null"])
def test_a_cell_that_does_not_say_what_it_was_asked_with_is_not_taken_for_the_same(
    content: str, copy: Experiment
) -> None:
    file = copy.cell_folder(copy.cells[0]) / "cell.json"
    file.write_text(content)
    refused(copy, file, "does not say what this cell was asked with")


def test_a_finished_cell_without_its_file_is_refused(copy: Experiment) -> None:
    file = copy.cell_folder(copy.cells[0]) / "cell.json"
    file.unlink()
    refused(copy, file, "is missing")


def test_an_artefact_without_a_status_is_refused(copy: Experiment) -> None:
    file = copy.artefact(copy.cells[0])
    document = json.loads(file.read_bytes())
    del document["validation"]["runner_status"]["partial_data"]
    file.write_text(json.dumps(document))
    refused(copy, file, "is damaged: .*runner_status")


@pytest.mark.parametrize(
    ("damage", "problem"),
    [(lambda file: file.write_bytes(file.read_bytes()[:100]), "is damaged"), (Path.unlink, "cannot be read")],
)
def test_an_event_that_is_cut_or_gone_is_refused(
    damage: Callable[[Path], object], problem: str, copy: Experiment
) -> None:
    file = next(copy.folder.glob("cells/*/events/comparisons/*/000003.json"))
    damage(file)
    refused(copy, file, problem)


@pytest.mark.parametrize("damage", [lambda file: file.write_bytes(b"no database" * 99), Path.mkdir])
def test_a_ledger_that_is_none_is_refused(damage: Callable[[Path], object], copy: Experiment) -> None:
    copy.artefact(copy.cells[0]).unlink()
    file = copy.folder / "spent.sqlite"
    file.unlink()
    damage(file)
    refused(copy, file, "does not say what was spent")


def test_a_ledger_that_cannot_be_forgotten_is_said(copy: Experiment) -> None:
    file = copy.folder / "spent.sqlite"
    file.unlink()
    file.mkdir()
    with pytest.raises(BadInput, match=r"spent\.sqlite: cannot be removed"):
        copy.forget()
