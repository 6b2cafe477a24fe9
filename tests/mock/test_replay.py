from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cj_pipeline.contracts.answer import Failure, ProviderAnswer, ProviderError
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.mock.mode.mode import Mode
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.lps.providers.mock import MockProvider
from tests.mock.recordings import failed, recorded, replaying, write_mode
from tests.services.lps.lab import mode, queued

REPOSITORY = Path(__file__).parents[2]


def ask(of: Mode, essay_a: str, essay_b: str, number: int = 0, attempt: int = 0) -> ProviderAnswer | Failure:
    request = queued(number, metadata={"essay_a_id": essay_a, "essay_b_id": essay_b})
    try:
        return run_virtual(MockProvider(of, seed=42).answer(request, attempt))
    except ProviderError as error:
        return error.failure


def figures(answer: Any) -> tuple[Winner, int, int, int, float]:
    usage = answer.token_usage
    told = (answer.response_time_ms, usage.prompt_tokens, usage.completion_tokens, answer.confidence)
    return answer.winner, *told


def test_the_whole_recorded_answer_is_given_again(tmp_path):
    of = replaying(tmp_path, [recorded(7, "a", "b", "Essay B"), recorded(8, "b", "c")])
    assert figures(ask(of, "a", "b")) == (Winner.B, 1007, 2007, 37, 1.07)
    assert figures(ask(of, "b", "c")) == (Winner.A, 1008, 2008, 38, 1.08)


def test_a_reversed_pair_keeps_its_winning_essay(tmp_path):
    of = replaying(tmp_path, [recorded(7, "a", "b", "Essay B")])
    assert figures(ask(of, "b", "a")) == (Winner.A, 1007, 2007, 37, 1.07)


def test_the_order_that_was_asked_comes_before_the_reversed_one(tmp_path):
    of = replaying(tmp_path, [recorded(1, "a", "b", "Essay A"), recorded(2, "b", "a", "Essay A")])
    assert {figures(ask(of, "a", "b", number))[:2] for number in range(20)} == {(Winner.A, 1001)}
    assert {figures(ask(of, "b", "a", number))[:2] for number in range(20)} == {(Winner.A, 1002)}


def test_of_several_answers_each_has_its_turn_and_all_figures_come_from_one(tmp_path):
    lines = [recorded(n, "a", "b", "Essay A" if n % 2 else "Essay B") for n in range(1, 5)]
    of = replaying(tmp_path, lines)
    told = Counter(figures(ask(of, "a", "b", number)) for number in range(400))
    assert set(told) == {
        (Winner.A, 1001, 2001, 31, 1.01),
        (Winner.B, 1002, 2002, 32, 1.02),
        (Winner.A, 1003, 2003, 33, 1.03),
        (Winner.B, 1004, 2004, 34, 1.04),
    }
    assert min(told.values()) > 70  # 100 each; a standard deviation of 9


def test_an_answer_does_not_depend_on_what_was_asked_before(tmp_path):
    of = replaying(tmp_path, [recorded(n, "a", "b") for n in range(10)])

    async def times(numbers: list[int]) -> dict[int, int]:
        provider = MockProvider(of, seed=42)
        pair = {"essay_a_id": "a", "essay_b_id": "b"}
        return {n: (await provider.answer(queued(n, metadata=pair), 0)).response_time_ms for n in numbers}

    assert run_virtual(times(list(range(30)))) == run_virtual(times(list(reversed(range(30)))))


