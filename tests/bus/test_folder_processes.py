"""A folder as a bus between processes: writers side by side, and writers killed with signal 9.

Here: real processes on a real folder. Not here: what one process can show (test_folder.py).
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from cj_pipeline.bus.folder import FolderBus
from tests.house import REPOSITORY

TOPIC = "results"
FILE = "results.jsonl"

# Publishes {"writer", "number", "padding"} lines, several in one turn, and says each number once `publish` returned.
WRITER = """
import asyncio, json, os, sys
from pathlib import Path
from cj_pipeline.bus.folder import FolderBus

async def main(folder, writer, messages, together, longest):
    bus = FolderBus(Path(folder))

    async def publish(number):
        padding = "x" * (number * 7919 % longest)
        await bus.publish("results", json.dumps({"writer": writer, "number": number, "padding": padding}).encode())
        os.write(1, b"%d\\n" % number)

    for first in range(0, messages, together):
        await asyncio.gather(*(publish(number) for number in range(first, first + together)))

folder, writer, *numbers = sys.argv[1:]
asyncio.run(main(folder, writer, *map(int, numbers)))
"""


def start_writer(folder: Path, writer: str, *, messages: int, together: int, longest: int) -> subprocess.Popen[bytes]:
    arguments = [str(folder), writer, str(messages), str(together), str(longest)]
    return subprocess.Popen([sys.executable, "-c", WRITER, *arguments], cwd=REPOSITORY, stdout=subprocess.PIPE)


def output(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdout is not None
    return process.stdout


def lines(folder: Path) -> list[tuple[str, int]]:
    """(writer, number) of every line; fails for a line that is not what one writer wrote."""
    content = (folder / FILE).read_bytes()
    assert content.endswith(b"\n")
    documents = [json.loads(line) for line in content.splitlines()]
    assert all(set(document["padding"]) <= {"x"} for document in documents)
    return [(document["writer"], document["number"]) for document in documents]


def test_two_writers_and_a_reader_share_a_folder(tmp_path: Path) -> None:
    async def read(number: int) -> list[tuple[str, int]]:
        subscription = FolderBus(tmp_path).subscribe(TOPIC)
        documents = [json.loads((await subscription.next()).value) for _ in range(number)]
        return [(document["writer"], document["number"]) for document in documents]

    with (
        start_writer(tmp_path, "a", messages=1002, together=3, longest=3000) as one,
        start_writer(tmp_path, "b", messages=1002, together=2, longest=9000) as other,
    ):
        found = asyncio.run(asyncio.wait_for(read(2004), timeout=60))
        one.communicate()
        other.communicate()
    assert (one.returncode, other.returncode) == (0, 0)
    assert found == lines(tmp_path)
    for writer in ("a", "b"):
        assert [number for name, number in found if name == writer] == list(range(1002))


@pytest.mark.parametrize(
    ("acknowledged", "together", "longest"),
    # The long lines make nearly all of the writer's time the write itself, which is where the kill should fall.
    [(1, 1, 10), (40, 4, 2_000), (300, 1, 2_000), (3, 3, 900_000), (12, 2, 900_000), (30, 5, 900_000)],
)
def test_a_writer_killed_at_any_point_loses_nothing_that_it_had_published(
    tmp_path: Path, acknowledged: int, together: int, longest: int
) -> None:
    with start_writer(tmp_path, "killed", messages=10**6, together=together, longest=longest) as process:
        said = [int(output(process).readline()) for _ in range(acknowledged)]
        process.kill()
        said += [int(line) for line in output(process).read().split()]
    assert process.returncode == -9

    asyncio.run(FolderBus(tmp_path).publish(TOPIC, b'{"writer":"next","number":0,"padding":""}'))
    *killed, after = lines(tmp_path)
    assert after == ("next", 0)
    assert killed == [("killed", number) for number in range(len(killed))]
    assert {number for _, number in killed} >= set(said)


def test_a_writer_that_is_killed_beside_another_does_not_spoil_its_lines(tmp_path: Path) -> None:
    with start_writer(tmp_path, "stays", messages=200, together=1, longest=200_000) as stays:
        for acknowledged in (1, 4, 9):
            with start_writer(tmp_path, "killed", messages=10**6, together=2, longest=900_000) as killed:
                for _ in range(acknowledged):
                    output(killed).readline()
                killed.kill()
                output(killed).read()
        stays.communicate()
    assert stays.returncode == 0
    asyncio.run(FolderBus(tmp_path).publish(TOPIC, b'{"writer":"next","number":0,"padding":""}'))
    found = lines(tmp_path)
    assert [number for writer, number in found if writer == "stays"] == list(range(200))
    assert found[-1] == ("next", 0)
