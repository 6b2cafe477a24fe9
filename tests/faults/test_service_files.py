"""The files of the LPS are whole or as they were, where the disk takes no more."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cj_pipeline.contracts.enums import Provider
from cj_pipeline.foundation.disk import DiskError
from cj_pipeline.services.lps.providers.batches.job import Job
from cj_pipeline.services.lps.providers.batches.store import JobStore
from cj_pipeline.services.lps.providers.kept_replies import KeptReplies
from cj_pipeline.services.lps.providers.model import StructuredOutput
from tests.faults.test_output_files import no_file_beyond


def job(requests: int) -> Job:
    return Job(
        job_id="j1",
        provider=Provider.OPENAI,
        base_url="https://api.openai.com/v1",
        model="gpt-5.1",
        structure=StructuredOutput.JSON_SCHEMA,
        created_at=datetime(2025, 12, 1, tzinfo=UTC),
        custom_ids=tuple(f"request-{number}" for number in range(requests)),
        submitted=requests,
    )


def test_a_job_that_cannot_be_stored_leaves_the_stored_one_and_nothing_else(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs")
    store.put(job(2))
    with no_file_beyond(2048), pytest.raises(DiskError, match=r"j1\.json: File too large"):
        store.put(job(500))
    assert [len(one.custom_ids) for one in store.jobs()] == [2]
    assert [path.name for path in (tmp_path / "jobs").iterdir()] == ["j1.json"]
    assert (tmp_path / "jobs/j1.json").stat().st_mode & 0o777 == 0o600
    store.put(job(500))
    assert [len(one.custom_ids) for one in store.jobs()] == [500]


def test_half_a_reply_is_not_kept(tmp_path: Path) -> None:
    kept = KeptReplies(tmp_path, 10**6)
    with no_file_beyond(2048), pytest.raises(OSError, match="File too large"):
        kept._write(tmp_path / "a.reply.json", b"x" * 10_000)
    assert list(tmp_path.iterdir()) == []
    kept._write(tmp_path / "a.reply.json", json.dumps({}).encode())
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"{}"]
