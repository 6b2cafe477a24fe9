"""This module fits what failed calls took: their time and tokens, where the error's details or the callback say so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.contracts.reasons import BILLED, REASON, TOOK
from cj_pipeline.mock.mode.errors import Errors, MixedError

Kind = tuple[str, str | None]
"""Code and reason."""


@dataclass(frozen=True, slots=True)
class FailedCall:
    """The medians of one kind of failure; None where no recording says."""

    latency_ms: float | None
    prompt_tokens: int | None
    completion_tokens: int | None


def failed_calls(callbacks: Iterable[LLMComparisonResultV1]) -> Mapping[Kind, FailedCall]:
    """Return what each kind of failure took."""
    found: defaultdict[Kind, list[Mapping[str, object]]] = defaultdict(list)
    for callback in callbacks:
        if (error := callback.error_detail) is not None:
            reason = error.details.get(REASON)
            kind = error.error_code, reason[:100] if isinstance(reason, str) and reason else None
            found[kind].append(_of_callback(callback) | error.details)
    return {kind: _medians(details) for kind, details in found.items()}


def with_failed_calls(errors: Errors, calls: Mapping[Kind, FailedCall]) -> Errors:
    """Return the errors of a mode, each with the time and tokens of its kind."""
    return errors.model_copy(update={"codes_mix": tuple(_with_call(error, calls) for error in errors.codes_mix)})


def _with_call(error: MixedError, calls: Mapping[Kind, FailedCall]) -> MixedError:
    call = calls.get((error.code.value, error.reason))
    if call is None:
        return error
    return error.model_copy(
        update={
            "latency_ms": call.latency_ms,
            "prompt_tokens": call.prompt_tokens,
            "completion_tokens": call.completion_tokens,
        }
    )


def _of_callback(callback: LLMComparisonResultV1) -> dict[str, object]:
    """Return what the callback itself says. A service that leaves it to the details of the error writes 0."""
    usage = callback.token_usage
    found: dict[str, object] = {}
    if callback.response_time_ms > 0:
        found[TOOK] = callback.response_time_ms
    if usage.prompt_tokens or usage.completion_tokens:
        found[BILLED] = {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
    return found


def _medians(details: list[Mapping[str, object]]) -> FailedCall:
    billed = [one[BILLED] for one in details if isinstance(one.get(BILLED), Mapping)]
    prompt, completion = (
        _median(tokens.get(name) for tokens in billed if isinstance(tokens, Mapping))
        for name in ("prompt_tokens", "completion_tokens")
    )
    took = _median(one.get(TOOK) for one in details)
    return FailedCall(
        took, None if prompt is None else round(prompt), None if completion is None else round(completion)
    )


def _median(values: Iterable[object]) -> float | None:
    known = [float(value) for value in values if type(value) is int and value >= 0]
    return median(known) if known else None