def test_a_replay_is_the_same_in_another_process(tmp_path):
    lines = [recorded(n, "a", "b") for n in range(10)]
    of = replaying(tmp_path, lines)
    code = (
        "from tests.mock.test_replay import ask, load_mode\n"
        f"m = load_mode({str(tmp_path / 'mode.yaml')!r})\n"
        "print([ask(m, 'a', 'b', n).response_time_ms for n in range(20)])\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    told = [ask(of, "a", "b", number) for number in range(20)]
    assert done.stdout.strip() == str([answer.response_time_ms for answer in told])  # type: ignore[union-attr]


def test_inverted_answers_name_the_other_essay(tmp_path):
    winner = "{model: replay, callbacks: trace.jsonl, invert: true}"
    of = replaying(tmp_path, [recorded(7, "a", "b", "Essay B")], winner=winner)
    assert figures(ask(of, "a", "b"))[0] is Winner.A
    assert figures(ask(of, "b", "a"))[0] is Winner.B


def test_a_recorded_failure_is_given_again_for_good_and_without_its_words(tmp_path):
    of = replaying(tmp_path, [recorded(1, "a", "b"), failed(2, "b", "c", "EXTERNAL_SERVICE_ERROR", status_code=503)])
    failure = ask(of, "b", "c")
    assert isinstance(failure, Failure)
    assert failure.code is ErrorCode.EXTERNAL_SERVICE_ERROR
    assert failure.details == {"recorded_error_code": "EXTERNAL_SERVICE_ERROR", "status_code": 503}
    assert not failure.worth_retrying  # its retries were over when it was recorded
    assert "Visby" not in repr(failure)


def test_a_recorded_failure_keeps_its_reason_and_takes_as_long(tmp_path):
    cut = failed(2, "b", "c", "EXTERNAL_SERVICE_ERROR", reason="truncated", response_time_ms=2500)
    failure = ask(replaying(tmp_path, [recorded(1, "a", "b"), cut]), "b", "c")
    assert failure.details == {
        "recorded_error_code": "EXTERNAL_SERVICE_ERROR", "reason": "truncated", "response_time_ms": 2500,
    }  # fmt: skip


def test_a_reason_changes_the_digest_of_a_mode_and_none_does_not(tmp_path):
    def digest(name, **details):
        (folder := tmp_path / name).mkdir()
        return replaying(folder, [recorded(1, "a", "b"), failed(2, "b", "c", **details)]).sha256()

    assert digest("plain") == digest("again")
    assert digest("plain2", reason="truncated") != digest("other", reason="refused")


def test_a_code_of_another_service_becomes_one_of_ours(tmp_path):
    of = replaying(tmp_path, [recorded(1, "a", "b"), failed(2, "b", "c", "ESSAY_TOO_LONG")])
    failure = ask(of, "b", "c")
    assert isinstance(failure, Failure)
    assert failure.code is ErrorCode.EXTERNAL_SERVICE_ERROR
    assert failure.details == {"recorded_error_code": "ESSAY_TOO_LONG"}


def test_where_winners_come_from_elsewhere_so_do_failures(tmp_path):
    write_mode(tmp_path, [recorded(1, "a", "b"), failed(2, "a", "b")])
    of = load_mode(f"{tmp_path / 'mode.yaml'}+always_a")
    assert {figures(ask(of, "a", "b", number))[:2] for number in range(20)} == {(Winner.A, 1001)}


def test_a_pair_that_was_not_recorded_is_an_error_by_default(tmp_path):
    failure = ask(replaying(tmp_path, [recorded(1, "a", "b")]), "a", "z")
    assert isinstance(failure, Failure)
    assert failure.code is ErrorCode.VALIDATION_ERROR
    assert not failure.worth_retrying
    assert "`winner.unknown: coin`" in failure.message


def test_an_unrecorded_pair_may_be_answered_by_a_coin_with_the_figures_of_any_answer(tmp_path):
    winner = "{model: replay, callbacks: trace.jsonl, unknown: coin}"
    of = replaying(tmp_path, [recorded(1, "a", "b"), recorded(2, "b", "c"), failed(3, "c", "d")], winner=winner)
    told = Counter(figures(ask(of, "x", "y", number))[:2] for number in range(400))
    assert set(told) == {(Winner.A, 1001), (Winner.A, 1002), (Winner.B, 1001), (Winner.B, 1002)}
    assert min(told.values()) > 70


def test_an_unrecorded_pair_may_be_answered_by_its_prompt_hash(tmp_path):
    winner = "{model: replay, callbacks: trace.jsonl, unknown: hash_share}"
    of = replaying(tmp_path, [recorded(1, "a", "b")], winner=winner)
    pair = {"essay_a_id": "x", "essay_b_id": "y"}
    for number in range(20):
        request = queued(number, metadata=pair)
        answer = run_virtual(MockProvider(of, seed=42).answer(request, 0))
        assert answer.winner is (Winner.A if int(request.prompt_sha256[:8], 16) % 2 == 0 else Winner.B)


def test_one_section_may_replay_while_others_do_not(tmp_path):
    constant = "{model: constant, tokens: 5}"
    of = replaying(
        tmp_path,
        [recorded(7, "a", "b", "Essay B")],
        winner="{model: always, winner: Essay A}",
        prompt=constant,
        completion=constant,
        confidence="{model: jitter, base: 3.0, jitter: 0.0}",
    )
    assert figures(ask(of, "a", "b")) == (Winner.A, 1007, 5, 5, 3.0)


def test_a_replay_without_essay_ids_is_a_validation_error(tmp_path):
    of = replaying(tmp_path, [recorded(1, "a", "b")])
    with pytest.raises(ProviderError, match="lacks essay_a_id or essay_b_id") as raised:
        run_virtual(MockProvider(of, seed=42).answer(queued(metadata={}), 0))
    assert raised.value.failure.code is ErrorCode.VALIDATION_ERROR


def test_an_overlay_slows_a_replay_and_makes_it_dearer(tmp_path):
    write_mode(tmp_path, [recorded(0, "a", "b")])
    of = load_mode(f"{tmp_path / 'mode.yaml'}+slow_x1_5+tokens_x1_4")
    assert figures(ask(of, "a", "b")) == (Winner.A, 1500, 2800, 42, 1.0)


def test_a_mode_that_was_dumped_replays_the_same(tmp_path):
    of = replaying(tmp_path, [recorded(n, "a", "b") for n in range(5)])
    again = Mode.model_validate(of.model_dump())
    assert again.sha256() == of.sha256()
    assert [ask(again, "a", "b", n) for n in range(5)] == [ask(of, "a", "b", n) for n in range(5)]


def test_the_words_of_the_trace_stay_in_the_trace(tmp_path):
    of = replaying(tmp_path, [recorded(1, "a", "b")])
    answer = ask(of, "a", "b")
    assert isinstance(answer, ProviderAnswer)
    assert "Visby" not in answer.justification
    assert "Visby" not in of.model_dump_json()
    assert mode().recording is None


def test_a_real_trace_is_answered_as_it_was(tmp_path):
    trace = REPOSITORY / "traces" / "eng5_lower5_gpt51_low_20251202" / "llm_callbacks.jsonl"
    of = replaying(tmp_path, trace.read_text(encoding="utf-8").splitlines())
    assert of.recording is not None
    assert len(of.recording.answers) == 10  # every pair of five essays, once
    for number, answer in enumerate(of.recording.answers):
        again = figures(ask(of, answer.essay_a, answer.essay_b, number))
        tokens = (answer.prompt_tokens, answer.completion_tokens)
        assert again == (answer.winner, answer.response_time_ms, *tokens, answer.confidence)
