"""A publisher that is killed before or after any request to object storage leaves the old run or the new one."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cj_pipeline.foundation.data_path import DataPath
from cj_pipeline.warehouse.data_root import data_root
from cj_pipeline.warehouse.history import read_history
from cj_pipeline.warehouse.publishing import publish
from cj_pipeline.warehouse.store import Warehouse
from tests.object_storage.test_storage import ANCHORS, CHECKS, scenario
from tests.warehouse.rows import made

pytestmark = pytest.mark.servers("s3")

__all__ = ["scenario"]

WRITES = ("put_object", "copy_object")
"""In this order: the prepared history, the pointer, the history, the catalogue."""

POINTER = 2


def published_and_shown(address: str, folder: Path) -> None:
    """What the last step of a run does."""
    warehouse = Warehouse(data_root(address))
    publish(warehouse.run("r2", ANCHORS), folder)
    warehouse.rebuild_catalogue([ANCHORS])


def die_at(number: int, after: bool, environment: dict[str, str], address: str, folder: Path) -> None:
    """Publish r2 in this process, and be killed before or after the write of this number."""
    os.environ.update(environment)
    from cj_pipeline.warehouse.object_storage import ObjectStorage

    answered: Callable[..., Any] = ObjectStorage._answered
    writes = 0

    async def dying(self: object, method: str, *arguments: Any, **named: Any) -> Any:
        nonlocal writes
        writes += method in WRITES
        mine = method in WRITES and writes == number
        if mine and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = await answered(self, method, *arguments, **named)
        if mine:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    ObjectStorage._answered = dying  # type: ignore[method-assign]
    published_and_shown(address, folder)


def check(root: DataPath) -> bool:
    """Whether r2 is published; everything that is there is whole, whichever it is."""
    warehouse = Warehouse(root)
    (pointer,) = warehouse.published([ANCHORS])
    history = [row["run_id"] for row in read_history(root, ANCHORS)]
    assert history == ["r1"] * 2 + ["r2"] * 2 * (pointer.run_id == "r2")
    assert len(warehouse.published_run(ANCHORS).read("parity_checks", "parity")) == 2
    # The catalogue shows the one or the other, and all of it.
    assert warehouse.query("select distinct run_id from parity_checks").num_rows == 1
    return pointer.run_id == "r2"


def test_killed_before_or_after_each_write_the_old_run_or_the_new_one_is_published_and_whole(
    root: DataPath, address: str, scenario: Path
) -> None:
    warehouse = Warehouse(root)
    publish(made(warehouse.run("r1", ANCHORS), CHECKS), scenario)
    warehouse.rebuild_catalogue([ANCHORS])
    made(warehouse.run("r2", ANCHORS), CHECKS)
    shown = (warehouse.catalogue_path, root / "published" / f"{ANCHORS}.json")
    before = [path.read_bytes() for path in shown]
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["cj_pipeline.warehouse.object_storage", "cj_pipeline.warehouse.publishing"])
    environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    outcomes = []
    for number in range(1, 10):
        for after in (False, True):
            # As it was before r2 was published.
            for path in (root / "history" / ANCHORS).glob("*r2*"):
                path.unlink()
            for path, content in zip(shown, before, strict=True):
                path.write_bytes(content)
            process = processes.Process(target=die_at, args=(number, after, environment, address, scenario))
            process.start()
            process.join(120)
            if process.exitcode == 0:
                assert outcomes == [False, False, False, True, True, True, True, True]
                assert check(root)
                return
            assert process.exitcode == -signal.SIGKILL
            outcomes.append(check(root))
            if (number, after) == (POINTER, True):  # published, and not in the history yet: the next one sees to it
                published_and_shown(address, scenario)
                assert check(root)
    pytest.fail("no process came to its end")
