"""This module holds the answers of a judge as columns: what the judge model is fitted to and parity compares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from cj_pipeline.contracts.callback import LLMComparisonResultV1, TokenUsage
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.contracts.reasons import ASKS, CONFIDENCE_KNOWN, is_measured

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.intp]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
RealArray: TypeAlias = npt.NDArray[np.floating[Any]]
"""Drawn values: single precision halves the time, and seven digits are enough."""

Prompt: TypeAlias = tuple[str, str, str]
"""Hash of the prompt (empty where it is not known by its hash), essay shown as A, essay shown as B."""


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """The callbacks of one or more batches, one element a callback in every column, in the order of arrival.

    batch: which batch of this side, from 0. essay_a, essay_b: ids. prompt_sha256: empty where absent.
    winner: 1 for A, 0 for B, -1 for an error. error: `code` or `code/reason`, empty for an answer.
    latency_ms, completion_tokens, total_tokens: as in the callback. prompt_tokens: of one ask, also where the judge was
    asked once more and billed for both. Tokens are nan where they are not known, confidence where the judge gave none.
    justification_length: characters. retry: whether the engine asked again after an error.
    """

    batch: IntArray
    essay_a: tuple[str, ...]
    essay_b: tuple[str, ...]
    prompt_sha256: tuple[str, ...]
    winner: IntArray
    error: tuple[str, ...]
    latency_ms: FloatArray
    prompt_tokens: FloatArray
    completion_tokens: FloatArray
    total_tokens: FloatArray
    confidence: FloatArray
    retry: BoolArray

    def __len__(self) -> int:
        """How many callbacks there are."""
        return len(self.winner)

    @property
    def answered(self) -> BoolArray:
        """(n,) whether a callback names a winner."""
        return self.winner >= 0

    @property
    def rated(self) -> BoolArray:
        """(n,) whether a callback is an answer with a known confidence."""
        return self.answered & ~np.isnan(self.confidence)

    @property
    def billed(self) -> BoolArray:
        """(n,) whether a callback is an answer with known tokens."""
        return self.answered & ~np.isnan(self.completion_tokens)

    def prompts(self, *, by_hash: bool) -> list[Prompt]:
        """Return what each callback was asked. by_hash: False leaves the hash out, so that pair and side decide."""
        hashes = self.prompt_sha256 if by_hash else ("",) * len(self)
        return list(zip(hashes, self.essay_a, self.essay_b, strict=True))


def answers_of(batches: Iterable[Sequence[LLMComparisonResultV1]]) -> Answers:
    """Gather the callbacks of some batches. Each must name its two essays."""
    numbered = [(number, callback) for number, batch in enumerate(batches) for callback in batch]
    callbacks = [callback for _, callback in numbered]
    metadata: list[Mapping[str, object]] = [callback.request_metadata for callback in callbacks]
    usage = [_usage(callback) for callback in callbacks]
    essays = [(str(entry["essay_a_id"]), str(entry["essay_b_id"])) for entry in metadata]
    return Answers(
        batch=np.array([number for number, _ in numbered], dtype=np.intp),
        essay_a=tuple(a for a, _ in essays),
        essay_b=tuple(b for _, b in essays),
        prompt_sha256=tuple(str(entry.get("prompt_sha256") or "") for entry in metadata),
        winner=np.array([_WINNER[callback.winner] for callback in callbacks], dtype=np.intp),
        error=tuple(_error(callback) for callback in callbacks),
        latency_ms=np.array([callback.response_time_ms for callback in callbacks], dtype=float),
        prompt_tokens=np.array(
            [tokens["prompt_tokens"] / _asks(entry) for tokens, entry in zip(usage, metadata, strict=True)], dtype=float
        ),
        completion_tokens=np.array([tokens["completion_tokens"] for tokens in usage], dtype=float),
        total_tokens=np.array([tokens["total_tokens"] for tokens in usage], dtype=float),
        confidence=np.array([_confidence(callback) for callback in callbacks], dtype=float),
        retry=np.array([entry.get("cj_request_type") == "cj_retry" for entry in metadata], dtype=np.bool_),
    )


_WINNER: Mapping[Winner | None, int] = {Winner.A: 1, Winner.B: 0, None: -1}


def _asks(metadata: Mapping[str, object]) -> int:
    """Return how often the judge was asked for one answer: the same prompt each time."""
    asks = metadata.get(ASKS)
    return asks if type(asks) is int and asks > 0 else 1


def _usage(callback: LLMComparisonResultV1) -> Mapping[str, float]:
    known = is_measured(callback.request_metadata)
    return {name: getattr(callback.token_usage, name) if known else np.nan for name in TokenUsage.model_fields}


def _confidence(callback: LLMComparisonResultV1) -> float:
    known = callback.confidence is not None and callback.request_metadata.get(CONFIDENCE_KNOWN) is not False
    return float(callback.confidence or 0.0) if known else float("nan")


def _error(callback: LLMComparisonResultV1) -> str:
    detail = callback.error_detail
    if detail is None:
        return ""
    reason = detail.details.get("reason")
    return f"{detail.error_code}/{reason}" if isinstance(reason, str) and reason else str(detail.error_code)
