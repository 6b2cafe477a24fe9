"""This module gathers what a comparison is held against: noise, a coin's rates, wrong mocks; cached by content.

None of it depends on what the live side answered, only on what it was asked: a mock with another seed, asked the same,
finds it in the cache.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from cj_pipeline.mock.model.answers import Answers
from cj_pipeline.parity.comparison import Comparison
from cj_pipeline.parity.gates import Gate, Margin
from cj_pipeline.parity.noise import Noise, noise_of
from cj_pipeline.parity.power import Detection, WrongMock, essential_rates
from cj_pipeline.warehouse.content_cache import Array, ContentCache

_DOCUMENT = "document"
_OUR_FOLDERS = ("parity", "mock/model", "bt")
_LIBRARIES = ("numpy", "scipy")
_RECORDED_COLUMNS = tuple(field.name for field in fields(Answers))
_ASKED_COLUMNS = ("batch", "essay_a", "essay_b", "prompt_sha256", "answered", "rated", "billed", "retry")


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """What one comparison expects. noise: by gate. coin: how often a fair coin fails each gate of judgements."""

    noise: Mapping[str, Noise]
    coin: Mapping[str, float]
    detections: tuple[Detection, ...]


def expected_of(
    case: Comparison,
    gates: Mapping[Gate, Margin],
    exact: Mapping[WrongMock, str],
    cached: ContentCache | None = None,
) -> Expected:
    """Return what a comparison expects, from the cache where it is there, else computed and put there.

    gates: those that are on, with their margins. exact: wrong mocks that a check of values finds.
    """
    if cached is None:
        return _computed(case, gates, exact)
    key = content_key(case, "expected", gates, {mock.name: name for mock, name in exact.items()})
    entry = cached.get(key)
    found = None if entry is None else _read(entry, gates)
    if found is None:
        found = _computed(case, gates, exact)
        cached.put(key, _written(found))
    return found


def content_key(case: Comparison, purpose: str, gates: Mapping[Gate, Margin], more: object = None) -> str:
    """Return the digest of everything that a computation about a comparison follows from, the code included.

    more: further input, as JSON can write it.
    """
    digest = sha256(code_digest().encode())
    for answers in case.recordings:
        _update(digest, answers, _RECORDED_COLUMNS)
    _update(digest, case.live, _ASKED_COLUMNS)
    rest = {
        "purpose": purpose,
        "by_hash": case.by_hash,
        "items": case.items,
        "grades": dict(sorted(case.grades.items())),
        "seed": case.seed,
        "repeatability": case.repeatability,
        "host_latency": case.host_latency,
        "gates": [(gate.name, margin.low, margin.high) for gate, margin in gates.items()],
        "more": more,
    }
    digest.update(json.dumps(rest).encode())
    return digest.hexdigest()


@cache
def code_digest() -> str:
    """Return a digest of the code that computes noise and wrong mocks, and of the libraries below it."""
    digest = sha256(" ".join(version(library) for library in _LIBRARIES).encode())
    package = Path(__file__).parents[1]
    for folder in _OUR_FOLDERS:
        for path in sorted((package / folder).rglob("*.py")):
            digest.update(f"{path.relative_to(package).as_posix()}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _update(digest: Any, answers: Answers, columns: tuple[str, ...]) -> None:
    for name in columns:
        column = getattr(answers, name)
        digest.update(f"{name} {len(column)}\n".encode())
        digest.update(column.tobytes() if isinstance(column, np.ndarray) else json.dumps(column).encode())


def _computed(case: Comparison, gates: Mapping[Gate, Margin], exact: Mapping[WrongMock, str]) -> Expected:
    noise = noise_of(case, gates) if gates else {}
    found, coin = essential_rates(case, noise, exact)
    return Expected(noise, coin, found)


_NOISE_FIELDS = tuple(field.name for field in fields(Noise) if field.name not in ("gate", "margin"))


def _written(expected: Expected) -> dict[str, Array]:
    arrays = {
        f"{name}.{field}": np.asarray(getattr(one, field))
        for name, one in expected.noise.items()
        for field in _NOISE_FIELDS
    }
    document = {"coin": dict(expected.coin), "detections": [asdict(one) for one in expected.detections]}
    return {**arrays, _DOCUMENT: np.frombuffer(json.dumps(document).encode(), np.uint8)}


def _read(entry: Mapping[str, Array], gates: Mapping[Gate, Margin]) -> Expected | None:
    """Return what an entry holds; None where something is missing, as in an entry that is not one of ours."""
    try:
        document = json.loads(entry[_DOCUMENT].tobytes())
        noise = {
            gate.name: Noise(gate, margin, **{field: _value(entry[f"{gate.name}.{field}"]) for field in _NOISE_FIELDS})
            for gate, margin in gates.items()
        }
        found = tuple(Detection(**{**one, "mock": WrongMock(one["mock"])}) for one in document["detections"])
        return Expected(noise, document["coin"], found)
    except (KeyError, TypeError, ValueError):
        return None


def _value(array: Array) -> Any:
    return array if array.ndim else array.item()
