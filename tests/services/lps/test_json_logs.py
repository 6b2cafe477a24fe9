"""Logs of a served process: one JSON object a line, with ids and without essays."""

from __future__ import annotations

import io
import json
import logging
from contextlib import contextmanager

import pytest

from cj_pipeline.contracts.answer import Failure, ProviderError
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.contracts.topics import LPS_SOURCE_SERVICE
from cj_pipeline.services.lps.queue.queued_request import queue_id_of
from cj_pipeline.services.lps.work.json_logs import about_failure, ids_of
from cj_pipeline.services.shared.json_logs import log_as_json
from tests.services.lps.lab import correlation_id, in_lab, queued
from tests.services.lps.moody import Moody, late, served_by

PUPIL = "Zwetschgendatschi"
METADATA = {
    "essay_a_id": f"student::{PUPIL}",
    "essay_b_id": f"student::{PUPIL}-2",
    "bos_batch_id": "bos-1",
    "cj_batch_id": "7",
    "cj_llm_batching_mode": "serial_bundle",
    "comparison_iteration": 2,
    "note": PUPIL,
}
IDS = {
    "correlation_id": str(correlation_id(0)),
    "queue_id": str(queue_id_of(correlation_id(0))),
    "provider": "mock",
    "bos_batch_id": "bos-1",
    "cj_batch_id": "7",
    "cj_llm_batching_mode": "serial_bundle",
    "comparison_iteration": "2",
}


@contextmanager
def logging_to(stream, level="INFO"):
    root, httpx = logging.getLogger(), logging.getLogger("httpx")
    before, levels = root.handlers[:], (root.level, httpx.level)
    log_as_json(level, stream, LPS_SOURCE_SERVICE)
    try:
        yield
    finally:
        root.handlers[:] = before
        for logger, former in zip((root, httpx), levels, strict=True):
            logger.setLevel(former)


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_object_with_productions_keys():
    stream = io.StringIO()
    with logging_to(stream):
        logging.getLogger("cj_pipeline.services.lps.work.worker").warning("took %d\ns", 31, extra={"queue_id": "q"})
    (line,) = lines(stream)
    assert line.pop("timestamp")
    assert line == {
        "level": "WARNING",
        "logger": "cj_pipeline.services.lps.work.worker",
        "event": "took 31\ns",
        "service": "llm_provider_service",
        "queue_id": "q",
    }


@pytest.mark.parametrize(("level", "told"), [("INFO", 2), ("warning", 1)])
def test_the_level_is_a_name_in_either_case(level, told):
    stream = io.StringIO()
    with logging_to(stream, level):
        logging.getLogger("a").info("one")
        logging.getLogger("a").warning("two")
    assert len(lines(stream)) == told


@pytest.mark.parametrize(("level", "told"), [("DEBUG", ["WARNING"]), ("INFO", ["WARNING"]), ("ERROR", [])])
def test_a_call_that_another_service_answered_leaves_no_line(level, told):
    stream = io.StringIO()
    with logging_to(stream, level):
        logging.getLogger("httpx").info("HTTP Request: POST http://lps/api/v1/comparison")
        logging.getLogger("httpx").warning("odd")
    assert [line["level"] for line in lines(stream)] == told


def test_the_ids_of_a_request_are_its_own_and_its_batchs():
    assert ids_of(queued(0, metadata=METADATA)) == IDS
    assert ids_of(queued(0, metadata={})).keys() == {"correlation_id", "queue_id", "provider"}


def test_a_failure_is_told_by_its_code_and_its_reason():
    failed = queued(0, metadata=METADATA)
    limited = Failure(ErrorCode.RATE_LIMIT, PUPIL, {"reason": "rate_limited"})
    assert about_failure(failed, limited) == IDS | {"error_code": "RATE_LIMIT", "reason": "rate_limited"}
    assert about_failure(failed, Failure(ErrorCode.TIMEOUT, PUPIL)) == IDS | {"error_code": "TIMEOUT"}


def test_an_id_as_long_as_an_essay_is_cut():
    assert ids_of(queued(0, metadata={"bos_batch_id": "x" * 1000}))["bos_batch_id"] == "x" * 64


BROKEN = ProviderError(ErrorCode.PARSING_ERROR, "No winner.")


@pytest.mark.parametrize("error", [late(), BROKEN, ValueError(PUPIL), None], ids=lambda error: type(error).__name__)
def test_no_line_tells_who_is_judged_or_what_was_written(error):
    stream = io.StringIO()

    async def script(lab):
        served_by(lab, Moody(lambda *_: error))
        await lab.post(0, prompt=f"Which is better? {PUPIL}", metadata=METADATA)
        await lab.next_result()

    with logging_to(stream, "DEBUG"):
        in_lab(script)
    assert PUPIL not in stream.getvalue()
    about = [line for line in lines(stream) if line["logger"].startswith("cj_pipeline.services.lps")]
    assert all(IDS.items() <= line.items() for line in about)
    assert bool(about) is (error is not None)  # every failure leaves a line; an answer needs none
