"""Whenever a run is killed, the data folder is the old one or the new one, and the next run needs no broom.

What a killed process leaves is what is on the disk at that moment. So one run is watched: before and after every rename
the folder is copied, and once more with the file that is being written cut in half.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cj_pipeline.definitions import materialise
from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.parity.history.history import load_history
from cj_pipeline.parity.tables import stored_verdicts
from cj_pipeline.warehouse.prune import YOUNGEST, prune
from cj_pipeline.warehouse.publishing import publish
from cj_pipeline.warehouse.schemas import OPTIONAL, PARTS
from cj_pipeline.warehouse.store import Warehouse
from tests.sides import LOWER5, TRACES

pytestmark = pytest.mark.servers("services")  # three runs, and a look at a hundred copies: 20 s

SCENARIO_FOLDER = TRACES / LOWER5


@dataclass
class Moments:
    """Copies of a data folder. renamed: the files that got their names, in this order."""

    data: Path
    to: Path
    copies: list[Path] = field(default_factory=list)
    renamed: list[Path] = field(default_factory=list)

    def keep(self, cut: Path | None = None) -> None:
        copy = self.to / f"{len(self.copies):03d}"
        shutil.copytree(self.data, copy, ignore=shutil.ignore_patterns("cache"), symlinks=True)
        if cut is not None:
            half = copy / cut.relative_to(self.data)
            half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
        self.copies.append(copy)

    def watch(self, replace: Callable[..., None]) -> Callable[..., None]:
        def watched(source: str | Path, target: str | Path, **options: int) -> None:
            if not Path(target).is_relative_to(self.data) or "cache" in Path(target).parts:
                replace(source, target, **options)
                return
            self.keep()
            if (beside := Path(source)).name.startswith(".") and not beside.name.endswith(".pending"):
                self.keep(cut=beside)
            replace(source, target, **options)
            self.renamed.append(Path(target))
            self.keep()

        return watched


@dataclass(frozen=True)
class Watched:
    """moments: of the second run of a scenario, which the first run has published; following: the folder of a third."""

    moments: Moments
    following: Path


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    folder = tmp_path_factory.mktemp("killed")
    found = Moments(folder / "data", folder / "copies")
    (first,) = materialise([LOWER5], data_dir=found.data, traces_dir=TRACES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", found.watch(os.replace))
        (second,) = materialise([LOWER5], data_dir=found.data, traces_dir=TRACES)
    (third,) = materialise([LOWER5], data_dir=folder / "other", traces_dir=TRACES)
    assert (first.success, second.success, third.success) == (True, True, True)
    return Watched(found, third.run.folder.parent)


def test_every_dataset_and_everything_that_is_published_was_written_under_watch(watched: Watched) -> None:
    renamed = watched.moments.renamed
    assert {path.parent.name for path in renamed if path.suffix == ".parquet"} >= set(PARTS) - set(OPTIONAL)
    assert {path.parent.name for path in renamed} >= {"published", LOWER5}  # the latter in the history
    assert renamed[-1].name == "warehouse.duckdb"
    assert len(watched.moments.copies) > 2 * len(renamed) > 2 * 20


def test_at_every_moment_one_whole_verdict_is_published_and_in_the_history(watched: Watched) -> None:
    published, before = [], b""
    for copy in watched.moments.copies:
        files = sorted(path for path in copy.rglob("*") if path.is_file() and "runs" not in path.parts)
        now = b"".join(path.read_bytes() for path in files)
        if now != before:  # else only a folder has grown that nobody looks at
            published.append(one_whole_verdict(Warehouse(copy)))
        before = now
    assert len(set(published)) == 2
    assert published == sorted(published, key=published.index)  # from the old one to the new one, and never back


def one_whole_verdict(warehouse: Warehouse) -> str:
    """The run that people look at, by every way of looking."""
    (pointer,), problems = warehouse.sound([LOWER5])
    (verdict,), _ = stored_verdicts(warehouse, [LOWER5])
    history = load_history(warehouse.root, LOWER5)
    assert history is not None
    assert (problems, warehouse.damage(), verdict.words) == ([], [], "PARITY")
    assert verdict.run_id == history.nights[-1].run_id == pointer.run_id
    rows = warehouse.query("select count(distinct run_id) as runs, count(*) as n from parity_checks").to_pylist()
    assert rows == [{"runs": 1, "n": verdict.checks_on + verdict.checks_off}]
    return pointer.run_id


def test_after_every_moment_the_next_run_is_published_and_old_pieces_go_by_themselves(watched: Watched) -> None:
    # A third run that was made elsewhere: to compute one after each moment would take as long as all other tests.
    next_run = watched.following.name
    for copy in watched.moments.copies[::3]:
        warehouse = Warehouse(copy)
        shutil.copytree(watched.following, copy / "runs" / next_run)
        publish(warehouse.run(next_run, LOWER5), SCENARIO_FOLDER)
        warehouse.rebuild_catalogue([LOWER5])
        assert warehouse.query("select distinct run_id from parity_checks").to_pylist() == [{"run_id": next_run}]
        prune(warehouse, utc_now() + 2 * YOUNGEST, keep=1)
        assert [path.name for path in (copy / "runs").iterdir()] == [next_run]
        assert [path for path in copy.rglob(".*") if path.is_file() and "lock" not in path.name] == []
