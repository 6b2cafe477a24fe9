"""This module compares what errors carry: who failed, at what, how long it took, what was billed, and what it cost.

Texts are not compared: messages, stack traces and the free words of the details differ by provider and by time.
Errors are few and come together, so numbers are compared by their ranks, one value a burst, kind by kind: a small
count never proves anything.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np
from scipy.special import betaln

from cj_pipeline.bt.agreement import mid_ranks
from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.contracts.errors import ErrorDetail
from cj_pipeline.contracts.reasons import BILLED, PRICE, REASON, TOOK
from cj_pipeline.mock.model.errors import LEAST_ERRORS
from cj_pipeline.parity.check import Case, Limits, Outcome, check, exact

GROUP = "values"

# A rank sum so many standard deviations away: 1 of 2,000 faithful runs on one side.
_PROVEN, _BY_CHANCE = 3.3, 0.0005
# The load of a host may change by this, as its margins of latency say.
_OF_HOST = 4.0
# A call that fails before anyone has judged may not know its model.
_NO_MODEL = "unknown"


@dataclass(frozen=True, slots=True)
class _Measure:
    """A number of an error. read: from its details, None where they do not say; plain: from the callback itself.

    factor: by which it may differ; slack: by how much beside that, in `unit`.
    """

    name: str
    unit: str
    read: Callable[[Mapping[str, object]], float | None]
    plain: Callable[[LLMComparisonResultV1], float]
    factor: float
    slack: float


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _billed(name: str) -> Callable[[Mapping[str, object]], float | None]:
    def read(details: Mapping[str, object]) -> float | None:
        usage = details.get(BILLED)
        return _number(usage.get(name)) if isinstance(usage, Mapping) else None

    return read


_MEASURES = (
    _Measure("time", "ms", lambda d: _number(d.get(TOOK)), lambda c: float(c.response_time_ms), 1.5, 50.0),
    _Measure(
        "prompt tokens", "tokens", _billed("prompt_tokens"), lambda c: float(c.token_usage.prompt_tokens), 1.25, 5
    ),
    _Measure(
        "completion tokens",
        "tokens",
        _billed("completion_tokens"),
        lambda c: float(c.token_usage.completion_tokens),
        1.25,
        5,
    ),
    _Measure("cost", "dollars", lambda d: _number(d.get(PRICE)), lambda c: float(c.cost_estimate), 1.25, 1e-9),
)


@dataclass(slots=True)
class _Errors:
    """The errors of one kind on one side. bursts: those that came one after the other are one."""

    bursts: list[list[LLMComparisonResultV1]] = field(default_factory=list)

    @property
    def all(self) -> list[LLMComparisonResultV1]:
        """Every error."""
        return [error for burst in self.bursts for error in burst]


def _too_few(case: Case) -> str | None:
    recorded, live = _sides(case)
    enough = any(len(errors.all) >= LEAST_ERRORS for kind, errors in recorded.items() if kind in live)
    return None if enough else f"no kind of error is there {LEAST_ERRORS} times in the recording and once live"


@check("error_values", group=GROUP, not_applicable=_too_few)
def error_values(case: Case, limits: Limits) -> Outcome:
    """Do errors of one kind come from the same judge, take as long, and bill as much?"""
    recorded, live = _sides(case)
    answers = [one.data for one in case.events[0] if one.data.succeeded]
    problems, compared = [], 0
    for kind in sorted(recorded.keys() & live.keys()):
        if len(recorded[kind].all) < LEAST_ERRORS:
            continue
        compared += len(live[kind].all)
        problems += [f"{kind}: {problem}" for problem in _strangers(recorded[kind].all, live[kind].all, answers)]
        problems += [f"{kind}: {problem}" for problem in _never_recorded(recorded[kind].all, live[kind].all)]
        host = case.comparison.host_latency
        problems += [f"{kind}: {problem}" for problem in _apart(recorded[kind], live[kind], host=host)]
    return exact(problems, f"{compared} live errors have the judge, time, tokens and cost of recorded ones")


CHECKS = (error_values,)


def _sides(case: Case) -> tuple[dict[str, _Errors], dict[str, _Errors]]:
    recorded, live = (
        _by_kind([event.data for event in batch] for run in runs for batch in (run.events, *run.repeats))
        for runs in (case.recordings, (case.live,))
    )
    return recorded, live


def _by_kind(batches: Iterable[Sequence[LLMComparisonResultV1]]) -> dict[str, _Errors]:
    found: defaultdict[str, _Errors] = defaultdict(_Errors)
    for batch in batches:
        before = None
        for callback in batch:
            kind = None if callback.error_detail is None else _kind(callback.error_detail)
            if kind is not None:
                bursts = found[kind].bursts
                if kind != before:
                    bursts.append([])
                bursts[-1].append(callback)
            before = kind
    return dict(found)


def _kind(error: ErrorDetail) -> str:
    reason = error.details.get(REASON)
    return f"{error.error_code}/{reason}" if isinstance(reason, str) and reason else str(error.error_code)


def _strangers(
    recorded: Sequence[LLMComparisonResultV1],
    live: Sequence[LLMComparisonResultV1],
    answers: Sequence[LLMComparisonResultV1],
) -> Iterator[str]:
    """Say which errors name a judge, or a service, that no recorded callback names."""
    known = {(one.provider.value, one.model) for one in (*recorded, *answers)}
    providers = {provider for provider, _ in known}
    odd = [
        f"{one.provider.value} {one.model}"
        for one in live
        if (one.provider.value, one.model) not in known
        and not (one.model == _NO_MODEL and one.provider.value in providers)
    ]
    if odd:
        yield f"{len(odd)} of {len(live)} live errors are of {odd[0]}, which the recording does not know"
    for key in ("resolved_provider", "resolved_model"):
        named = {str(one.request_metadata.get(key)) for one in (*recorded, *answers)} - {str(None)}
        told = [str(one.request_metadata[key]) for one in live if one.request_metadata.get(key) is not None]
        if named and (strange := [name for name in told if name not in named]):
            yield f"{key} of {len(strange)} of {len(live)} live errors is {strange[0]}, of no recorded callback"
    services = [{one.error_detail.service for one in side if one.error_detail is not None} for side in (recorded, live)]
    if others := sorted(services[1] - services[0]):
        yield f"live errors are reported by {others[0]}, recorded ones by {', '.join(sorted(services[0]))}"


_CONSTANTS: Mapping[str, Callable[[ErrorDetail], object]] = {
    "operation": lambda error: error.operation,
    "details.retryable": lambda error: error.details.get("retryable"),
}


def _never_recorded(recorded: Sequence[LLMComparisonResultV1], live: Sequence[LLMComparisonResultV1]) -> Iterator[str]:
    """Say which values more live errors have than chance explains, and none of the recorded ones.

    What a side does not say is not compared.
    """
    for name, read in _CONSTANTS.items():
        here, there = (
            [value for one in side if (detail := one.error_detail) and (value := read(detail)) is not None]
            for side in (recorded, live)
        )
        known = set(map(repr, here))
        odd = [value for value in there if repr(value) not in known]
        once = sum(times == 1 for times in Counter(map(repr, here)).values())
        if here and odd and _chance(len(odd), len(there), len(here), once) < _BY_CHANCE:
            yield f"{name} of {len(odd)} of {len(there)} live errors is {odd[0]}, of no recorded one"


def _chance(odd: int, live: int, recorded: int, once: int) -> float:
    """Return how probably at least so many live errors have what no recorded one had (beta-binomial, Jeffreys).

    once: recorded values that came once, which say how much has not been seen (Good and Turing).
    """
    some, unseen, seen = np.arange(odd, live + 1), once + 0.5, recorded - once + 0.5
    choices = -betaln(live - some + 1, some + 1) - np.log(live + 1)
    return float(np.exp(choices + betaln(some + unseen, live - some + seen) - betaln(unseen, seen)).sum())


def _apart(recorded: _Errors, live: _Errors, *, host: bool) -> Iterator[str]:
    """Say which numbers of the live errors lie beyond their margin, by more than chance explains."""
    for measure in _MEASURES:
        details = [[measure.read(_details(one)) for one in side.all] for side in (recorded, live)]
        here, there = ([_of_burst(measure, burst) for burst in side.bursts] for side in (recorded, live))
        # A recording that does not say how long a failed call took says 0; a live side that says it is no worse.
        silent = all(value is None for value in details[0]) and not any(here)
        if silent and any(value is not None for value in details[1]):
            continue
        factor = _OF_HOST if host and measure.unit == "ms" else measure.factor
        first, second = np.array(here), np.array(there)
        more = _rank_sum(second, first * factor + measure.slack)
        less = _rank_sum(first, second * factor + measure.slack)
        if max(more, less) > _PROVEN:
            values = f"{median(here):,.6g} {measure.unit} recorded, {median(there):,.6g} live"
            yield f"{measure.name}: {values} (medians of {len(here)} and {len(there)} bursts)"


def _details(callback: LLMComparisonResultV1) -> Mapping[str, object]:
    return {} if callback.error_detail is None else callback.error_detail.details


def _of_burst(measure: _Measure, burst: Sequence[LLMComparisonResultV1]) -> float:
    known = [(measure.read(_details(one)), measure.plain(one)) for one in burst]
    return median(plain if detail is None else detail for detail, plain in known)


def _rank_sum(larger: np.ndarray, smaller: np.ndarray) -> float:
    """Return by how many standard deviations the first values are larger than the second ones (Mann and Whitney)."""
    n, m = len(larger), len(smaller)
    ranks = mid_ranks(np.concatenate([larger, smaller]))
    variance = float(ranks.var()) * n * m / max(n + m - 1, 1)
    above = float(ranks[:n].mean() - ranks.mean()) * n
    return (above - 0.5) / variance**0.5 if variance > 0 else 0.0
