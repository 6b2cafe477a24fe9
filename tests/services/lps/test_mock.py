"""Whole answers of the mock: the same in every process, after the right time, as before."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from cj_pipeline.contracts.answer import ProviderError
from cj_pipeline.mock.judge import MOCK_MODEL
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.mock.mode.mode import Mode
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.lps.providers.mock import MockProvider
from tests.services.lps.lab import mode, queued

REPOSITORY = Path(__file__).parents[3]

LISTED = tuple(load_mode("eng5_anchor_gpt51_low").winner.abilities)  # type: ignore[union-attr]


def answers(of: Mode, count: int = 20) -> list[Any]:
    """Two attempts at each of some requests, as plain values."""

    async def ask() -> list[Any]:
        provider, told = MockProvider(of, seed=42), []
        essays = (*LISTED, "not listed")
        for number in range(count):
            pair = {"essay_a_id": essays[number % 13], "essay_b_id": essays[(number * 5 + 1) % 13]}
            request = queued(number, prompt="word " * (number + 1), metadata=pair)
            for attempt in (0, 1):
                try:
                    a = await provider.answer(request, attempt)
                except ProviderError as error:
                    told.append([error.failure.code, error.failure.message, dict(error.failure.details)])
                else:
                    usage = a.token_usage.model_dump()
                    told.append([a.winner, a.justification, a.confidence, a.response_time_ms, usage, dict(a.metadata)])
        return told

    return run_virtual(ask())


def digest(of: Mode) -> str:
    return sha256(json.dumps(answers(of)).encode()).hexdigest()[:16]


# The draws of the modes that were there must not move, or every run on record would have other answers. Those of the
# scenarios' four modes moved when the modes were fitted by the judge model (costs, fixed answers, samples), and
# those of the two anchor modes when all samples of one gap became as likely. LOWER5 moved when it learnt to answer
# pairs that it does not know within the limits of the suite, and when those winners went by the ids of the essays.
DIGESTS = {
    "cj_generic_batch": "9055ad8eba0d2002",
    "default": "a9818a4bbb2740c3",
    "eng5_anchor_gpt51_low": "c626ffdee26bebaa",
    "eng5_anchor_ladder": "741be83ef830e0ab",
    "eng5_lower5_gpt51_low": "6c7f9095f659693b",
    "production_hash_anchor": "91248b5e42c01f1b",
    "production_hash_lower5": "35035bb46224b1b6",
    "production_hash_anchor+coin+slow_x1_5": "e7c164ec94d09b95",
}


@pytest.mark.parametrize(("expression", "told"), DIGESTS.items())
def test_the_modes_answer_as_they_always_have(expression, told):
    assert digest(load_mode(expression)) == told


FAILING = {"rate": 0.4, "codes": [429, 500]}


def test_failures_are_drawn_as_they_always_have_been():
    cache = {"enabled": True, "hit_rate": 0.5}
    assert digest(mode(errors=FAILING, cache=cache, streaming_metadata=True)) == "d4b22e79ee6fb7fe"


def test_a_process_with_another_hash_seed_gives_the_same_answers():
    # Production's mock draws from hash(), which Python salts per process.
    sections = {
        "latency": {"model": "lognormal", "median_ms": 1600, "sigma": 0.3},
        "errors": {
            "rate": 0.3,
            "kinds": {"http": 1, "timeout": 1, "provider": 1, "malformed": 1},
            "bursts": {"rate": 0.2, "length": 3},
            "retry_success": 0.5,
        },
    }
    code = f"from tests.services.lps.test_mock import digest, mode; print(digest(mode('default', **{sections!r})))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == digest(mode("default", **sections))


def test_an_answer_takes_the_latency_that_it_reports():
    of = mode(latency={"model": "uniform", "low_ms": 100, "high_ms": 200})

    async def ask() -> tuple[float, int]:
        answer = await MockProvider(of, seed=42).answer(queued(), 0)
        return asyncio.get_running_loop().time() * 1000, answer.response_time_ms

    took_ms, told_ms = run_virtual(ask())
    assert 100 <= told_ms <= 200
    assert took_ms == pytest.approx(told_ms)


def test_a_mock_bills_nothing_and_names_the_model_that_was_asked_for():
    async def ask(**overrides: str) -> tuple[str, float]:
        answer = await MockProvider(load_mode("default"), seed=42).answer(queued(**overrides), 0)
        return answer.model, answer.cost_estimate

    assert run_virtual(ask()) == (MOCK_MODEL, 0.0)
    assert run_virtual(ask(model_override="gpt-5.1")) == ("gpt-5.1", 0.0)


@pytest.mark.parametrize(("hit_rate", "read", "created"), [(0.0, 0, 4), (1.0, 4, 0)])
def test_a_cache_hit_reads_the_prompt_and_a_miss_writes_it(hit_rate, read, created):
    of = mode(cache={"enabled": True, "hit_rate": hit_rate})
    metadata = run_virtual(MockProvider(of, seed=42).answer(queued(prompt="one two three four five"), 0)).metadata
    cached = {"cache_read_input_tokens": read, "cache_creation_input_tokens": created}
    assert {key: metadata[key] for key in cached} == cached
    assert list(metadata["usage"]) == ["prompt_tokens", "completion_tokens", "total_tokens", *cached]
    assert metadata["usage"] | cached == metadata["usage"]
    assert metadata["usage"]["prompt_tokens"] == 4  # ceil(5 x .75)


def test_a_disabled_cache_is_not_reported():
    of = mode(cache={"enabled": False})
    assert run_virtual(MockProvider(of, seed=42).answer(queued(), 0)).metadata == {}
