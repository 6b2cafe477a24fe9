"""This module tests the rooms: each imports from lower floors only, and Dagster stays in the code location."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import assets
import resources
from cj_pipeline.reports.rooms import FLOORS, PACKAGES, arrows, imports, modules, reachable, reduced, room_of
from tests.house import REPOSITORY

KNOW_DAGSTER = {f"cj_pipeline.{module}" for module in ("definitions", "instance", "celery_runs", "process_runs")}


def may_import(room: str, other: str) -> bool:
    # Resources and assets share a floor: an asset is handed a resource, a resource knows no asset.
    # The terminal may ask the code location to materialise, in the instance that the UI shows (`cj-pipeline nightly`).
    if room == other or (room, other) in {("assets", "resources"), ("cli", "definitions"), ("cli", "instance")}:
        return True
    if FLOORS[room] == FLOORS[other] == 0:
        return True
    return FLOORS[other] < FLOORS[room]


def upward_imports(root: Path) -> list[str]:
    """Every import, below a root, of a room that the importing one must not know."""
    found = []
    for module, path in modules(root):
        for line, name in imports(path, module):
            if name.split(".")[0] in PACKAGES and not may_import(room_of(module), room_of(name)):
                found.append(f"{path.relative_to(root)}:{line}: {room_of(module)} imports {room_of(name)}")
    return found


def test_no_room_imports_from_its_own_floor_or_above() -> None:
    assert upward_imports(REPOSITORY) == []


# Each of them makes a trace; what they share lies in traces/ itself.
MAKERS_OF_TRACES = ("capture", "importing", "redaction", "reconstruct")


def maker_of(module: str) -> str | None:
    """`capture` for cj_pipeline.traces.capture.reading; None for a module that is in none of these folders."""
    parts = module.split(".")
    found = parts[:2] == ["cj_pipeline", "traces"] and len(parts) > 2 and parts[2] in MAKERS_OF_TRACES
    return parts[2] if found else None


def imports_of_makers(root: Path) -> list[str]:
    """Every import, below a root, of a maker of traces by another one or by what they share."""
    return [
        f"{path.relative_to(root)}:{line}: {maker_of(module) or 'traces'} imports {maker_of(name)}"
        for module, path in modules(root)
        if module.startswith("cj_pipeline.traces.")
        for line, name in imports(path, module)
        if maker_of(name) not in (None, maker_of(module))
    ]


def test_no_maker_of_traces_imports_another() -> None:
    assert imports_of_makers(REPOSITORY) == []


@pytest.mark.parametrize(
    ("place", "line", "told"),
    [
        (
            "importing/trace.py",
            "from cj_pipeline.traces.capture.draft import CaptureDraft",
            "importing imports capture",
        ),
        ("capture/capture.py", "import cj_pipeline.traces.redaction.redaction", "capture imports redaction"),
        ("provenance.py", "from cj_pipeline.traces.redaction import wire", "traces imports redaction"),
    ],
)
def test_a_planted_import_of_another_maker_is_found(place: str, line: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "cj_pipeline" / "traces" / place
    path.parent.mkdir(parents=True)
    path.write_text(line)
    (found,) = imports_of_makers(tmp_path)
    assert found.endswith(told)


def test_every_folder_of_cj_pipeline_has_a_floor() -> None:
    folders = {path.parent.name for path in (REPOSITORY / "cj_pipeline").glob("*/__init__.py")}
    assert folders - set(FLOORS) == set()


def test_the_picture_loses_no_path_between_rooms() -> None:
    graph = arrows(REPOSITORY)
    smaller = reduced(graph)
    assert {room: reachable(smaller, room) for room in graph} == {room: reachable(graph, room) for room in graph}
    assert sum(map(len, smaller.values())) < sum(map(len, graph.values())) / 2


def test_two_rooms_that_import_each_other_stay_in_the_picture() -> None:
    graph = {"bus": {"contracts", "foundation"}, "contracts": {"foundation"}, "foundation": {"contracts"}}
    assert reduced(graph) == graph


@pytest.mark.parametrize(
    ("place", "line", "rooms"),
    [
        ("cj_pipeline/bt/fit.py", "from cj_pipeline.engine import state", "bt imports engine"),
        ("cj_pipeline/engine/engine.py", "import cj_pipeline.mock.mode.mode", "engine imports mock"),
        ("cj_pipeline/engine/engine.py", "from cj_pipeline import runs", "engine imports runs"),
        ("cj_pipeline/engine/engine.py", "from ..runs.record import RunRecord", "engine imports runs"),
        ("cj_pipeline/foundation/clock.py", "def f():\n    from ..bus import memory", "foundation imports bus"),
        ("cj_pipeline/contracts/model.py", "if TYPE_CHECKING:\n    import cj_pipeline.bt", "contracts imports bt"),
        ("assets/graph.py", "from cj_pipeline.cli import main", "assets imports cli"),
        ("resources/lps.py", "from assets.graph import trace", "resources imports assets"),
        ("cj_pipeline/cli/bt.py", "from cj_pipeline import replay", "cli imports cj_pipeline"),
    ],
)
def test_a_planted_upward_import_is_found(place: str, line: str, rooms: str, tmp_path: Path) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    path.write_text(f"import os\n{line}\n")
    (found,) = upward_imports(tmp_path)
    assert found.startswith(f"{place}:")
    assert found.endswith(rooms)


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("cj_pipeline/engine/engine.py", "from cj_pipeline.engine.state import State"),
        ("cj_pipeline/engine/engine.py", "from cj_pipeline.bt.fit import fit"),
        ("cj_pipeline/contracts/model.py", "from cj_pipeline.foundation.errors import BadInput"),
        ("assets/graph.py", "from resources.lps import Service"),
        ("cj_pipeline/definitions.py", "from assets import graph"),
        ("cj_pipeline/__init__.py", "def f():\n    from cj_pipeline.cli import main"),
    ],
)
def test_an_import_from_below_is_not(place: str, line: str, tmp_path: Path) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    path.write_text(line)
    assert upward_imports(tmp_path) == []


def test_dagster_is_imported_by_the_code_location_alone() -> None:
    importing = {
        module
        for module, path in modules(REPOSITORY)
        if module.startswith("cj_pipeline")
        for _, name in imports(path, module)
        if name.split(".")[0].startswith("dagster")
    }
    assert importing - KNOW_DAGSTER == set()


def test_the_engine_does_no_io() -> None:
    worldly = (
        "asyncio",
        "httpx",
        "sqlalchemy",
        "starlette",
        "uvicorn",
        "time",
        "threading",
        "cj_pipeline.foundation.clock",
    )
    found = [
        f"{path.relative_to(REPOSITORY)}:{line}: {name}"
        for module, path in modules(REPOSITORY)
        if module.startswith("cj_pipeline.engine")
        for line, name in imports(path, module)
        if any(name == w or name.startswith(w + ".") for w in worldly)
    ]
    assert found == []


WITHOUT_DAGSTER = """
import importlib, sys

class NoDagster:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0].startswith("dagster"):
            raise ImportError(f"{name} is not installed")

sys.meta_path.insert(0, NoDagster())
for module in sys.argv[1:]:
    importlib.import_module(module)
"""


def test_cj_pipeline_works_without_dagster_installed() -> None:
    names = [module for module, _ in modules(REPOSITORY) if module.startswith("cj_pipeline")]
    names = [name for name in names if name not in KNOW_DAGSTER and not name.endswith("__main__")]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_DAGSTER, *names], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.stderr == ""
    assert done.returncode == 0


def test_assets_and_resources_are_ours() -> None:
    # Both names are common; an installed package of either would shadow the folder without a word.
    assert [Path(str(package.__file__)).parent for package in (assets, resources)] == [
        REPOSITORY / "assets",
        REPOSITORY / "resources",
    ]


def test_every_package_is_listed_for_installation() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    folders = {path.parent for _, path in modules(REPOSITORY)}
    present = sorted(".".join(folder.relative_to(REPOSITORY).parts) for folder in folders)
    assert project["tool"]["setuptools"]["packages"] == present
