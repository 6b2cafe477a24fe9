"""Files of JSON lines are read however they were saved, or refused in one sentence that says what to do."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.json_lines import bare_name, read_lines

TEXT = '{"a": "å"}\n\n{"b": 2}\r\n{"c": 3}'.encode()
LINES = ['{"a": "å"}'.encode(), b"", b'{"b": 2}\r', b'{"c": 3}']


def zstd(content: bytes) -> bytes:
    packed = pa.Codec("zstd").compress(content)
    return bytes(packed)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "BOM"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd], ids=["text", "gzip", "zstd"])
def test_a_file_is_read_by_its_content_whatever_it_is_called(pack: object, mark: bytes, tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(pack(mark + TEXT))  # type: ignore[operator]
    assert list(read_lines(path)) == LINES


def test_two_gzip_files_in_a_row_are_one(tmp_path: Path) -> None:
    path = tmp_path / "rotated.jsonl.gz"
    path.write_bytes(gzip.compress(b"1\n") + gzip.compress(b"2\n"))
    assert list(read_lines(path)) == [b"1", b"2"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_named_on_line_1(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "from_excel.jsonl"
    path.write_bytes('{"a": 1}\n'.encode(encoding))
    with pytest.raises(BadInput, match=r"from_excel\.jsonl:1: is UTF-16\. Save it as UTF-8") as caught:
        list(read_lines(path))
    assert "iconv" in caught.value.remedy


def test_another_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "latin1.jsonl"
    path.write_bytes(b'{"a": 1}\n' + '{"a": "å"}\n'.encode("cp1252"))
    with pytest.raises(BadInput, match=r"latin1\.jsonl:2: is not UTF-8\. Save it as UTF-8"):
        list(read_lines(path))
    assert len(list(read_lines(path, utf8=False))) == 2


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])
@pytest.mark.parametrize("spoil", ["cut", "changed"])
def test_a_damaged_file_is_refused_by_name(pack: object, spoil: str, tmp_path: Path) -> None:
    packed = bytearray(pack(b"".join(b'{"a": %d}\n' % n for n in range(1000))))  # type: ignore[operator]
    if spoil == "cut":
        del packed[-20:]
    else:
        packed[len(packed) // 2 :] = b"\x00" * (len(packed) - len(packed) // 2)
    path = tmp_path / "damaged.jsonl.gz"
    path.write_bytes(bytes(packed))
    with pytest.raises(BadInput, match=r"damaged\.jsonl\.gz:\d+: the compressed file is damaged"):
        list(read_lines(path))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.jsonl", tmp_path):
        with pytest.raises(BadInput, match="no such file"):
            list(read_lines(path))


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("today.jsonl", "today"),
        ("TODAY.NDJSON", "TODAY"),
        ("a.b.jsonl.gz", "a.b"),
        ("a.ndjson.zst", "a"),
        ("a.json", "a"),
        ("a.csv.gz", "a.csv"),
    ],
)
def test_names(name: str, bare: str) -> None:
    assert bare_name(Path(name)) == bare
