"""The workers: turns, retries, and who waits for whom. How a request can end: test_endings.py."""

from __future__ import annotations

import asyncio
import logging

import pytest

from cj_pipeline.contracts.answer import ProviderError
from cj_pipeline.contracts.comparison import ComparisonRequest
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.runs.virtual_time import run_virtual
from tests.services.lps.lab import TOPIC, body, correlation_id, in_lab, lab, mode
from tests.services.lps.moody import SLOW, Moody, first_attempts_of, late, served_by

PROCESSING = ["per_request", "serial_bundle", "batch_api"]
ESSAY = "Zwetschgendatschi"


@pytest.mark.parametrize("processing", PROCESSING)
def test_every_accepted_request_gets_exactly_one_callback_in_order(processing):
    async def script(lab):
        for number in range(10):
            await lab.post(number)
        told = [(await lab.next_result()).correlation_id for _ in range(10)]
        assert told == [correlation_id(number) for number in range(10)]
        assert await lab.no_more_callbacks()

    in_lab(script, mode(**SLOW), queue_processing_mode=processing)


def test_a_bundles_callbacks_leave_together_and_single_ones_at_once():
    async def script(lab):
        await lab.post(0)
        await asyncio.sleep(0.5)  # the worker has begun: the three that follow are the next bundle
        for number in range(1, 4):
            await lab.post(number)
        told = [await lab.next_result() for _ in range(4)]
        return [(result.completed_at - told[0].requested_at).total_seconds() for result in told]

    assert in_lab(script, mode(**SLOW), queue_processing_mode="serial_bundle") == [1.0, 4.0, 4.0, 4.0]
    assert in_lab(script, mode(**SLOW), queue_processing_mode="per_request") == [1.0, 2.0, 3.0, 4.0]


def test_an_incompatible_request_leads_the_next_bundle_and_is_not_lost():
    async def script(lab):
        for number, model in enumerate("aabbbaab"):
            await lab.post(number, model_override=model)
        told = [await lab.next_result() for _ in range(8)]
        assert [result.model for result in told] == list("aabbbaab")
        assert await lab.no_more_callbacks()
        return [result.completed_at for result in told]

    completed = in_lab(script, mode(**SLOW), queue_processing_mode="serial_bundle")
    # Bundles of 2, 3, 2 and 1 at a second each: callbacks leave after 2, 5, 7 and 8 s.
    assert [(at - completed[0]).total_seconds() for at in completed] == [0, 0, 3, 3, 3, 5, 5, 6]


@pytest.mark.parametrize("processing", PROCESSING)
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ProviderError(ErrorCode.PARSING_ERROR, "No winner in the answer."), "PARSING_ERROR"),
        (ValueError("essay text"), "PROCESSING_ERROR"),
        (ZeroDivisionError(), "PROCESSING_ERROR"),
    ],
)
def test_one_failing_request_leaves_its_neighbours_alone(processing, error, code, caplog):
    async def script(lab):
        served_by(lab, Moody(lambda request, _: error if request == correlation_id(2) else None))
        for number in range(5):
            await lab.post(number)
        told = [await lab.next_result() for _ in range(5)]
        assert [result.succeeded for result in told] == [True, True, False, True, True]
        assert told[2].error_detail.error_code == code
        assert "essay text" not in told[2].model_dump_json()
        assert await lab.no_more_callbacks()
        assert lab.service.running

    with caplog.at_level(logging.CRITICAL):
        in_lab(script, queue_processing_mode=processing)


def test_a_retry_draws_anew_and_can_succeed():
    async def script(lab):
        for number in range(200):
            await lab.post(number)
        told = [await lab.next_result() for _ in range(200)]
        return sum(result.succeeded for result in told)

    failing = mode(errors={"rate": 0.5, "codes": [503]})
    # .5 of the first attempts fail, .5^4 = 6 % of the requests: 12.5 of 200 expected.
    assert in_lab(script, failing, queue_max_retries=0) == pytest.approx(100, abs=20)
    assert in_lab(script, failing) == pytest.approx(187.5, abs=10)


def test_a_retried_request_blocks_nobody_and_keeps_its_place():
    async def script(lab):
        served_by(lab, Moody(first_attempts_of(0, late())))
        for number in range(4):
            await lab.post(number)
        told = [await lab.next_result() for _ in range(4)]
        return [
            (result.correlation_id, (result.completed_at - told[0].requested_at).total_seconds()) for result in told
        ]

    # 1 s each. The first fails at 1 s and is due again between 1.5 and 2 s: while it waits, the second is answered; at
    # 2 s it is its turn again, ahead of all that came after it.
    told = in_lab(script)
    assert told == [(correlation_id(number), at) for number, at in ((1, 2.0), (0, 3.0), (2, 4.0), (3, 5.0))]


