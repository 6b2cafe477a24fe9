"""This module tests the commands in front of data that older, newer and damaged versions of the program left."""

from __future__ import annotations

import json
import os
from hashlib import sha256
from pathlib import Path

import pytest

from cj_pipeline.foundation import exit_codes
from cj_pipeline.warehouse.store import Warehouse
from tests.cli.terminal import Terminal, printed_rows
from tests.warehouse.old_folder import EVENING, FIRST, NIGHT, OLD, newer, rebuild
from tests.warehouse.rows import metric, published

PILOT = "old_pilot"


@pytest.fixture
def old(tmp_path: Path, cj_pipeline: Terminal, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """The data folder of the first code with run folders, with its traces."""
    rebuild(OLD / FIRST, tmp_path)
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("CJ_PIPELINE_TRACES_DIR", str(tmp_path / "traces"))
    return Warehouse(tmp_path / "data")


def test_every_reading_command_takes_an_old_folder(old: Warehouse, cj_pipeline: Terminal, tmp_path: Path) -> None:
    answer = cj_pipeline("sql", "select side, batch, name from judges order by side", "--json")
    assert answer.document == [{"side": side, "batch": 0, "name": PILOT} for side in ("live", "recorded")]
    history = cj_pipeline("history")
    assert (history.code, "older than the history, which begins with the next run" in history.out) == (0, True)
    pages = cj_pipeline("history", "--html", tmp_path / "pages")
    assert pages.code == 0, pages.err
    assert "CANNOT TELL" in (tmp_path / "pages" / "scenarios" / f"{PILOT}.html").read_text(encoding="utf-8")
    for command in (("traces", "validate", PILOT), ("replay", PILOT), ("warehouse", "prune"), ("alerts", "list")):
        found = cj_pipeline(*command)
        assert found.code == 0, found.err
    assert cj_pipeline("parity", PILOT, "--json").code in (exit_codes.CANNOT_TELL, exit_codes.CHECK_FAILED)


def test_the_history_of_an_older_version_is_shown(old: Warehouse, cj_pipeline: Terminal, tmp_path: Path) -> None:
    rebuild(OLD / EVENING, tmp_path)
    (row,) = printed_rows(cj_pipeline("history").out, "History")
    assert row[:3] == [PILOT, "1", "CANNOT TELL"]
    assert cj_pipeline("sql", "select count(*) as n from history", "--json").document == [{"n": 58}]


def test_a_folder_is_migrated_once_and_a_trial_of_it_changes_nothing(old: Warehouse, cj_pipeline: Terminal) -> None:
    before = {path: path.read_bytes() for path in old.root.rglob("*") if path.is_file()}
    trial = cj_pipeline("warehouse", "migrate", "--dry-run")
    assert {path: path.read_bytes() for path in old.root.rglob("*") if path.is_file()} == before
    done, again = cj_pipeline("warehouse", "migrate"), cj_pipeline("warehouse", "migrate")
    assert [answer.code for answer in (trial, done, again)] == [0, 0, 0]
    assert "of old_pilot: 18 parts would be version 2" in trial.out
    assert "of old_pilot: 18 parts are version 2" in done.out
    assert "18 parts of version 2; nothing to do" in again.out


def contents(root: Path) -> dict[Path, bytes]:
    """Every file but those that processes only lock."""
    return {one: one.read_bytes() for one in root.rglob("*") if one.is_file() and one.suffix != ".lock"}


PART = f"runs/*/{PILOT}/runs/live.parquet"
POINTER = f"published/{PILOT}.json"


@pytest.mark.parametrize(
    ("file", "named", "command"),
    [
        (PART, "a part of a run", ("history", "--html", "pages")),
        (PART, "a part of a run", ("sql", "from runs")),
        (PART, "a part of a run", ("warehouse", "migrate")),
        (POINTER, "the pointer to a published run", ("history",)),
        (POINTER, "the pointer to a published run", ("sql", "from runs")),
        (POINTER, "the pointer to a published run", ("warehouse", "prune")),
        (POINTER, "the pointer to a published run", ("warehouse", "migrate", "--dry-run")),
        ("warehouse.duckdb", "the catalogue", ("sql", "from runs")),
        ("warehouse.duckdb", "the catalogue", ("warehouse", "migrate")),
    ],
)
def test_what_a_newer_version_wrote_is_refused_and_left(
    old: Warehouse, cj_pipeline: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    file: str, named: str, command: tuple[str, ...],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (path,) = old.root.glob(file)
    newer(path)
    before = contents(old.root)
    answer = cj_pipeline(*command)
    assert answer.code == exit_codes.BAD_INPUT
    assert f"{path}: is version 9 of {named}, which a newer cj-pipeline wrote" in answer.err
    assert answer.err.endswith("Upgrade cj-pipeline.")
    assert contents(old.root) == before


def test_a_run_of_datasets_that_only_a_newer_version_knows_is_not_pruned(old: Warehouse, cj_pipeline: Terminal) -> None:
    unknown = old.run("tomorrow", PILOT).folder / "forecasts"
    unknown.mkdir(parents=True)
    part = unknown / "live.parquet"
    part.write_bytes(b"PAR1")
    os.utime(part, (1.7e9, 1.7e9))
    answer = cj_pipeline("warehouse", "prune")
    assert (answer.code, answer.out, part.is_file()) == (0, "runs removed: 0\n", True)
    assert answer.err.startswith(f"warning: {unknown}: is no dataset that this cj-pipeline knows, so its run stays.")


def write_listed(path: Path, text: str) -> None:
    """Write a file of a trace as its author would: with its digest in SHA256SUMS, if it has a line there."""
    before = sha256(path.read_bytes()).hexdigest()
    path.write_text(text, encoding="utf-8")
    sums = path.with_name("SHA256SUMS")
    sums.write_text(sums.read_text(encoding="utf-8").replace(before, sha256(path.read_bytes()).hexdigest()))


NEW_KEY = "schema_version: 2\nof_tomorrow: 1\n"


@pytest.mark.parametrize(("name", "command"), [("scenario.yaml", "replay"), ("mode.yaml", "parity")])
def test_a_file_of_a_newer_trace_says_so_before_its_keys(
    old: Warehouse, cj_pipeline: Terminal, tmp_path: Path, name: str, command: str
) -> None:
    path = tmp_path / "traces" / PILOT / name
    write_listed(path, path.read_text(encoding="utf-8").replace("schema_version: 1\n", NEW_KEY))
    answer = cj_pipeline(command, PILOT)
    assert answer.code == exit_codes.BAD_INPUT
    assert f"{path}:" in answer.err
    assert "schema_version: a newer cj-pipeline wrote version 2; this one reads version 1: upgrade" in answer.err


def test_provenance_of_a_newer_version_says_so(old: Warehouse, cj_pipeline: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "traces" / PILOT / "provenance.json"
    write_listed(path, json.dumps({**json.loads(path.read_bytes()), "schema_version": 2, "of_tomorrow": 1}))
    answer = cj_pipeline("replay", PILOT)
    assert answer.code == exit_codes.BAD_INPUT
    assert f"{path}: schema_version:" in answer.err
    assert "a newer cj-pipeline wrote version 2" in answer.err


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda content: content[: len(content) // 2], "Materialise the whole scenario."),
        (lambda _: b"", "Materialise the whole scenario."),
        (lambda _: b"{}", "Materialise the whole scenario."),
    ],
)
def test_a_damaged_part_is_named_with_its_remedy_and_other_runs_stay_readable(
    old: Warehouse, cj_pipeline: Terminal, tmp_path: Path, damage: object, named: str
) -> None:
    published(old.run("r2", "anchors"), {"service_metrics": [metric("anchors")]})
    path = old.published_run(PILOT).path("callbacks", "live")
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    bad = exit_codes.BAD_INPUT
    commands = {
        ("history", "--html", tmp_path / "pages"): bad,
        ("sql", "from callbacks"): 0,
        ("warehouse", "migrate"): bad,
    }
    for command, code in commands.items():
        answer = cj_pipeline(*command)
        assert answer.code == code
        assert str(path) in answer.err
        assert named in answer.err
    answer = cj_pipeline("sql", "select scenario_id from service_metrics", "--json")
    assert answer.document == [{"scenario_id": "anchors"}]


@pytest.mark.parametrize("text", ['{"schema_version": 2, "scenario_id"', "[]", '{"schema_version": 2}', "\x00"])
def test_a_pointer_that_was_cut_off_is_named_and_the_others_are_migrated(
    old: Warehouse, cj_pipeline: Terminal, text: str
) -> None:
    path = old.root / POINTER
    path.write_text(text, encoding="utf-8")
    sql, migrated = cj_pipeline("sql", "from runs"), cj_pipeline("warehouse", "migrate")
    assert (sql.code, migrated.code) == (0, exit_codes.BAD_INPUT)
    assert sql.err.startswith("warning: not in the answer: ")
    for answer in (sql, migrated):
        assert f"{path}: is no pointer to a run. Materialise the scenario again." in answer.err
    assert "18 parts are version 2" in migrated.out


def test_a_night_of_a_newer_version_is_refused_by_name(
    cj_pipeline: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = rebuild(OLD / NIGHT, tmp_path) / "data"
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(data))
    (path,) = (data / "nights").iterdir()
    newer(path)
    answer = cj_pipeline("alerts", "check")
    assert answer.code == exit_codes.BAD_INPUT
    assert f"{path}: is version 9 of the record of a night" in answer.err


def test_a_message_of_a_newer_version_is_named_beside_the_others(
    cj_pipeline: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = rebuild(OLD / NIGHT, tmp_path) / "data"
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(data))
    (path,) = (data / "alerts").iterdir()
    newer(path)
    answer = cj_pipeline("alerts", "list")
    assert f"warning: {path}: is version 9 of a kept message" in answer.err
