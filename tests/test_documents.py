"""This module tests that the documents say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

from cj_pipeline.cli.main import COMMANDS
from cj_pipeline.contracts.engine_settings import EngineSettings
from cj_pipeline.reports.reference import TABLES, with_tables
from cj_pipeline.reports.rooms import FLOORS, modules
from cj_pipeline.traces.scenario import Scenario
from cj_pipeline.warehouse.schemas import HISTORY, HISTORY_SCHEMA, SCHEMAS

REPOSITORY = Path(__file__).parents[1]
DOCUMENTS = sorted((REPOSITORY / "docs").glob("*.md"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_tables_in_the_documents_are_those_of_the_code(path: Path) -> None:
    # Out of date? make docs
    text = path.read_text(encoding="utf-8")
    assert with_tables(text, path) == text


def test_every_table_stands_in_some_document() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    assert [name for name in TABLES if f"<!-- {name} -->" not in text] == []


def test_every_query_in_the_documents_is_one_that_the_warehouse_answers() -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in (*DOCUMENTS, REPOSITORY / "README.md"))
    queries = re.findall(r'^ +cj-pipeline sql "([^"]+)"', pages, re.MULTILINE)
    assert queries
    with duckdb.connect() as connection:
        for dataset, schema in {**SCHEMAS, HISTORY: HISTORY_SCHEMA}.items():
            rows = schema.empty_table()
            connection.register("no_rows", rows)
            connection.execute(f"create table {dataset} as from no_rows")
        for query in queries:
            connection.sql(query)


def test_the_page_of_commands_names_every_command() -> None:
    page = (REPOSITORY / "docs" / "commands.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if not re.search(rf"cj-pipeline {name}\b", page)] == []


def test_the_readme_fits_what_it_is_about_on_one_screen() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", readme, re.MULTILINE)
    assert headings[:2] == ["Two commands", "What you see"]
    assert readme[: readme.index(f"## {headings[2]}")].count("\n") <= 50


def test_pages_that_the_readme_links_exist() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(([\w./-]+)\)", readme))
    assert {name for name in linked if not (REPOSITORY / name).exists()} == set()
    assert {str(path.relative_to(REPOSITORY)) for path in DOCUMENTS} - linked == set()


def test_the_scenario_document_explains_every_key() -> None:
    document = (REPOSITORY / "docs" / "scenarios.md").read_text(encoding="utf-8")
    assert [key for key in Scenario.model_fields if f"`{key}" not in document] == []
    explained = ("pairing", "max_pairwise_comparisons", "min_comparisons_for_stability_check", "llm_batching_mode")
    assert [key for key in explained if f"`engine.{key}`" not in document] == []
    assert set(explained) <= EngineSettings.model_fields.keys()


def test_files_that_the_documents_name_exist() -> None:
    named = {
        name
        for path in (*DOCUMENTS, REPOSITORY / "README.md")
        for name in re.findall(r"`((?:cj_pipeline|docs|tests|traces)/[\w./]+\.\w+)`", path.read_text(encoding="utf-8"))
    }
    assert {name for name in named if not (REPOSITORY / name).exists()} == set()
    assert named


def test_tests_that_the_documents_name_exist() -> None:
    named = {
        (name, test)
        for path in DOCUMENTS
        for name, test in re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", path.read_text(encoding="utf-8"))
    }
    texts = {name: (REPOSITORY / name).read_text(encoding="utf-8") for name, _ in named}
    assert {f"{name}::{test}" for name, test in named if f"def {test}(" not in texts[name]} == set()
    assert len(named) > 30


def test_the_architecture_page_puts_every_room_on_its_floor() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) \| ([^|]+) \|", text, re.MULTILINE)
    names = re.compile(r"`(?:cj_pipeline/)?(cj_pipeline(?=`)|\w+(?=/|\.py))")
    floors = {room: int(floor) for floor, cell in rows for room in names.findall(cell)}
    assert floors == dict(FLOORS)


def glossary() -> list[str]:
    text = (REPOSITORY / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE)
    return [word for word in words if word != "word"]


def test_the_glossary_has_at_most_forty_words_and_each_once() -> None:
    assert 0 < len(glossary()) <= 40
    assert len(set(glossary())) == len(glossary())


def test_every_word_of_the_glossary_is_used() -> None:
    pages = [path for path in (*DOCUMENTS, REPOSITORY / "README.md") if path.name != "glossary.md"]
    sources = [path for _, path in modules(REPOSITORY)]
    text = "".join(path.read_text(encoding="utf-8") for path in (*pages, *sources))
    assert [word for word in glossary() if not re.search(rf"\b{re.escape(word)}s?\b", text, re.IGNORECASE)] == []
