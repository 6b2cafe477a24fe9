"""Every accepted request ends in exactly one callback, however it ends. Shutdown is in test_drain.py."""

from __future__ import annotations

import asyncio
import logging

import pytest

from cj_pipeline.contracts.answer import ProviderError
from cj_pipeline.contracts.errors import ErrorCode
from tests.services.lps.lab import correlation_id, in_lab
from tests.services.lps.moody import Moody, first_attempts_of, late, served_by

PROCESSING = ["per_request", "serial_bundle", "batch_api"]
ESSAY = "Zwetschgendatschi"


class Hanging(Moody):
    """Never answers."""

    async def answer(self, request, attempt):
        self.asked.append((request.correlation_id, attempt))
        await asyncio.Event().wait()


class Misfitting(Moody):
    """Gives answers that fit no callback."""

    def __init__(self, **fields):
        super().__init__()
        self.fields = fields

    async def answer(self, request, attempt):
        answer = await super().answer(request, attempt)
        for name, value in self.fields.items():
            object.__setattr__(answer, name, value)
        return answer


class LeftAlone(Moody):
    """Must not be asked."""

    held_s = 100.0


def raising(error):
    return lambda: Moody(lambda *_: error)


RETRYABLE = ProviderError(ErrorCode.EXTERNAL_SERVICE_ERROR, "Status 503.", retryable=True)

# How a request can end -> (its provider, settings, error code of its callback, attempts).
ENDINGS = {
    "success": (Moody, {}, None, 1),
    "terminal failure": (raising(ProviderError(ErrorCode.PARSING_ERROR, "No winner.")), {}, "PARSING_ERROR", 1),
    "retries used up": (raising(RETRYABLE), {}, "EXTERNAL_SERVICE_ERROR", 4),
    "no retries allowed": (raising(RETRYABLE), {"queue_max_retries": 0}, "EXTERNAL_SERVICE_ERROR", 1),
    "success at the last attempt": (lambda: Moody(first_attempts_of(0, late(), attempts=3)), {}, None, 4),
    "hangs": (Hanging, {}, "TIMEOUT", 4),
    "hangs, and is expired before its last attempt": (Hanging, {"queue_request_ttl_hours": 0.1}, "TIMEOUT", 2),
    "would not live until its next attempt": (
        raising(late(90.0)),
        {"queue_request_ttl_hours": 0.01},
        "RATE_LIMIT",
        1,
    ),
    "its provider is left alone for all its life": (LeftAlone, {"queue_request_ttl_hours": 0.5}, "TIMEOUT", 0),
    "nonsense": (raising(ValueError(ESSAY)), {}, "PROCESSING_ERROR", 1),
    "a timeout of its own": (raising(TimeoutError(ESSAY)), {}, "PROCESSING_ERROR", 1),
    "a group of errors": (raising(ExceptionGroup(ESSAY, [KeyError(ESSAY)])), {}, "PROCESSING_ERROR", 1),
    "a confidence that the wire has not": (lambda: Misfitting(confidence=7.0), {}, "PROCESSING_ERROR", 1),
    "a negative cost": (lambda: Misfitting(cost_estimate=-1.0), {}, "PROCESSING_ERROR", 1),
    "no answer at all": (lambda: Misfitting(metadata=None), {}, "PROCESSING_ERROR", 1),
    "metadata that is no JSON": (lambda: Misfitting(metadata={"usage": object()}), {}, "PROCESSING_ERROR", 1),
}


@pytest.mark.parametrize("processing", PROCESSING)
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_request_gets_exactly_one_callback_however_it_ends(ending, processing, caplog):
    provider, settings, code, attempts = ENDINGS[ending]

    async def script(lab):
        moody = served_by(lab, provider())
        assert (await lab.post(0, prompt=ESSAY)).status_code == 202
        result = await lab.next_result()
        assert result.correlation_id == correlation_id(0)
        assert (None if result.succeeded else result.error_detail.error_code) == code
        assert moody.asked == [(correlation_id(0), attempt) for attempt in range(attempts)]
        assert await lab.no_more_callbacks()
        assert (await lab.service.depth()).total == 0
        assert lab.service.running
        return result

    with caplog.at_level(logging.DEBUG, logger="cj_pipeline"):
        result = in_lab(script, queue_processing_mode=processing, **settings)
    assert ESSAY not in result.model_dump_json()
    assert ESSAY not in caplog.text
