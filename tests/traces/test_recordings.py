"""A scenario holds one recording or more; each is verified, and folders of one trace read as they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.store import MAIN, check_callbacks, read_trace, trace_recordings
from tests.traces.folders import LOWER5, TRACES, checksum_lines, copy_of

FILES = ("llm_callbacks.jsonl", "summary.json", "provenance.json")


def with_second(into: Path, name: str = "second.run-2") -> Path:
    """A trace folder with a further recording: the same callbacks in another order."""
    folder = copy_of(LOWER5, into)
    second = folder / "recordings" / name
    second.mkdir(parents=True)
    for file in FILES:
        shutil.copy(folder / file, second / file)
    callbacks = second / "llm_callbacks.jsonl"
    callbacks.write_bytes(b"".join(reversed(callbacks.read_bytes().splitlines(keepends=True))))
    seal(folder)
    return folder


def seal(folder: Path) -> None:
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    covered = tuple(name for name in names if name not in ("SHA256SUMS", "scenario.yaml"))
    (folder / "SHA256SUMS").write_text(checksum_lines(folder, covered), encoding="utf-8")


def test_a_folder_of_one_trace_has_its_main_recording() -> None:
    trace = read_trace(TRACES / LOWER5)
    (main,) = trace.recordings
    assert (main.name, main.folder, main.sha256) == (MAIN, TRACES / LOWER5, trace.sha256)


def test_further_recordings_follow_the_main_one(tmp_path: Path) -> None:
    folder = with_second(tmp_path)
    trace = read_trace(folder)
    main, second = trace.recordings
    assert (main.name, second.name, second.path) == (
        "main",
        "second.run-2",
        folder / "recordings" / "second.run-2" / "llm_callbacks.jsonl",
    )
    assert trace.sha256 == main.sha256 != second.sha256
    assert [check_callbacks(recording, trace.scenario) for recording in trace.recordings] == [10, 10]


@pytest.mark.parametrize("file", FILES)
def test_a_further_recording_is_verified_byte_by_byte(file: str, tmp_path: Path) -> None:
    folder = with_second(tmp_path)
    path = folder / "recordings" / "second.run-2" / file
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(BadInput, match="sha256 is") as caught:
        trace_recordings(folder)
    assert caught.value.path == path


def test_a_further_recording_that_nothing_covers_is_refused(tmp_path: Path) -> None:
    folder = with_second(tmp_path)
    shutil.copy(TRACES / LOWER5 / "SHA256SUMS", folder / "SHA256SUMS")
    with pytest.raises(BadInput, match=r"llm_callbacks\.jsonl: is not listed in SHA256SUMS"):
        trace_recordings(folder)


@pytest.mark.parametrize("name", ["main", "MAIN", "second run", "å", "\u0430", "aux", "run.", "a" * 101])
def test_a_name_that_no_recording_may_have(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is not a recording's name"):
        trace_recordings(with_second(tmp_path, name))


def test_a_further_recording_of_another_scenario_is_refused(tmp_path: Path) -> None:
    folder = with_second(tmp_path)
    path = folder / "recordings" / "second.run-2" / "provenance.json"
    path.write_text(path.read_text().replace(LOWER5, "another"))
    seal(folder)
    with pytest.raises(BadInput, match="is 'another', but this is"):
        trace_recordings(folder)


def test_the_first_bad_line_of_a_recording_is_named_and_the_others_counted(tmp_path: Path) -> None:
    folder = with_second(tmp_path)
    path = folder / "recordings" / "second.run-2" / "llm_callbacks.jsonl"
    path.write_bytes(path.read_bytes() + b"{}\n[]\n")
    seal(folder)
    scenario, (_, second) = trace_recordings(folder)
    with pytest.raises(BadInput, match=r"llm_callbacks\.jsonl:11: .*\(and 1 more lines\)"):
        check_callbacks(second, scenario)
