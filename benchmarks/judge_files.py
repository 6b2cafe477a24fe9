"""Recordings of simulated judges, as files of bare callbacks with every key that the LPS writes.

    python -m benchmarks.judge_files out.jsonl [--essays 12] [--calls 66] [--spread 3] [--seed 3] [--run 1]

The judge is drawn from the seed: abilities, position, what is special to each prompt. The run draws the rest.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from uuid import UUID

import numpy as np

STARTED = datetime(2026, 3, 1, 9, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class JudgeKind:
    """What a judge is like. spread, position: logits. sigma: of the logarithm of its latency."""

    essays: int = 12
    calls: int = 66
    spread: float = 2.0
    position: float = 0.3
    repeatability: float = 0.6
    error_rate: float = 0.0
    sigma: float = 0.35


def recording(kind: JudgeKind, seed: int, run: int) -> Iterator[dict[str, object]]:
    """Yield the callbacks of one run of a judge. seed: of the judge; run: of what it does anew each time."""
    judge = np.random.default_rng((seed, 1))
    theta = kind.spread * judge.standard_normal(kind.essays)
    words = judge.integers(150, 400, kind.essays)
    pairs = np.array(list(combinations(range(kind.essays), 2)))
    judge.shuffle(pairs)
    pairs = np.resize(pairs, (kind.calls, 2))
    swapped = judge.random(kind.calls) < 0.5
    pairs[swapped] = pairs[swapped][:, ::-1]
    first, second = pairs.T
    chance = 1 / (1 + np.exp(-(theta[first] - theta[second] + kind.position)))
    fixed, answer = judge.random(kind.calls) < kind.repeatability, judge.random(kind.calls) < chance
    rng = np.random.default_rng((seed, 2, run))
    wins = np.where(fixed, answer, rng.random(kind.calls) < chance)
    failed = rng.random(kind.calls) < kind.error_rate
    latency = np.round(1500 * np.exp(kind.sigma * rng.standard_normal(kind.calls))).astype(int)
    tokens = np.round(45 * np.exp(0.2 * rng.standard_normal(kind.calls))).astype(int)
    sure = np.clip(np.round(2 * (3.2 + 0.3 * np.abs(theta[first] - theta[second]))) / 2, 1, 5)
    at = STARTED + timedelta(days=run)
    for number in range(kind.calls):
        identity = str(UUID(int=(seed << 80) + (run << 40) + number, version=4))
        prompt = 420 + int(words[first[number]]) + int(words[second[number]])
        ended = at + timedelta(milliseconds=int(latency[number]))
        outcome: dict[str, object] = {
            "winner": "Essay A" if wins[number] else "Essay B",
            "justification": "It keeps to its question and supports what it claims."[: 40 + number % 10],
            "confidence": float(sure[number]),
            "token_usage": {
                "prompt_tokens": prompt,
                "completion_tokens": int(tokens[number]),
                "total_tokens": prompt + int(tokens[number]),
            },
            "cost_estimate": round(2e-6 * prompt + 8e-6 * int(tokens[number]), 8),
            "error_detail": None,
        }
        if failed[number]:
            nothing = dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), 0)
            outcome = dict.fromkeys(("winner", "justification", "confidence"))
            outcome |= {"token_usage": nothing, "cost_estimate": 0.0, "error_detail": _error(identity, ended)}
        yield {
            "request_id": f"{seed}-{run}-{number}",
            "correlation_id": identity,
            "provider": "openai",
            "model": "a-model",
            "response_time_ms": 0 if failed[number] else int(latency[number]),
            "requested_at": at.isoformat(),
            "completed_at": ended.isoformat(),
            "trace_id": None,
            "request_metadata": {
                "essay_a_id": f"essay_{first[number]:03d}",
                "essay_b_id": f"essay_{second[number]:03d}",
                "bos_batch_id": f"run_{run}",
                "cj_batch_id": "1",
                "cj_source": "els",
                "cj_request_type": "cj_comparison",
                "cj_llm_batching_mode": "per_request",
                "resolved_provider": "openai",
                "queue_processing_mode": "per_request",
                "resolved_model": "a-model",
                "prompt_sha256": sha256(f"{seed} {first[number]} {second[number]}".encode()).hexdigest(),
            },
            **outcome,
        }
        at = ended


def _error(identity: str, at: datetime) -> dict[str, object]:
    return {
        "error_code": "TIMEOUT",
        "message": "The provider did not answer.",
        "correlation_id": identity,
        "timestamp": at.isoformat(),
        "service": "llm_provider_service",
        "operation": "process_comparison",
        "details": {"error_type": "timeout"},
        "stack_trace": None,
        "trace_id": None,
        "span_id": None,
    }


def write(path: Path, kind: JudgeKind, seed: int, run: int) -> Path:
    """Write one run as a file of bare callbacks."""
    path.write_text("".join(f"{json.dumps(line)}\n" for line in recording(kind, seed, run)), encoding="utf-8")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--essays", type=int, default=12)
    parser.add_argument("--calls", type=int, default=66)
    parser.add_argument("--spread", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--run", type=int, default=1)
    given = parser.parse_args()
    write(given.output, JudgeKind(essays=given.essays, calls=given.calls, spread=given.spread), given.seed, given.run)
