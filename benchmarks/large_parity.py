"""How long do a verdict on large files, a replay and a calibration take, and how much memory?

    python -m benchmarks.large_parity [--callbacks 100000] [--essays 2000] [--keep FOLDER]

Writes two runs of one judge over the same net and runs `cj-pipeline parity` on them, then on one of them beside a judge
that is inverted on every tenth pair, `cj-pipeline replay` and `cj-pipeline calibrate` on one, and `calibrate` with the
other held out. Each is a process of its own: seconds, CPU and the most memory it held.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np

from cj_pipeline.foundation.seeding import keyed_uuid

TIME = "2026-01-01T09:{:02d}:{:02d}.{:03d}Z"


@dataclass(frozen=True, slots=True, eq=False)
class Net:
    """Who was asked: (n,) essays shown as A and as B, (e,) logits."""

    first: np.ndarray
    second: np.ndarray
    theta: np.ndarray


def net_of(callbacks: int, essays: int) -> Net:
    """Draw a net in which every wave asks each essay at most once."""
    rng = np.random.default_rng([1, essays, callbacks])
    waves = -(-callbacks // (essays // 2))
    order = np.stack([rng.permutation(essays)[: essays // 2 * 2].reshape(-1, 2) for _ in range(waves)])
    pairs = order.reshape(-1, 2)[:callbacks]
    return Net(pairs[:, 0], pairs[:, 1], rng.normal(0, 1.5, essays))


def write_run(path: Path, net: Net, seed: int, *, inverted: float = 0.0) -> None:
    """Write one run of the judge as JSON lines. inverted: share of the pairs on which the other essay wins."""
    rng = np.random.default_rng([2, seed])
    n, per_wave = len(net.first), len(net.theta) // 2
    chance = 1 / (1 + np.exp(-(net.theta[net.first] - net.theta[net.second] + 0.3)))
    a_wins = (rng.random(n) < chance) ^ (np.random.default_rng(3).random(n) < inverted)
    latency = np.round(1500 * np.exp(0.4 * rng.standard_normal(n))).astype(int)
    tokens = np.round(60 * np.exp(0.2 * rng.standard_normal(n))).astype(int)
    confidence = rng.choice([3.0, 3.5, 4.0, 4.5], n)
    columns = (net.first, net.second, a_wins, latency, tokens, confidence)
    answers = [Answer(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
    with path.open("w", encoding="utf-8") as file:
        file.writelines(
            json.dumps(_event(row, row // per_wave, seed, answer)) + "\n" for row, answer in enumerate(answers)
        )


class Answer(NamedTuple):
    """One answer: who was shown, whether A won, milliseconds, completion tokens, points of 5."""

    a: int
    b: int
    a_wins: bool
    took: int
    completion: int
    confidence: float


def _event(row: int, wave: int, seed: int, answer: Answer) -> dict[str, object]:
    a, b, a_wins, took, completion, confidence = answer
    correlation = str(keyed_uuid("large", row))
    prompt = 900 + a % 97 + b % 97
    data = {
        "request_id": str(keyed_uuid("large", seed, row)),
        "correlation_id": correlation,
        "winner": "Essay A" if a_wins else "Essay B",
        "justification": f"The {'first' if a_wins else 'second'} essay argues more clearly, case {row % 50}.",
        "confidence": confidence,
        "error_detail": None,
        "provider": "openai",
        "model": "gpt-5.1",
        "response_time_ms": took,
        "token_usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        },
        "cost_estimate": round((prompt + completion) * 2e-6, 8),
        "requested_at": TIME.format(0, 0, 0),
        "completed_at": TIME.format(took // 60_000, took // 1000 % 60, took % 1000),
        "trace_id": None,
        "request_metadata": {
            "essay_a_id": f"essay-{a:05d}",
            "essay_b_id": f"essay-{b:05d}",
            "bos_batch_id": f"large-{seed}",
            "cj_batch_id": "1",
            "cj_source": "els",
            "cj_request_type": "cj_comparison",
            "comparison_iteration": wave,
            "resolved_provider": "openai",
            "resolved_model": "gpt-5.1",
            "queue_processing_mode": "per_request",
        },
    }
    return {
        "event_id": str(keyed_uuid("event", seed, row)),
        "event_type": "LLMComparisonResultV1",
        "event_timestamp": TIME.format(1, 0, 0),
        "source_service": "llm_provider_service",
        "schema_version": 1,
        "correlation_id": correlation,
        "data_schema_uri": None,
        "data": data,
        "metadata": None,
    }


@dataclass(frozen=True, slots=True)
class Cost:
    """What one command took. exit_code: of the command."""

    seconds: float
    cpu: float
    megabytes: float
    exit_code: int


def cost_of(*arguments: str) -> Cost:
    """Run `cj-pipeline` with some arguments and measure it."""
    began = perf_counter()
    command = [sys.executable, "-c", "from cj_pipeline.cli.main import main; main()", *arguments]
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    pid = os.posix_spawn(sys.executable, command, os.environ, file_actions=silent)
    _, status, usage = os.wait4(pid, 0)
    return Cost(
        seconds=perf_counter() - began,
        cpu=usage.ru_utime + usage.ru_stime,
        megabytes=usage.ru_maxrss / 1024,
        exit_code=os.waitstatus_to_exitcode(status),
    )


def write_files(folder: Path, callbacks: int, essays: int) -> dict[str, Path]:
    """Write a recording, a second run of its judge, and a run of a judge that is wrong; return them by name."""
    net = net_of(callbacks, essays)
    paths = {name: folder / f"{name}.jsonl" for name in ("recorded", "again", "wrong")}
    for seed, (name, path) in enumerate(paths.items(), start=1):
        write_run(path, net, seed, inverted=0.1 if name == "wrong" else 0.0)
    return paths


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--callbacks", type=int, default=100_000)
    parser.add_argument("--essays", type=int, default=2_000)
    parser.add_argument("--keep", type=Path, help="write the files there and leave them")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if chosen.keep is None else chosen.keep
        folder.mkdir(exist_ok=True)
        files = write_files(folder, chosen.callbacks, chosen.essays)
        print(f"| {chosen.callbacks:,} callbacks, {chosen.essays:,} essays | exit | seconds | CPU, s | RSS, MB |")
        print("|---|---|---|---|---|")
        recorded = str(files["recorded"])
        runs: dict[str, tuple[str, ...]]
        runs = {name: ("parity", recorded, str(files[name])) for name in ("again", "wrong")}
        fit = ("calibrate", recorded, "-o", str(folder / "mode.yaml"))
        runs |= {
            "replay": ("replay", recorded),
            "calibrate": fit,
            "calibrate, held out": (*fit, "--holdout", str(files["again"])),
        }
        for name, arguments in runs.items():
            took = cost_of(*arguments)
            print(f"| {name} | {took.exit_code} | {took.seconds:.1f} | {took.cpu:.1f} | {took.megabytes:,.0f} |")


if __name__ == "__main__":
    main()
