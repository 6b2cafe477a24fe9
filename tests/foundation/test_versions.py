"""This module tests what is said of a version that is known, older, newer, or none."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cj_pipeline.foundation import stored_formats
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.stored_formats import ALL
from cj_pipeline.foundation.versions import NewerVersion, Stored, claim_database, marked, read_marked
from tests.house import REPOSITORY

BOX = Stored("a box", "`boxes/`", version=4, mark="`schema_version`", older="read", newer="refused", oldest=2)
FILE = Path("boxes/a.json")


@pytest.mark.parametrize("version", [2, 3, 4])
def test_versions_that_are_read_are_returned(version: int) -> None:
    assert BOX.known(version, FILE) == version


READS = "reads versions 2 to 4."
OLD = f"is version 1 of a box; this cj-pipeline {READS} Use the version of cj-pipeline that wrote it."


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (5, f"is version 5 of a box, which a newer cj-pipeline wrote; this one {READS} Upgrade cj-pipeline."),
        (1, OLD),
        (None, OLD),
        (True, "True is no version of a box. Put it back."),
        ("3", "'3' is no version of a box. Put it back."),
        (3.0, "3.0 is no version of a box. Put it back."),
    ],
)
def test_any_other_is_refused_by_file_version_and_remedy(found: object, sentence: str) -> None:
    with pytest.raises(BadInput) as refused:
        BOX.known(found, FILE)
    assert str(refused.value) == f"{FILE}: {sentence}"
    assert isinstance(refused.value, NewerVersion) == (found == 5)


def test_a_document_is_read_as_it_was_written() -> None:
    assert read_marked(BOX, b'{"schema_version": 4, "a": 1}', FILE) == {"a": 1}
    assert marked(BOX, {"a": 1}) == {"schema_version": 4, "a": 1}


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"[1]", "no JSON object"), (b"{", "Expecting"), (b"\xff", "decode"), (b"[" * 100_000, "nested too deeply")],
)
def test_what_is_no_json_object_is_an_error_of_values(content: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_marked(BOX, content, FILE)


def test_a_database_is_marked_and_a_newer_one_left() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        database.execute("PRAGMA user_version = 3")
        claim_database(BOX, database, FILE)
        assert database.execute("PRAGMA user_version").fetchone() == (4,)
        database.execute("PRAGMA user_version = 5")
        with pytest.raises(NewerVersion):
            claim_database(BOX, database, FILE)
        assert database.execute("PRAGMA user_version").fetchone() == (5,)


NAMES = {name: value for name, value in vars(stored_formats).items() if isinstance(value, Stored) and name.isupper()}


def test_every_format_is_in_the_list() -> None:
    assert list(NAMES.values()) == list(ALL)
    assert len({one.what for one in ALL}) == len(ALL)


def test_every_format_is_asked_for_by_the_module_that_reads_it() -> None:
    # Scenarios, modes and provenance are held to theirs by the type of their field.
    code = {
        path: path.read_text(encoding="utf-8")
        for path in (REPOSITORY / "cj_pipeline").rglob("*.py")
        if path.name != "stored_formats.py"
    }
    unread = [
        name
        for name in NAMES
        if not any(
            f"stored_formats import {name}\n" in text or f"stored_formats import {name} as" in text
            for text in code.values()
        )
    ]
    assert unread == ["SCENARIO"]
