"""This module tests what `cj-pipeline cj serve` says when it cannot start."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.terminal import Terminal


@pytest.mark.parametrize(
    ("database", "words"),
    [
        ("mysql://x/y", "CJ_ASSESSMENT_SERVICE_DATABASE_URL"),
        ("postgresql://nobody:secret@127.0.0.1:1/none", "The database cannot be used"),
        ("sqlite:////nowhere/at/all.db", "The database cannot be used"),
    ],
)
def test_a_database_that_cannot_be_used_is_a_sentence(
    cj_pipeline: Terminal, database: str, words: str, tmp_path: Path
) -> None:
    place = ("--port", "0", "--host", "127.0.0.1", "--bus", tmp_path / "bus")
    answer = cj_pipeline("cj", "serve", *place, "--database", database)
    assert answer.code == 2
    assert words in answer.err
    assert "secret" not in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "CJ_ASSESSMENT_SERVICE_DATABASE_URL: names no PostgreSQL"),
        ({"CJ_ASSESSMENT_SERVICE_DATABASE_URL": "postgresql://h/d"}, "CJ_ASSESSMENT_SERVICE_KAFKA_BOOTSTRAP_SERVERS"),
    ],
)
def test_production_says_which_variable_is_missing(
    cj_pipeline: Terminal, environment: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    for name, value in {"ENVIRONMENT": "production", **environment}.items():
        monkeypatch.setenv(name, value)
    answer = cj_pipeline("cj", "serve", "--port", "0", "--host", "127.0.0.1")
    assert (answer.code, "Traceback" in answer.err) == (2, False)
    assert words in answer.err
