"""This module gives each comparison its tokens and milliseconds, from the figures known about the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cj_pipeline.foundation.seeding import KeyPart, uniform
from cj_pipeline.traces.reconstruct.published import CannotReconstruct
from cj_pipeline.traces.reconstruct.samples import sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cj_pipeline.traces.reconstruct.judgements import Judgement
    from cj_pipeline.traces.reconstruct.published import Published

# The percentile that a figure's last part names; the mean is none.
PERCENTILE_OF: dict[str, float] = {
    "min": 0,
    "max": 100,
    "min_ms": 0,
    "p50_ms": 50,
    "p95_ms": 95,
    "p99_ms": 99,
    "max_ms": 100,
}


def prompt_tokens(published: Published, judgement: Judgement) -> int:
    """Return the tokens of the prompt that shows these two essays, whichever way round."""
    lengths = published.assumed.essay_tokens
    for item in (judgement.shown_a, judgement.shown_b):
        if item.label not in lengths:
            raise CannotReconstruct("missing", field=f"assumed.essay_tokens.{item.label}")
    return published.assumed.prompt_base_tokens + lengths[judgement.shown_a.label] + lengths[judgement.shown_b.label]


def completion_tokens(published: Published, n: int, *key: KeyPart) -> list[int]:
    """Return the tokens of each of n answers."""
    values = _known_sample(published, "token_usage.completion_tokens", n, key)
    order = sorted(range(n), key=lambda index: uniform(*key, "shuffle", index))
    return [values[index] for index in order]


def latencies(published: Published, completion: Sequence[int], *key: KeyPart) -> list[int]:
    """Draw milliseconds by event; longer answers tend to take longer (rank correlation about .3)."""
    n = len(completion)
    values = _known_sample(published, "response_time_ms", n, key)
    by_length = sorted(range(n), key=lambda index: (completion[index], uniform(*key, "tie", index)))
    # .24 : .76 gives two uniform ranks a correlation of .24 / sqrt(.24^2 + .76^2) = .30.
    slowness = {
        index: 0.24 * rank / n + 0.76 * uniform(*key, "slowness", index) for rank, index in enumerate(by_length)
    }
    latency = [0] * n
    for value, index in zip(values, sorted(range(n), key=lambda index: slowness[index]), strict=True):
        latency[index] = value
    return latency


def _known_sample(published: Published, kind: str, n: int, key: tuple[KeyPart, ...]) -> list[int]:
    """Return sorted values with each known figure of one kind of number; kind: the figures' path but its last part."""
    paths = ((name.rpartition("."), figure) for name, figure in published.known_figures().items())
    known = {last: figure for (path, _, last), figure in paths if path == kind}
    mean = next((known.pop(name) for name in ("mean", "mean_ms") if name in known), None)
    if mean is None:
        raise CannotReconstruct("give (or assume) the mean", field=f"figures.{kind}")
    percentiles = {PERCENTILE_OF[name]: figure for name, figure in known.items()}
    return sample(n, mean, percentiles, f"figures.{kind}", *key, kind)
