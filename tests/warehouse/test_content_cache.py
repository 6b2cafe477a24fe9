"""The cache keeps what it can, and never gives back anything but what was put there."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from cj_pipeline.warehouse.content_cache import ContentCache, cache_in

KEY, OTHER, THIRD = "a" * 64, "b" * 64, "c" * 64
VALUES = {"numbers": np.arange(1_000.0), "single": np.asarray(3.5)}


@pytest.fixture(autouse=True)
def no_shared_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CJ_PIPELINE_CACHE_DIR")


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_an_entry_is_read_as_it_was_written(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    cache.put(KEY, VALUES)
    found = cache.get(KEY)
    assert found is not None
    assert {name: array.tolist() for name, array in found.items()} == {
        name: array.tolist() for name, array in VALUES.items()
    }
    assert [path.parent for path in tmp_path.rglob("*.npz")] == [tmp_path / "cache"]


def test_the_environment_names_one_cache_for_all_data_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CJ_PIPELINE_CACHE_DIR", str(tmp_path / "shared"))
    assert cache_in(tmp_path / "data") == ContentCache(tmp_path / "shared")


def test_what_was_never_written_is_not_there(tmp_path: Path) -> None:
    assert cache_in(tmp_path).get(KEY) is None
    assert not any(tmp_path.iterdir())


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def one_bit_off(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [truncated, one_bit_off, lambda content: b"", lambda content: b"{}"])
def test_a_damaged_entry_is_no_entry_and_can_be_written_again(tmp_path: Path, damage: object) -> None:
    cache = ContentCache(tmp_path)
    cache.put(KEY, VALUES)
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get(KEY) is None
    cache.put(KEY, VALUES)
    assert cache.get(KEY) is not None


def test_an_entry_with_objects_in_it_is_not_run(tmp_path: Path) -> None:
    np.savez(tmp_path / f"{KEY}.npz", thing=np.array([{"code": "would be unpickled"}], dtype=object))
    assert ContentCache(tmp_path).get(KEY) is None


def test_the_entries_that_nobody_used_make_room(tmp_path: Path) -> None:
    cache = ContentCache(tmp_path, most_bytes=20_000)  # room for two
    for number, key in enumerate((KEY, OTHER)):
        cache.put(key, VALUES)
        os.utime(tmp_path / f"{key}.npz", (1_000 + number, 1_000 + number))
    cache.get(KEY)
    cache.put(THIRD, VALUES)
    assert cache.get(OTHER) is None
    assert cache.get(KEY) is not None
    assert cache.get(THIRD) is not None
    assert size_of(tmp_path) <= 20_000


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    left, young = tmp_path / f".{KEY}.npz.1", tmp_path / f".{OTHER}.npz.2"
    for path in (left, young):
        path.write_bytes(b"half")
    os.utime(left, (0, 0))
    ContentCache(tmp_path).put(KEY, VALUES)
    assert (left.exists(), young.exists()) == (False, True)


def test_a_folder_that_cannot_be_written_costs_no_result(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder would be")
    cache = cache_in(tmp_path)
    cache.put(KEY, VALUES)
    assert cache.get(KEY) is None


def test_many_writers_of_one_entry_leave_it_whole(tmp_path: Path) -> None:
    cache = ContentCache(tmp_path, most_bytes=20_000)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: cache.put((KEY, OTHER, THIRD)[number % 3], VALUES), range(60)))
        found = [entry for entry in pool.map(cache.get, (KEY, OTHER, THIRD)) if entry is not None]
    assert found
    assert all(np.array_equal(entry["numbers"], VALUES["numbers"]) for entry in found)
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_another_process_reads_the_same_entry(tmp_path: Path) -> None:
    ContentCache(tmp_path).put(KEY, VALUES)
    program = (
        "import sys; from pathlib import Path; from cj_pipeline.warehouse.content_cache import ContentCache; "
        "print(float(ContentCache(Path(sys.argv[1])).get(sys.argv[2])['numbers'].sum()))"
    )
    printed = subprocess.run([sys.executable, "-c", program, tmp_path, KEY], capture_output=True, text=True, check=True)
    assert float(printed.stdout) == VALUES["numbers"].sum()
