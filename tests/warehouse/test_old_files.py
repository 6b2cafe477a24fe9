"""This module tests that a history, a trace, nights, messages, drafts, ledgers and jobs of older versions are read."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from cj_pipeline.alerts.night import last_night
from cj_pipeline.alerts.outbox import outbox, send_waiting
from cj_pipeline.eng5.experiments.ledger import Ledger
from cj_pipeline.foundation.versions import NewerVersion
from cj_pipeline.runs.recording.draft import RunDraft
from cj_pipeline.services.lps.providers.batches.store import JobStore
from cj_pipeline.traces.store import trace_recordings
from cj_pipeline.warehouse.history import history_folder, read_history
from tests.warehouse.old_folder import EVENING, FIRST, NIGHT, OLD, newer, rebuild

PILOT = "old_pilot"
NOW = datetime(2026, 12, 1, 5, tzinfo=UTC)


def test_the_history_of_the_first_code_that_kept_one_is_read(tmp_path: Path) -> None:
    rebuild(OLD / EVENING, tmp_path)
    rows = read_history(tmp_path / "data", PILOT)
    assert len(rows) == 58
    assert {(row["run_verdict"], row["seed"], row["code_sha"][:7]) for row in rows} == {("CANNOT TELL", 42, EVENING)}
    (path,) = history_folder(tmp_path / "data", PILOT).iterdir()
    newer(path)
    with pytest.raises(NewerVersion, match="is version 9 of the history of a run"):
        read_history(tmp_path / "data", PILOT)


def test_an_old_trace_is_read_with_its_mode(tmp_path: Path) -> None:
    rebuild(OLD / FIRST, tmp_path)
    scenario, (recording,) = trace_recordings(tmp_path / "traces" / PILOT)
    assert (scenario.scenario_id, recording.provenance.origin.value) == (PILOT, "imported")


@pytest.fixture
def night(tmp_path: Path) -> Path:
    return rebuild(OLD / NIGHT, tmp_path) / "data"


def test_an_old_message_is_sent_by_the_channel_that_did_not_take_it(night: Path) -> None:
    sent: list[str] = []
    (kept,) = outbox(night)
    assert kept.waiting == ("webhook", "email")
    assert send_waiting(night, {"webhook": lambda alert: sent.append(alert.id)}, NOW) == []
    assert sent == [kept.alert.id]
    (path,) = (night / "alerts").glob("*.json")
    assert json.loads(path.read_bytes())["schema_version"] == 2
    assert outbox(night)[0].waiting == ("email",)


def test_a_message_of_a_newer_version_is_named_and_kept(night: Path) -> None:
    (path,) = (night / "alerts").glob("*.json")
    newer(path)
    before = path.read_bytes()
    (problem,) = send_waiting(night, {}, NOW)
    assert problem.startswith(f"{path}: is version 9 of a kept message, which a newer cj-pipeline wrote")
    assert path.read_bytes() == before


def test_an_old_night_says_since_when_a_scenario_is_red(night: Path) -> None:
    found = last_night(night, date(2026, 12, 1))
    assert found is not None
    outcome = found.of(PILOT)
    assert outcome is not None
    assert outcome.since == date(2026, 11, 28)
    newer(night / "nights" / "2026-11-30.json")
    with pytest.raises(NewerVersion, match=r"2026-11-30\.json: is version 9 of the record of a night"):
        last_night(night, date(2026, 12, 1))


def test_an_unfinished_recording_goes_on_where_it_was(night: Path) -> None:
    path = night.parent / "traces" / ".pilot.recording" / "run_1.sqlite"
    draft = RunDraft(path, None)
    assert (draft.taken, draft.calls, draft.exposure_usd, draft.asked_again) == (2, 3, 0.06, 0)
    assert [event.data.winner for event in draft.events().values()] == ["Essay B", "Essay B"]
    draft.close()
    assert user_version(path) == 2
    user_version(path, 9)
    before = path.read_bytes()
    with pytest.raises(NewerVersion, match="is version 9 of an unfinished capture, recording or ENG5 run"):
        RunDraft(path, None)
    assert path.read_bytes() == before


def test_the_ledger_of_an_old_experiment_counts_what_was_spent(night: Path) -> None:
    path = night / "eng5" / "experiments" / "pilot" / "spent.sqlite"
    ledger = Ledger(path)
    assert (ledger.of("low"), ledger.total()) == (1.25, 1.75)
    assert not ledger.claim("high", 1.0, 2.0)
    assert user_version(path) == 2
    user_version(path, 9)
    with pytest.raises(NewerVersion, match="is version 9 of the ledger of an experiment"):
        Ledger(path)


def test_an_old_job_is_collected_and_a_newer_one_left(night: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = JobStore(night.parent / "jobs")
    (job,) = store.jobs()
    assert (job.job_id, job.custom_ids, job.remote_id) == ("job-1", ("a", "b"), "batch_1")
    assert store.drop(job, {"a"}) is None
    assert store.jobs()[0].custom_ids == ("b",)
    path = night.parent / "jobs" / "job-1.json"
    assert json.loads(path.read_bytes())["schema_version"] == 2
    newer(path)
    assert store.jobs() == []
    assert "job-1.json: is version 9 of a job at a provider" in caplog.text
    assert store.drop(job, {"b"}) is None
    assert path.is_file()


def user_version(path: Path, version: int | None = None) -> int:
    """Return the version of an SQLite file, or set it."""
    with closing(sqlite3.connect(path)) as database:
        if version is not None:
            database.execute(f"PRAGMA user_version = {version:d}")
        return int(database.execute("PRAGMA user_version").fetchone()[0])