def test_a_retry_after_is_waited_for_in_full():
    async def script(lab):
        moody = served_by(lab, Moody(first_attempts_of(0, late(90.0))))
        await lab.post(0)
        assert (await lab.next_result()).succeeded
        return moody.asked_at

    first, second = in_lab(script)
    assert second - first == pytest.approx(1.0 + 90.0)


def test_the_backoff_grows_with_each_attempt():
    async def script(lab):
        moody = served_by(lab, Moody(lambda *_: late()))
        await lab.post(0)
        await lab.next_result()
        return [later - earlier - 1.0 for earlier, later in zip(moody.asked_at, moody.asked_at[1:], strict=False)]

    waits = in_lab(script, queue_retry_backoff_seconds=10.0, queue_max_retries=4, queue_retry_backoff_max_seconds=60.0)
    # 10, 20, 40 s, then the most there is, 60 s; each shortened by up to half.
    assert [high / 2 <= wait <= high for wait, high in zip(waits, (10, 20, 40, 60), strict=True)] == [True] * 4
    assert waits[0] < waits[2]


@pytest.mark.parametrize("processing", PROCESSING)
def test_answers_that_outlast_a_claim_are_not_asked_for_twice(processing):
    # 250 s an answer, of the 300 s that an attempt and a claim may take: four of them in a bundle take 1000 s.
    async def script(lab):
        moody = served_by(lab, Moody(of=mode(latency={"model": "constant", "ms": 250_000})))
        for number in range(4):
            await lab.post(number)
        told = [await lab.next_result() for _ in range(4)]
        assert all(result.succeeded for result in told)
        assert moody.asked == [(correlation_id(number), 0) for number in range(4)]
        assert await lab.no_more_callbacks()

    in_lab(script, queue_processing_mode=processing)


def test_what_a_broken_worker_held_is_claimed_again_when_its_claim_runs_out(caplog):
    async def script(lab):
        attempted, broken = lab.service.stats.attempted, []

        def breaking(*args):
            if not broken:
                broken.append(ValueError(ESSAY))
                raise broken[0]
            attempted(*args)

        lab.service.stats.attempted = breaking
        for number in range(2):
            await lab.post(number)
        told = [await lab.next_result() for _ in range(2)]
        assert [result.correlation_id for result in told] == [correlation_id(1), correlation_id(0)]
        assert lab.service.running
        assert await lab.no_more_callbacks()
        return [(result.completed_at - result.requested_at).total_seconds() for result in told]

    # The worker pauses for 1 s; the broken request's claim runs out after 300 s.
    with caplog.at_level(logging.INFO, logger="cj_pipeline"):
        assert in_lab(script, mode(**SLOW)) == [3.0, 301.0]
    assert "a worker broke (ValueError)" in caplog.text
    assert ESSAY not in caplog.text


@pytest.mark.parametrize("processing", PROCESSING)
@pytest.mark.parametrize(("at_once", "seconds"), [(1, 12.0), (4, 3.0)])
def test_as_many_requests_are_answered_at_once_as_the_settings_say(at_once, seconds, processing):
    async def script(lab):
        moody = served_by(lab, Moody())
        for number in range(12):
            await lab.post(number)
        told = [await lab.next_result() for _ in range(12)]
        assert moody.most_at_once == at_once
        return max((result.completed_at - result.requested_at).total_seconds() for result in told)

    # In bundles of three, four at once are one bundle each.
    settings = {"llm_max_concurrent_requests": at_once, "serial_bundle_max_requests_per_call": 3}
    assert in_lab(script, queue_processing_mode=processing, **settings) == seconds


@pytest.mark.parametrize(
    ("code", "retryable", "attempts"),
    [
        ("RATE_LIMIT", True, 4),
        ("EXTERNAL_SERVICE_ERROR", True, 4),
        ("CONNECTION_ERROR", True, 4),
        ("EXTERNAL_SERVICE_ERROR", False, 1),  # such as a 401, which production retried three times
        ("AUTHENTICATION_ERROR", True, 1),
        ("VALIDATION_ERROR", True, 1),
    ],
)
def test_only_what_a_retry_can_help_is_retried(code, retryable, attempts):
    async def script(lab):
        provider = served_by(lab, Moody(lambda *_: ProviderError(ErrorCode(code), "No.", retryable=retryable)))
        await lab.post()
        await lab.next_result()
        return len(provider.asked)

    assert in_lab(script) == attempts


