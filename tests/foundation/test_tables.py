"""One reader of tables: kinds, encodings, separators, headings, and nothing dropped in silence."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openpyxl import Workbook

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.tables import Column, read_table, warn_of_lookalikes

WANTED = (Column("winner", ("winner",)), Column("loser", ("loser",)), Column("count", ("count",), required=False))
ROWS = [("Åsa", "Örjan", 3), ("Örjan", "Åsa", 1)]


def text_of(separator: str, heading: str = "winner,loser,count") -> str:
    lines = [heading.replace(",", separator), *(separator.join(map(str, row)) for row in ROWS)]
    return "\n".join(lines) + "\n"


def lines_of(heading: str) -> str:
    return "".join(json.dumps({heading: winner, "loser": loser, "count": n}) + "\n" for winner, loser, n in ROWS)


def read(path: Path) -> list[tuple[str, str, float]]:
    return [(row.text("winner"), row.text("loser"), row.number("count")) for row in read_table(path, WANTED).rows]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", text_of(",").encode()),
        ("a.CSV", text_of(",").encode("utf-8-sig")),
        ("a.csv", text_of(";").encode("utf-16")),
        ("a.csv", text_of("\t").encode()),
        ("a.tsv", text_of("\t").replace("\n", "\r\n").encode()),
        ("a.csv", text_of(";", "Winner, LOSER ,Count").encode()),
        ("a.csv", text_of(", ", "winner,loser,count").encode()),
        ("a.csv", (text_of(",") + ",,\n\n").encode()),
        ("a.csv", '"winner","loser","count"\n"Åsa","Örjan",3\n"Örjan","Åsa",1\n'.encode("utf-8-sig")),
        ("a.csv", text_of(",").replace("Å", "A\u030a").encode()),
        ("a.jsonl", lines_of("winner").replace("\n", "\n\n").encode()),
        ("a.NDJSON", lines_of("Winner").encode("utf-8-sig")),
    ],
)  # fmt: skip
def test_every_kind_of_text_gives_the_same_rows(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert read(tmp_path / name) == ROWS


def test_workbooks_and_parquet_give_them_too(tmp_path: Path) -> None:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["Winner", "Loser", "Count"])
    for row in ROWS:
        sheet.append(list(row))
    book.save(tmp_path / "a.xlsx")
    columns = dict(zip(("winner", "loser", "count"), map(list, zip(*ROWS, strict=True)), strict=True))
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert read(tmp_path / "a.xlsx") == read(tmp_path / "a.parquet") == ROWS


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"", "a.csv: no rows"),
        ("a.csv", b"winner,loser\n", "a.csv: no rows"),
        ("a.jsonl", b"\n", "a.jsonl: no rows"),
        ("a.csv", "winner,loser\nÅsa,b\n".encode("cp1252"), "a.csv:2: is not UTF-8. Save it as CSV UTF-8."),
        ("a.jsonl", b'{"winner": "\xc5", "loser": "b"}\n', "a.jsonl:1: is not UTF-8"),
        ("a.csv", "winner,loser\na,b\n".encode("utf-16-le"), "a.csv:1: is not text: it holds a NUL"),
        ("a.csv", b"winner|loser\na|b\n", "a.csv:1: has no column winner; line 1 has the column 'winner|loser'"),
        ("a.csv", b"best,worst\na,b\n", "the columns 'best', 'worst'. The first line is winner,loser[,count]"),
        ("a.csv", b"winner,Winner,loser\na,b,c\n", "line 1 has the columns 'winner', 'Winner'; keep one of them"),
        ("a.csv", b"winner,loser\na,b,c\n", "a.csv:2: has 3 cells, line 1 has 2"),
        ("a.csv", b"winner,loser\na,\n", "a.csv:2: loser: missing"),
        ("a.csv", b'winner,loser\n"a,b\nc,d\n', "not a row"),
        ("a.jsonl", b'{"winner": "a", "loser": ["b"]}\n', "a.jsonl:1: loser: ['b'] is neither text nor a whole number"),
        ("a.jsonl", b"[" * 100_000, "a.jsonl:1: not JSON"),
        ("a.xlsx", b"no", "a.xlsx: not an Excel workbook"),
        ("a.parquet", b"no", "a.parquet: not a parquet file"),
        ("a.ods", b"", "'.ods' is not a kind that is read. Known: .csv, .tsv, .xlsx"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput) as refused:
        [(row.text("winner"), row.text("loser")) for row in read_table(tmp_path / name, WANTED).rows]
    assert words in str(refused.value)


def test_columns_and_sheets_that_are_not_used_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.csv").write_text(",winner,loser,judge\n1,a,b,x\n")
    book = Workbook()
    for title in ("first", "second"):
        sheet = book.create_sheet(title)
        sheet.append(["winner", "loser"])
        sheet.append(["a", "b"])
    book.save(tmp_path / "a.xlsx")
    with caplog.at_level(logging.WARNING):
        read_table(tmp_path / "a.csv", WANTED)
        read_table(tmp_path / "a.xlsx", WANTED)
    text = "\n".join(caplog.messages)
    assert "a.csv: not used: the columns no. 1 (no heading), 'judge'" in text
    assert "a.xlsx: not used: the sheet 'second'" in text


def test_a_private_table_without_headings_does_not_show_its_first_pupil(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Asa Lindqvist,A\n")
    with pytest.raises(BadInput) as refused:
        read_table(tmp_path / "a.csv", WANTED, private=True)
    assert "Asa" not in str(refused.value)


def test_names_that_print_alike_get_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        warn_of_lookalikes(Path("a.csv"), ["anna b", "anna\u00a0b", "carl", "carl\u200b", "dora"])
    assert [message.count("look the same") for message in caplog.messages] == [1, 1]
