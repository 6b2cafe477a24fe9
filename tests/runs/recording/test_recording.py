"""This module tests recordings of a real provider: to the end, stopped, resumed, within a limit, and redacted."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from starlette.responses import JSONResponse, Response

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.runs.recording.asking import JudgeAway
from cj_pipeline.runs.recording.continuing import wanted
from cj_pipeline.runs.recording.draft import draft_folder
from cj_pipeline.runs.recording.embedded import embedded_judge, provider_of
from cj_pipeline.runs.recording.record import RecordingProgress, RecordingStopped, record
from cj_pipeline.runs.recording.spending import Price
from cj_pipeline.traces.provenance import TraceOrigin, read_provenance
from cj_pipeline.traces.reader import read_callbacks
from cj_pipeline.traces.recording_provenance import RecordedJudge
from cj_pipeline.traces.redaction.pseudonyms import Pseudonyms
from cj_pipeline.traces.redaction.redaction import Redaction
from cj_pipeline.traces.redaction_policy import RedactionPolicy
from cj_pipeline.traces.store import read_trace, trace_recordings
from tests.runs.recording.fake_judge import TEXTS, FakeJudge, reply, request_of

ASKED = 10  # pairs of five essays
DOLLAR_A_TOKEN = Price(1.0, 1.0)


def test_two_runs_become_one_trace_with_two_recordings(tmp_path: Path) -> None:
    judge = FakeJudge()
    written = record(request_of(tmp_path), judge.behind_lps(tmp_path))
    trace = read_trace(written.folder)
    assert [one.name for one in trace.recordings] == ["main", "run_2"]
    for recording in trace.recordings:
        callbacks = [line.event.data for line in read_callbacks(recording.path).events]
        assert len(callbacks) == ASKED
        assert {one.model for one in callbacks} == {"tiny"}
        assert all((one.winner == "Essay A") == (one.essay_ids()[0] > one.essay_ids()[1]) for one in callbacks)
    assert set(judge.asked.values()) == {2}
    assert trace.provenance.origin is TraceOrigin.RECORDED
    assert not draft_folder(written.folder).exists()
    assert not list(tmp_path.glob(".*"))


def test_a_recording_names_its_judge_its_prompt_and_its_seed(tmp_path: Path) -> None:
    request = request_of(tmp_path, runs=1, seed=7)
    folder = record(request, FakeJudge().behind_lps(tmp_path)).folder
    recorded = read_provenance(folder).recorded
    assert recorded is not None
    assert (recorded.judge, recorded.design.seed) == (request.judge, 7)
    assert (recorded.prompt.name, recorded.prompt.sha256) == ("plain.v1", request.prompt.sha256)
    assert recorded.prompt.texts == request.prompt.texts
    scenario = read_trace(folder).scenario
    assert scenario.provider.prompt is not None
    assert (scenario.provider.prompt.sha256, scenario.provider.temperature) == (request.prompt.sha256, 0.0)
    fitted_from = load_mode(str(folder / "mode.yaml")).fitted_from
    assert fitted_from is not None
    assert fitted_from.prompt == scenario.provider.prompt


@pytest.mark.parametrize("change", ["seed", "prompt", "temperature"])
def test_another_seed_prompt_or_temperature_is_another_recording(tmp_path: Path, change: str) -> None:
    request = request_of(tmp_path, runs=1)
    other = {
        "seed": lambda: replace(request, seed=2),
        "prompt": lambda: replace(request, prompt=request.prompt.model_copy(update={"question": "Which?"})),
        "temperature": lambda: replace(request, judge=request.judge.model_copy(update={"temperature": 1.0})),
    }[change]()
    judge = FakeJudge().behind_lps(tmp_path)
    record(request, judge)
    assert wanted(request) is None
    with pytest.raises(BadInput, match=f"is a recording with another {change}"):
        wanted(other)


def test_what_was_stopped_goes_on_and_asks_nothing_twice(tmp_path: Path) -> None:
    judge, stop = FakeJudge(), threading.Event()

    def until_seven(progress: RecordingProgress) -> None:
        if progress.answered == 7:
            stop.set()

    request = request_of(tmp_path, concurrency=2)
    with pytest.raises(RecordingStopped, match=r"8 of 20|7 of 20"):
        record(request, judge.behind_lps(tmp_path, llm_max_concurrent_requests=2), on_progress=until_seven, stop=stop)
    folder = record(request, judge.behind_lps(tmp_path)).folder
    assert set(judge.asked.values()) == {2}
    _, recordings = trace_recordings(folder)
    assert [one.provenance.recorded.asked_again for one in recordings if one.provenance.recorded] == [0, 0]


def test_a_model_with_an_address_of_its_own_is_recorded_without_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = tmp_path / "models.yaml"
    entry = "{model_id: small, provider: openai, base_url: 'http://localhost:11434/v1'}"
    manifest.write_text(f"schema_version: 1\nmodels: [{entry}]\n")
    monkeypatch.setenv("LLM_PROVIDER_SERVICE_MODEL_MANIFEST_PATH", str(manifest))
    asked = RecordedJudge(provider=provider_of("small", None), model="small")
    judge = embedded_judge(asked, base_url=None, price=None, concurrency=1, folder=tmp_path / "described")
    assert (judge.on_this_machine, judge.missing_key, judge.price) == (True, "", Price(0.0, 0.0))
    monkeypatch.setenv("OPENAI_API_KEY", "sk")
    elsewhere = embedded_judge(
        asked, base_url="http://other.invalid/v1", price=None, concurrency=1, folder=tmp_path / "described"
    )
    assert not elsewhere.on_this_machine


class Killed(BaseException):
    """What ends a process in the middle; nothing catches it."""


def test_what_was_in_flight_when_the_process_died_is_asked_again_and_counted(tmp_path: Path) -> None:
    def dies(call: int) -> Response | None:
        if call == 4:
            raise Killed
        return None

    judge = FakeJudge(answer=dies)
    request = request_of(tmp_path, runs=1)
    with pytest.raises((JudgeAway, Killed)):
        record(request, judge.behind_lps(tmp_path), patience_s=0.2)
    folder = record(request, judge.behind_lps(tmp_path)).folder
    assert sorted(judge.asked.values()) == [1] * 9 + [2]
    recorded = read_provenance(folder).recorded
    assert recorded is not None
    assert (recorded.asked_again, recorded.provider_calls) == (1, 11)


def test_an_unfinished_recording_goes_on_with_the_same_options_only(tmp_path: Path) -> None:
    judge, stop = FakeJudge(), threading.Event()
    request = request_of(tmp_path)
    with pytest.raises(RecordingStopped):
        record(request, judge.behind_lps(tmp_path), on_progress=lambda _: stop.set(), stop=stop)
    with pytest.raises(BadInput, match="seed"):
        record(replace(request, seed=2), judge.behind_lps(tmp_path))


@pytest.mark.parametrize("limit", [3000.0, 4200.0])
def test_no_call_is_made_that_could_pass_the_limit(tmp_path: Path, limit: float) -> None:
    """A token costs a dollar: the worst price of a call is its bytes and 100, about 1,900; its own price about 150."""
    judge = FakeJudge()
    request = request_of(tmp_path, budget_usd=limit)
    lps = judge.behind_lps(tmp_path, price=DOLLAR_A_TOKEN)
    with pytest.raises(RecordingStopped, match="spend limit"):
        record(request, lps)
    assert sum(reply(body)["usage"]["total_tokens"] for body in judge.bodies) <= limit
    before = len(judge.bodies)
    assert before > 0
    with pytest.raises(RecordingStopped, match="spend limit"):  # a session more has no money more
        record(request, lps)
    assert len(judge.bodies) == before
    record(replace(request, budget_usd=100_000.0), lps)
    assert set(judge.asked.values()) == {2}


def test_a_limit_that_allows_no_call_is_refused(tmp_path: Path) -> None:
    judge = FakeJudge()
    with pytest.raises(BadInput, match="600 USD do not allow one call about the two longest essays"):
        record(request_of(tmp_path, budget_usd=600.0), judge.behind_lps(tmp_path, price=DOLLAR_A_TOKEN))
    assert judge.bodies == []


def test_calls_without_a_known_price_count_with_their_worst_one(tmp_path: Path) -> None:
    """A reply without usage, or a lost connection, may have been billed."""
    without_usage = {"choices": [{"message": {"content": "no"}, "finish_reason": "stop"}]}
    judge = FakeJudge(answer=lambda _: JSONResponse(without_usage))
    request = request_of(tmp_path, budget_usd=5000.0)
    with pytest.raises(RecordingStopped, match="spend limit"):
        record(request, judge.behind_lps(tmp_path, price=DOLLAR_A_TOKEN))
    assert 1 <= len(judge.bodies) <= 5


def test_a_limit_without_a_price_is_refused(tmp_path: Path) -> None:
    lps = replace(FakeJudge().behind_lps(tmp_path), price=None)
    with pytest.raises(BadInput, match="no limit could hold"):
        record(request_of(tmp_path, budget_usd=1.0), lps)


def refuses(_: int) -> Response:
    return JSONResponse({"error": {"message": "no such key", "code": "invalid_api_key"}}, 401)


def test_a_refused_key_ends_the_recording_at_once_and_is_no_part_of_it(tmp_path: Path) -> None:
    judge = FakeJudge(answer=refuses)
    request = request_of(tmp_path)
    with pytest.raises(JudgeAway, match="cannot be asked"):
        record(request, judge.behind_lps(tmp_path))
    assert len(judge.bodies) == 1
    assert not draft_folder(request.target).exists()
    judge.answer = lambda _: None
    folder = record(request, judge.behind_lps(tmp_path)).folder
    assert read_trace(folder).callbacks.events[0].event.data.succeeded


def test_a_judge_that_is_not_there_ends_the_recording_and_is_no_part_of_it(tmp_path: Path) -> None:
    def nobody() -> httpx.AsyncClient:
        def refuse(request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("refused", request=request)

        return httpx.AsyncClient(transport=httpx.MockTransport(refuse))

    judge = FakeJudge()
    request = request_of(tmp_path)
    with pytest.raises(JudgeAway, match="nobody answers at the judge's address"):
        record(request, replace(judge.behind_lps(tmp_path), open_client=nobody))
    folder = record(request, judge.behind_lps(tmp_path)).folder
    assert all(line.event.data.succeeded for line in read_trace(folder).callbacks.events)


def test_a_judge_that_goes_away_in_the_middle_ends_the_recording_and_is_no_part_of_it(tmp_path: Path) -> None:
    def breaks_off(call: int) -> Response | None:
        if call > 5:
            raise httpx.ReadError("gone")
        return None

    judge = FakeJudge(answer=breaks_off)
    request = request_of(tmp_path)
    with pytest.raises(JudgeAway, match="3 comparisons in a row found no judge"):
        record(request, judge.behind_lps(tmp_path, queue_max_retries=0, circuit_breaker_enabled=False))
    judge.answer = lambda _: None
    folder = record(request, judge.behind_lps(tmp_path)).folder
    assert all(line.event.data.succeeded for line in read_trace(folder).callbacks.events)
    recorded = read_provenance(folder).recorded
    assert recorded is not None
    assert recorded.asked_again == 3


def test_a_model_that_the_server_lacks_ends_the_recording_at_once(tmp_path: Path) -> None:
    lacks = JSONResponse({"error": {"message": "model 'tiny' not found", "type": "not_found_error"}}, 404)
    judge = FakeJudge(answer=lambda _: lacks)
    with pytest.raises(JudgeAway, match="cannot be asked"):
        record(request_of(tmp_path), judge.behind_lps(tmp_path))
    assert len(judge.bodies) == 1


def test_the_judges_own_failures_are_part_of_the_recording(tmp_path: Path) -> None:
    cut = reply({"messages": [{"content": "Essay A:\na\n\nEssay B:\nb\n\n"}]}, finish_reason="length")
    judge = FakeJudge(answer=lambda call: JSONResponse(cut) if call == 3 else None)
    folder = record(request_of(tmp_path, runs=1), judge.behind_lps(tmp_path, queue_max_retries=0)).folder
    outcomes = [line.event.data.succeeded for line in read_trace(folder).callbacks.events]
    assert outcomes.count(False) == 1
    assert len(outcomes) == ASKED


def test_the_engine_chooses_where_fewer_than_all_pairs_are_wanted(tmp_path: Path) -> None:
    judge = FakeJudge()
    folder = record(request_of(tmp_path, comparisons=6), judge.behind_lps(tmp_path)).folder
    _, recordings = trace_recordings(folder)
    shown = [[line.event.data.essay_ids() for line in read_callbacks(one.path).events] for one in recordings]
    assert shown[0] == shown[1]
    assert len({frozenset(pair) for pair in shown[0]}) == 6
    assert {essay for pair in shown[0] for essay in pair} == set(TEXTS)


def test_a_redacted_recording_has_no_name_and_no_sentence_and_resumes(tmp_path: Path) -> None:
    names = {f"Ada Lovelace {number}": text for number, text in enumerate(TEXTS.values())}
    request = request_of(tmp_path)
    request = replace(request, essays=replace(request.essays, texts=names), comparisons=6)
    judge, stop = FakeJudge(), threading.Event()

    def redaction() -> Redaction:
        return Redaction(RedactionPolicy(), Pseudonyms(b"k" * 32))

    with pytest.raises(RecordingStopped):
        record(
            replace(request, redaction=redaction()),
            judge.behind_lps(tmp_path),
            on_progress=lambda progress: stop.set() if progress.answered == 4 else None,
            stop=stop,
        )
    written = b"".join(path.read_bytes() for path in draft_folder(request.target).iterdir())
    assert b"Lovelace" not in written
    assert b"Longer." not in written
    folder = record(replace(request, redaction=redaction()), judge.behind_lps(tmp_path)).folder
    for path in folder.rglob("*"):
        assert path.is_dir() or (b"Lovelace" not in path.read_bytes() and b"Longer." not in path.read_bytes())
    _, recordings = trace_recordings(folder)
    shown = [[line.event.data.essay_ids() for line in read_callbacks(one.path).events] for one in recordings]
    assert shown[0] == shown[1]
    assert set(judge.asked.values()) == {2}
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["redaction"]["dropped"] == {}
