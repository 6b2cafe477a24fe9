"""Requests answered through a provider's batch endpoint: what becomes of each, at which price."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cj_pipeline.contracts.answer import Failure, ProviderAnswer
from cj_pipeline.contracts.enums import Provider, Winner
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.services.lps.providers.batches.openai import OpenAiBatches
from tests.services.lps.providers.batches.fake_batches import FakeBatches
from tests.services.lps.providers.batches.stand import BOTH, SUBMIT, Stand, at_a_stand, requests
from tests.services.lps.providers.stand import MARKER

both = pytest.mark.parametrize("provider", BOTH)


@both
def test_a_job_is_submitted_waited_for_and_read_by_custom_id(provider: Provider, tmp_path: Path) -> None:
    async def script(stand: Stand) -> None:
        asked = requests(provider, 5)
        batches = stand.process()
        outcomes = await batches.answer(asked)
        assert stand.fake.submitted == [str(request.queue_id) for request in asked]
        assert list(stand.fake.jobs) == [next(iter(stand.fake.jobs))]
        assert stand.stored() != []
        await batches.forget(asked)
        assert stand.stored() == []
        for request in asked:
            answer = outcomes[request.queue_id]
            assert isinstance(answer, ProviderAnswer)
            assert answer.winner is Winner.B
            assert answer.response_time_ms >= 30 * 60 * 1000
            assert str(answer.metadata["provider_batch_id"]).startswith(("batch_", "msgbatch_"))

    at_a_stand(provider, tmp_path, script)


@pytest.mark.parametrize(
    ("provider", "dollars"),
    [
        # gpt-5-mini: (1200-1024) fresh, 1024 cached, 300 written; half of .00025, .000025, .002 per 1,000.
        (Provider.OPENAI, round((176 * 0.00025 + 1024 * 0.000025 + 300 * 0.002) / 2000, 9)),
        # haiku: 900 fresh, 2000 read, 300 kept for 5 minutes and 100 for an hour, 60 written.
        (
            Provider.ANTHROPIC,
            round((900 * 0.001 + 2000 * 0.0001 + 300 * 0.00125 + 100 * 0.002 + 60 * 0.005) / 2000, 9),
        ),
    ],
)
def test_an_answer_costs_half(provider: Provider, dollars: float, tmp_path: Path) -> None:
    async def script(stand: Stand) -> Any:
        asked = requests(provider, 1)
        return (await stand.process().answer(asked))[asked[0].queue_id]

    answer = at_a_stand(provider, tmp_path, script)
    assert answer.cost_estimate == pytest.approx(dollars, abs=1e-6)  # it is rounded to 6 decimals
    assert "cost_known" not in answer.metadata


@both
@pytest.mark.parametrize(
    ("fate", "code", "reason", "again"),
    [
        ("expired", ErrorCode.TIMEOUT, "timeout", True),
        ("cancelled", ErrorCode.EXTERNAL_SERVICE_ERROR, "cancelled", False),
        ("missing", ErrorCode.PROCESSING_ERROR, "missing", False),
        (500, ErrorCode.EXTERNAL_SERVICE_ERROR, "server_error", True),
        (429, ErrorCode.RATE_LIMIT, "rate_limited", True),
        (400, ErrorCode.EXTERNAL_SERVICE_ERROR, "bad_request", False),
    ],
)
def test_one_request_fails_and_its_neighbours_are_answered(
    fate: str | int, code: ErrorCode, reason: str, again: bool, provider: Provider, tmp_path: Path
) -> None:
    asked = requests(provider, 3)
    bad = str(asked[1].queue_id)

    async def script(stand: Stand) -> tuple[Any, list[str]]:
        outcomes = await stand.process().answer(asked)
        (stored,) = [json.loads(path.read_text()) for path in stand.folder.glob("*.json")]
        return [outcomes[request.queue_id] for request in asked], stored["custom_ids"]

    outcomes, stored = at_a_stand(provider, tmp_path, script, judge=lambda name, _: fate if name == bad else "answered")
    assert [type(outcome) for outcome in outcomes] == [ProviderAnswer, Failure, ProviderAnswer]
    failure = outcomes[1]
    assert (failure.code, failure.details["reason"], failure.worth_retrying) == (code, reason, again)
    assert failure.details["provider"] == provider.value
    # One that will be tried again must not find this job once more.
    assert (bad in stored) is not again


@both
def test_a_job_that_the_provider_refuses_as_a_whole(
    provider: Provider, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By a status: a body too large, a key that is wrong. Nothing of the body gets any further."""

    async def script(stand: Stand) -> Any:
        asked = requests(provider, 2)
        outcomes = await stand.process(**{f"{provider.value}_api_key": "wrong"}).answer(asked)
        assert stand.stored() == []
        return list(outcomes.values())

    with caplog.at_level(logging.DEBUG, logger="cj_pipeline"):
        outcomes = at_a_stand(provider, tmp_path, script)
    assert [outcome.code for outcome in outcomes] == [ErrorCode.AUTHENTICATION_ERROR] * 2
    assert not any(outcome.worth_retrying for outcome in outcomes)
    assert MARKER not in caplog.text


