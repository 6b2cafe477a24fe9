"""What users name is a file, or refused in a sentence at once: nothing waits for the other end of a pipe."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cj_pipeline.foundation import input_file, json_lines, table_files
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.input_file import open_input, read_input, refuse_large_archive
from cj_pipeline.foundation.json_lines import read_lines
from cj_pipeline.foundation.table_files import READERS, read_text
from cj_pipeline.foundation.yaml_file import MOST_BYTES, read_yaml
from cj_pipeline.traces.provenance import read_provenance, verify_checksums
from cj_pipeline.traces.summary import read_summary

FULL_OF_ZEROS = 2 * 2**30


def lines(path: Path) -> Iterable[bytes]:
    return list(read_lines(path))


READ = [read_yaml, read_text, lines, read_input, open_input]


@pytest.mark.parametrize("read", READ)
@pytest.mark.timeout(20)
def test_a_pipe_that_nobody_writes_to_is_refused(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = tmp_path / "pipe.yaml"
    os.mkfifo(path)
    with pytest.raises(BadInput, match="is a pipe"):
        read(path)


@pytest.mark.parametrize("read", READ)
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/tty0"])
@pytest.mark.timeout(20)
def test_a_device_is_refused(read: Callable[[Path], object], device: str) -> None:
    if not Path(device).exists() or not os.access(device, os.R_OK):
        pytest.skip(f"no {device} here")
    with pytest.raises((BadInput, OSError)):
        read(Path(device))


@pytest.mark.parametrize("read", READ)
def test_a_folder_a_circle_of_links_and_a_name_too_long_are_refused(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    for path in (tmp_path, circle, tmp_path / ("a" * 5000), tmp_path / "missing", tmp_path / "missing" / "x"):
        with pytest.raises((BadInput, OSError)):
            read(path)


@pytest.mark.parametrize("read", READ[:-1])
@pytest.mark.timeout(30)
def test_two_gigabytes_are_refused_and_not_read(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as file:
        file.truncate(FULL_OF_ZEROS)
    with pytest.raises(BadInput, match=r"longer than|UTF-16"):
        read(path)


def test_a_file_of_exactly_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"a: x" + b"1" * (MOST_BYTES - 4))
    assert read_yaml(path).holds(["a"])
    path.write_bytes(b"a: x" + b"1" * (MOST_BYTES - 3))
    with pytest.raises(BadInput, match="longer than 16 MiB"):
        read_yaml(path)


def test_a_line_without_end_is_refused_by_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "MOST_LINE_BYTES", 2**20)
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"{}\n" + b"x" * 2**20 + b"\n")
    with pytest.raises(BadInput, match=r"x\.jsonl:2: is longer than 1 MiB"):
        lines(path)
    path.write_bytes(b"{}\n" + b"x" * (2**20 - 1) + b"\n\n{}")
    assert [len(line) for line in read_lines(path)] == [2, 2**20 - 1, 0, 2]


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "grades.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b" " * 3 * 2**20)
    refuse_large_archive(path)
    monkeypatch.setattr(input_file, "MOST_UNPACKED_BYTES", 2 * 2**20)
    with pytest.raises(BadInput, match="unpacks to 3 MiB"):
        READERS[".xlsx"](path, frozenset())


def test_a_parquet_file_of_one_value_a_hundred_million_times_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_files, "MOST_ROWS", 1000)
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"winner": ["a"] * 1001}), path)
    with pytest.raises(BadInput, match="has 1,001 rows"):
        READERS[".parquet"](path, frozenset())


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret", ".."])
def test_sums_name_files_of_their_folder_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("x")
    folder = tmp_path / "trace"
    folder.mkdir()
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  {name}\n")
    with pytest.raises(BadInput, match="is no file of this folder") as refused:
        verify_checksums(folder)
    assert "sha256 is" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "read"),
    [("SHA256SUMS", verify_checksums), ("provenance.json", read_provenance), ("summary.json", read_summary)],
)
@pytest.mark.timeout(20)
def test_a_trace_folder_with_a_pipe_in_place_of_a_file_is_refused(
    tmp_path: Path, name: str, read: Callable[[Path], object]
) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(BadInput, match="is a pipe"):
        read(tmp_path)
