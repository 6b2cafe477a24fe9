"""This module tests recordings through a served LPS, whose callbacks come over a folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cj_pipeline.bus.folder import FolderBus
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.runs.recording.asking import JudgeAway
from cj_pipeline.runs.recording.deployed import DeployedJudge, deployed_judge
from cj_pipeline.runs.recording.record import record
from cj_pipeline.runs.recording.spending import Price
from cj_pipeline.runs.remote import Deployment
from cj_pipeline.traces.provenance import read_provenance
from cj_pipeline.traces.recording_provenance import RecordedJudge
from cj_pipeline.traces.store import trace_recordings
from tests.runs.recording.fake_judge import request_of
from tests.runs.recording.local_server import Server, serving
from tests.services.lps.served import Served

MODEL = "gpt-4.1-mini-2025-04-14"
JUDGE = RecordedJudge(provider=Provider.OPENAI, model=MODEL, max_tokens=100)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as served:
        yield served


@pytest.fixture(scope="module")
def lps(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("lps")
    with Served(folder, openai_base_url=server.url, openai_api_key="none") as served:
        yield served


def behind(lps: Served, price: Price | None = None) -> DeployedJudge:
    return deployed_judge(JUDGE, Deployment(lps.url, lambda: FolderBus(lps.folder)), price)


@pytest.fixture(autouse=True)
def fresh(server: Server) -> None:
    server.prompts.clear()
    server.hangs_at = 0
    server.hanging.clear()
    server.release.clear()


def test_two_runs_are_recorded_through_a_service(lps: Served, server: Server, tmp_path: Path) -> None:
    folder = record(request_of(tmp_path, judge=JUDGE, on_this_machine=False), behind(lps)).folder
    _, recordings = trace_recordings(folder)
    assert set(server.asked.values()) == {2}
    recorded = [one.provenance.recorded for one in recordings if one.provenance.recorded]
    assert [one.through for one in recorded] == ["deployed LPS"] * 2
    assert [one.provider_calls for one in recorded] == [None, None]
    # The manifest has its price, and the callbacks say what they cost.
    assert all(one.spent_usd is not None and 0 < one.spent_usd < 0.01 for one in recorded)


def test_what_the_service_answered_while_nobody_listened_is_not_asked_again(
    lps: Served, server: Server, tmp_path: Path
) -> None:
    server.hangs_at = 4
    request = request_of(tmp_path, judge=JUDGE, runs=1, concurrency=2)
    with pytest.raises(JudgeAway, match="no callback came within"):
        record(request, behind(lps), patience_s=1.0)
    server.release.set()
    folder = record(request, behind(lps)).folder
    assert set(server.asked.values()) == {1}
    recorded = read_provenance(folder).recorded
    assert recorded is not None
    assert recorded.asked_again == 0


def test_the_limit_counts_what_callbacks_say(lps: Served, server: Server, tmp_path: Path) -> None:
    """A dollar a token: the worst price of a comparison is about 2,500, and its callback says a few cents."""
    request = request_of(tmp_path, judge=JUDGE, runs=1)
    dear = behind(lps, Price(1.0, 1.0))
    with pytest.raises(BadInput, match="do not allow one call"):
        record(replace(request, budget_usd=1000.0), dear)
    assert server.prompts == []
    record(replace(request, budget_usd=4000.0), dear)
    assert set(server.asked.values()) == {1}


def test_a_mock_is_no_judge_to_record(server: Server, tmp_path: Path) -> None:
    with Served(tmp_path, use_mock_llm=True) as mock, pytest.raises(BadInput, match="a mock answers there"):
        record(request_of(tmp_path / "traces", judge=JUDGE), behind(mock))
    assert server.prompts == []