def test_a_mock_401_is_not_retried_and_takes_its_time_once():
    async def script(lab):
        await lab.post()
        result = await lab.next_result()
        assert result.error_detail.details == {"status_code": 401}
        return (result.completed_at - result.requested_at).total_seconds()

    assert in_lab(script, mode(**SLOW, errors={"rate": 1.0, "codes": [401]})) == 1.0


def test_a_mode_that_needs_ids_answers_their_absence_with_an_error():
    ability = {"model": "ability", "abilities": {}, "unknown_spread": {"mean": 0, "sd": 1}}

    async def script(lab):
        await lab.post(0, metadata={"essay_a_id": "essay-1"})
        await lab.post(1)
        told = [await lab.next_result() for _ in range(2)]
        assert told[0].error_detail.error_code == "VALIDATION_ERROR"
        assert "essay_b_id" in told[0].error_detail.message
        assert told[1].succeeded

    in_lab(script, mode(winner=ability))


def test_a_repeated_post_is_answered_once_with_the_same_queue_id():
    async def script(lab):
        first = await lab.post()
        waiting = await lab.post()
        await lab.next_result()
        answered = await lab.post()
        assert {response.status_code for response in (first, waiting, answered)} == {202}
        assert len({response.json()["queue_id"] for response in (first, waiting, answered)}) == 1
        assert await lab.no_more_callbacks()

    in_lab(script, mode(**SLOW))


def test_a_correlation_id_is_not_lent_to_another_request():
    async def script(lab):
        await lab.post(prompt="one")
        refused = await lab.post(prompt="another")
        assert refused.status_code == 409
        assert refused.json()["error"] == "Correlation id already in use"

    in_lab(script)


@pytest.mark.parametrize(
    ("metadata", "key"),
    [
        ({"bos_batch_id": "bos-7", "cj_batch_id": "7"}, "bos-7"),
        ({"cj_batch_id": "7"}, "7"),
        ({}, str(correlation_id(0))),
    ],
)
def test_the_request_id_of_a_callback_is_the_queue_id_and_its_key_the_batch(metadata, key):
    async def script(lab):
        queue_id = (await lab.post(metadata=metadata)).json()["queue_id"]
        message = await lab.callbacks.next()
        assert message.key == key.encode()
        assert queue_id.encode() in message.value

    in_lab(script)


def run(seed: int, processing: str, **sections) -> list[bytes]:
    async def script(lab):
        for number in range(30):
            await lab.post(number)
        return [await lab.next_bytes() for _ in range(30)]

    of = mode("production_hash_anchor+coin", errors={"rate": 0.2, "codes": [429, 500]}, **sections)
    return in_lab(script, of, mock_provider_seed=seed, queue_processing_mode=processing)


@pytest.mark.parametrize("processing", ["per_request", "serial_bundle"])
def test_the_same_seed_gives_the_same_bytes(processing):
    assert run(7, processing) == run(7, processing)
    assert run(7, processing) != run(8, processing)


def test_on_an_ordinary_loop_the_same_answers_take_real_time():
    async def answers():
        async with lab(mode("cj_generic_batch")) as the_lab:
            for number in range(5):
                await the_lab.post(number)
            told = [await the_lab.next_result() for _ in range(5)]
            for result in told:
                assert (result.completed_at - result.requested_at).total_seconds() * 1000 >= result.response_time_ms - 1
            return [(result.winner, result.confidence, result.response_time_ms) for result in told]

    real = asyncio.run(answers())
    assert real == run_virtual(answers())
    assert {winner for winner, _, _ in real} == {Winner.A}


def test_leaving_the_service_stops_its_worker_even_in_the_middle_of_an_answer():
    async def main():
        async with lab(mode(**SLOW)) as the_lab:
            await the_lab.post()
            await asyncio.sleep(0.5)
            service = the_lab.service
            assert service.running
        assert not service.running
        assert len(asyncio.all_tasks()) == 1
        with pytest.raises(RuntimeError, match="runs once"):
            await service.__aenter__()

    run_virtual(main())


def test_a_direct_submit_without_correlation_id_gets_one():
    async def script(lab):
        request = body()
        del request["correlation_id"]
        response = await lab.client.post("/api/v1/comparison", json=request)
        result = await lab.next_result()
        assert response.json()["queue_id"] == result.request_id
        assert response.json()["message"].endswith(f"{TOPIC}.")

    in_lab(script)


def test_a_run_of_instant_answers_lets_others_on_the_loop_have_their_turn():
    async def script(lab):
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        for number in range(64):
            await lab.service.submit(ComparisonRequest.model_validate(body(number)))
        busy_body = asyncio.create_task(other())
        for _ in range(64):
            await lab.next_result()
        busy_body.cancel()
        return turns

    assert in_lab(script) >= 4  # 16 answers in a row at most
