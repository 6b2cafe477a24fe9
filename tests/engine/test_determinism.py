"""The same batch asks the same comparisons in every process. Production's seeded runs did not: sets of strings."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from tests.engine.batches import batch, fails_in, run

REPOSITORY = Path(__file__).parents[2]


def digest(seed: int) -> str:
    """Of every comparison of a balanced run of nine essays, ids and orientations included; one in five fails."""
    state = run(batch(9, seed=seed), fails_in(0.2))
    return sha256(repr(state.comparisons()).encode()).hexdigest()


def digest_elsewhere(hash_seed: str) -> str:
    script = "from tests.engine.test_determinism import digest; print(digest(7))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_another_process_asks_the_same() -> None:
    assert digest_elsewhere("2025") == digest(7)


def test_another_seed_asks_something_else() -> None:
    assert digest(8) != digest(7)


def test_another_batch_has_other_correlation_ids() -> None:
    one = run(batch(4), fails_in(0.0))
    other = run(batch(4, seed=8), fails_in(0.0))
    assert set(one.asked).isdisjoint(other.asked)
