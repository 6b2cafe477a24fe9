"""A full disk costs the run that met it, in one sentence, and nothing stored; with room the next run goes on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cj_pipeline.instance import URL_VARIABLE
from tests.cli.terminal import Terminal
from tests.faults.disks import Disk, cannot_mount, needs_mount, small_disk
from tests.sides import LOWER5, TRACES

assert cannot_mount  # which the marker asks

pytestmark = [needs_mount, pytest.mark.servers("services")]  # a run takes seconds, and there are a dozen

NO_ROOM = "No space left on device"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk", "6m") as made:
        yield made


@pytest.fixture
def terminal(cj_pipeline: Terminal, disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """The terminal with one scenario, and a data folder on a disk that can be filled."""
    shutil.copytree(TRACES / LOWER5, tmp_path / "traces" / LOWER5)
    monkeypatch.setenv("CJ_PIPELINE_TRACES_DIR", str(tmp_path / "traces"))
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(disk.path / "data"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    return cj_pipeline


def published_run(terminal: Terminal) -> str:
    (row,) = terminal("sql", "select distinct run_id from parity_checks", "--json").document
    return str(row["run_id"])


def test_a_run_that_finds_no_room_breaks_off_and_the_old_verdict_stays_until_there_is_room(
    terminal: Terminal, disk: Disk
) -> None:
    assert terminal("materialize").code == 0
    before = published_run(terminal)
    for left in (0, 330 * 1024):  # not for the first file; for all parts, and not for the catalogue
        disk.fill(left)
        answer = terminal("materialize")
        assert answer.code == 2
        assert f"broke off: {'warehouse_catalogue' if left else ''}" in answer.err
        assert f"{disk.path}/data/" in answer.err
        assert f"{NO_ROOM} (" in answer.err
        assert "Make room, and run it again." in answer.err
        assert "Traceback" not in answer.err
        assert "Not as expected" not in answer.out
        assert disk.left_over() == []
        assert published_run(terminal) == before
        disk.make_room()
    assert terminal("materialize").code == 0
    assert published_run(terminal) != before


def test_a_night_whose_dagster_home_is_full_says_so_and_the_next_one_goes_on(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "home_disk", "3m") as home:
        monkeypatch.setenv("DAGSTER_HOME", str(home.path / "home"))
        home.fill(100 * 1024)
        answer = terminal("nightly", "--night", "2026-05-03")
        assert (answer.code, "Traceback" in answer.err, "internal error" in answer.err) == (2, False, False)
        assert f"error: {home.path}/home: Dagster's storage cannot be used: database or disk is full." in answer.err
        home.make_room()
        assert terminal("nightly", "--night", "2026-05-03").code == 0


def test_a_night_whose_message_finds_no_room_is_told_once_there_is_room(
    terminal: Terminal, disk: Disk, tmp_path: Path
) -> None:
    unusable = tmp_path / "traces" / LOWER5 / "scenario.yaml"
    unusable.write_text(unusable.read_text().replace("profile: eng5_lower5", "profile: eng5_lover5"))
    (disk.path / "data").mkdir()
    disk.fill()
    answer = terminal("nightly", "--night", "2026-05-03")
    assert (answer.code, NO_ROOM in answer.err, "Traceback" in answer.err) == (2, True, False)
    assert disk.left_over() == []
    disk.make_room()
    assert terminal("nightly", "--night", "2026-05-03").code == 2  # the scenario is still unusable
    (kept,) = terminal("alerts", "list", "--json").document
    assert "cannot be used" in str(kept)


@pytest.mark.parametrize("left", [0, 12 * 1024, 48 * 1024])
def test_an_import_that_finds_no_room_leaves_no_trace_and_works_with_room(
    terminal: Terminal, disk: Disk, tmp_path: Path, left: int
) -> None:
    given = tmp_path / "given"
    given.mkdir()
    shutil.copy(TRACES / LOWER5 / "llm_callbacks.jsonl", given)
    target = disk.path / "recordings"
    target.mkdir()
    disk.fill(left)
    asked = ("traces", "import", "spring", "--from-folder", given, "--output-dir", target)
    answer = terminal(*asked)
    assert (answer.code, "Traceback" in answer.err) == (2, False)
    assert "disk is full" in answer.err or NO_ROOM in answer.err
    assert "ake room" in answer.err
    assert list(target.iterdir()) == []
    disk.make_room()
    assert terminal(*asked).code == 0
    assert terminal("traces", "validate", target / "spring").code == 0


def test_a_read_only_data_folder_can_be_read_and_what_would_write_says_so(terminal: Terminal, disk: Disk) -> None:
    assert terminal("materialize").code == 0
    before = published_run(terminal)
    disk.remount("ro")
    answer = terminal("materialize")
    assert (answer.code, "Traceback" in answer.err) == (2, False)
    assert "Read-only file system. Choose another place, or mount it for writing." in answer.err
    assert published_run(terminal) == before
    for reading in (("history",), ("history", LOWER5), ("parity", LOWER5), ("doctor",), ("warehouse", "prune")):
        assert terminal(*reading).code in {0, 2}
    disk.remount("rw")
    assert terminal("materialize").code == 0


def test_a_calibration_and_pages_that_find_no_room_leave_what_was_there(terminal: Terminal, disk: Disk) -> None:
    mode, pages = disk.path / "mode.yaml", disk.path / "pages"
    assert terminal("materialize").code == 0
    assert terminal("history", "--html", pages).code == 0
    mode.write_text("")
    kept = (pages / "index.html").read_bytes()
    disk.fill()
    for asked, path in (
        (("history", "--html", pages), pages),
        (("calibrate", LOWER5, "-o", disk.path / "m.yaml"), mode),
    ):
        answer = terminal(*asked)
        assert (answer.code, NO_ROOM in answer.err) == (2, True)
        assert path.exists()
    assert (pages / "index.html").read_bytes() == kept
    assert (disk.left_over(), (disk.path / "m.yaml").exists()) == ([], False)
