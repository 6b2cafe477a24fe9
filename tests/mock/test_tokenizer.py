from __future__ import annotations

import logging
import sys
from types import ModuleType

import pytest
from pydantic import ValidationError

from cj_pipeline.mock.tokenizer import ENCODING_FILE, cl100k_counter
from cj_pipeline.runs.virtual_time import run_virtual
from cj_pipeline.services.lps.providers.mock import MockProvider
from tests.services.lps.lab import mode, queued

WORDS = {
    "prompt": {"model": "words", "per_word": 0.75, "floor": 1000},
    "completion": {"model": "words", "per_word": 0.75, "extra": 10, "floor": 100},
    "tokenizer": "tiktoken",
}


class Letters:
    """An encoding that gives every character a number; texts with a special token must not upset it."""

    def encode_ordinary(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def encode(self, text: str) -> list[int]:
        raise ValueError("special tokens are disallowed")


def library(name_asked: list[str]) -> ModuleType:
    module = ModuleType("tiktoken")

    def get_encoding(name: str) -> Letters:
        name_asked.append(name)
        return Letters()

    module.get_encoding = get_encoding  # type: ignore[attr-defined]
    return module


def tokens(of: object, prompt: str, counter: object = None) -> tuple[int, int]:
    answer = run_virtual(MockProvider(of, 42, counter).answer(queued(prompt=prompt), 0))  # type: ignore[arg-type]
    return answer.token_usage.prompt_tokens, answer.token_usage.completion_tokens - len(answer.justification)


def test_real_tokens_are_counted_without_factor_and_floor():
    of = mode(tokens=WORDS)
    assert tokens(of, "twelve chars", len) == (12, 10)  # 12 characters; the justification's own plus `extra`
    assert tokens(of, "", len) == (1, 10)


def test_scale_counts_for_real_tokens_too():
    of = mode(tokens=WORDS | {"scale": 2.0})
    answer = run_virtual(MockProvider(of, 42, len).answer(queued(prompt="twelve chars"), 0))
    assert answer.token_usage.prompt_tokens == 24
    assert answer.token_usage.completion_tokens == 2 * (len(answer.justification) + 10)


def test_the_library_is_used_when_its_encoding_is_on_the_disk(tmp_path, monkeypatch, caplog):
    (tmp_path / ENCODING_FILE).write_bytes(b"")
    asked: list[str] = []
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setitem(sys.modules, "tiktoken", library(asked))
    assert tokens(mode(tokens=WORDS), "<|endoftext|>") == (13, 10)
    assert asked == ["cl100k_base"]
    assert caplog.records == []


def no_download(name: str) -> object:
    raise OSError(f"{name} would be downloaded now")


@pytest.mark.parametrize("missing", ["folder", "encoding", "library", "loadable encoding"])
def test_without_it_words_are_counted_and_one_warning_says_why(missing, tmp_path, monkeypatch, caplog):
    module = library([])
    if missing in {"encoding", "folder", "loadable encoding"}:
        module.get_encoding = no_download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tiktoken", None if missing == "library" else module)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "" if missing == "folder" else str(tmp_path))
    if missing in {"library", "loadable encoding"}:
        (tmp_path / ENCODING_FILE).write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        provider = MockProvider(mode(tokens=WORDS), 42)
        for number in range(3):
            answer = run_virtual(provider.answer(queued(number), 0))
            assert (answer.token_usage.prompt_tokens, answer.token_usage.completion_tokens) == (1000, 100)
    (record,) = caplog.records
    assert "estimated from words" in record.getMessage()


def test_a_mode_that_counts_words_never_looks_for_the_library(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    assert tokens(mode(tokens=WORDS | {"tokenizer": "simple"}), "one two")[0] == 1000
    assert caplog.records == []
    assert cl100k_counter() is None
    assert len(caplog.records) == 1


def test_a_tokenizer_that_would_count_nothing_is_refused():
    fixed = {"model": "constant", "tokens": 5}
    with pytest.raises(ValidationError, match="neither prompt nor completion is of model 'words'"):
        mode(tokens={"prompt": fixed, "completion": fixed, "tokenizer": "tiktoken"})