@pytest.mark.parametrize(("code", "again"), [("token_limit_exceeded", True), ("invalid_file_format", False)])
def test_a_job_of_openai_that_fails_in_validation(code: str, again: bool, tmp_path: Path) -> None:
    async def script(stand: Stand) -> Any:
        stand.fake.refused = code
        asked = requests(Provider.OPENAI, 1)
        return (await stand.process().answer(asked))[asked[0].queue_id]

    failure = at_a_stand(Provider.OPENAI, tmp_path, script)
    assert failure.worth_retrying is again
    assert failure.details["provider_error_code"] == code


@both
def test_a_job_that_never_ends_is_stopped_and_its_requests_fail(provider: Provider, tmp_path: Path) -> None:
    async def script(stand: Stand) -> Any:
        asked = requests(provider, 1)
        outcome = (await stand.process(poll_s=3600.0).answer(asked))[asked[0].queue_id]
        assert [job.cancelled for job in stand.fake.jobs.values()] == [True]
        return outcome

    failure = at_a_stand(provider, tmp_path, script, takes=timedelta(days=9))
    assert (failure.code, failure.worth_retrying) == (ErrorCode.TIMEOUT, False)


@both
def test_a_server_without_a_batch_endpoint_says_what_to_set(provider: Provider, tmp_path: Path) -> None:
    async def script(stand: Stand) -> Any:
        asked = requests(provider, 1)
        url = {f"{provider.value}_base_url": "http://localhost/v2"}
        return (await stand.process(**url).answer(asked))[asked[0].queue_id]

    failure = at_a_stand(provider, tmp_path, script)
    assert failure.details["reason"] == "not_found"
    assert "BATCH_API_ENDPOINT=service" in failure.message


@both
def test_an_outage_while_it_is_waited_for_is_told_and_sat_out(
    provider: Provider, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(stand: Stand) -> None:
        asked = requests(provider, 2)
        looked_at = {Provider.OPENAI: "GET /v1/batches/batch_0"}.get(provider)
        stand.lost[looked_at or "GET /v1/messages/batches/msgbatch_0_1"] = ["unsent", "503", "200", "reset"]
        outcomes = await stand.process().answer(asked)
        assert all(isinstance(outcome, ProviderAnswer) for outcome in outcomes.values())
        assert len(stand.fake.submitted) == 2

    at_a_stand(provider, tmp_path, script)
    told = [record.getMessage() for record in caplog.records if "could not be asked for" in record.getMessage()]
    assert len(told) == 4
    assert "(HTTP status 503), again in 10 s" in told[1]


@both
def test_what_the_provider_keeps_of_a_collected_job_is_removed(provider: Provider, tmp_path: Path) -> None:
    async def script(stand: Stand) -> None:
        asked = requests(provider, 2)
        batches = stand.process()
        await batches.answer(asked)
        await batches.forget(asked[:1])
        assert stand.stored() != []
        await batches.forget(asked[1:])
        assert stand.stored() == []
        left = getattr(stand.fake, "files", stand.fake.jobs)
        assert left == {}

    at_a_stand(provider, tmp_path, script)


def test_a_job_that_is_too_large_for_one_becomes_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenAiBatches, "most_bytes", 4000)

    async def script(stand: Stand) -> None:
        asked = requests(Provider.OPENAI, 7)
        outcomes = await stand.process().answer(asked)
        assert len(outcomes) == 7
        assert sorted(stand.fake.submitted) == sorted(str(request.queue_id) for request in asked)
        assert len(stand.fake.jobs) > 1

    at_a_stand(Provider.OPENAI, tmp_path, script)


def test_a_refused_schema_is_learned_from_a_job(tmp_path: Path) -> None:
    """A server with OpenAI's batch endpoint and without its schemas: the next job asks more mildly."""

    def no_schemas(fake: FakeBatches) -> None:
        def check(_: Any, body: dict[str, Any]) -> None:
            from tests.services.lps.providers.fake_api import require

            kind = body.get("response_format", {}).get("type")
            require(kind != "json_schema", "This response_format type is unavailable now")

        fake.api.check = check  # type: ignore[method-assign]

    async def script(stand: Stand) -> None:
        no_schemas(stand.fake)
        asked = requests(Provider.OPENAI, 3)
        batches = stand.process()
        first = await batches.answer(asked)
        assert all(isinstance(one, Failure) and one.worth_retrying for one in first.values())
        second = await batches.answer(asked)
        assert all(isinstance(one, ProviderAnswer) for one in second.values())

    at_a_stand(Provider.OPENAI, tmp_path, script)


def test_the_address_of_single_deployments_is_refused_at_the_start(tmp_path: Path) -> None:
    async def script(stand: Stand) -> None:
        with pytest.raises(BadInput, match="v1 address"):
            stand.process(openai_base_url="https://r.openai.azure.com/openai/deployments/{model}")

    at_a_stand(Provider.OPENAI, tmp_path, script)


@both
def test_no_text_of_an_essay_is_stored_here(provider: Provider, tmp_path: Path) -> None:
    async def script(stand: Stand) -> str:
        await stand.process().answer(requests(provider, 1))
        return "".join(path.read_text() for path in stand.folder.glob("*"))

    assert "Which is better" not in at_a_stand(provider, tmp_path, script)
    assert SUBMIT[provider].startswith("POST ")
