"""Which attempts fail, and with what: from a mode's `errors` and a keyed draw to a ProviderError.

Here: independent failures, bursts, retries, the kinds of failure. Not here: recorded failures (mock_replay.py), the
schema (mode_errors.py).
"""

from __future__ import annotations

from cj_pipeline.contracts.answer import ProviderError
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.foundation.retrying import RETRYABLE_STATUSES
from cj_pipeline.foundation.seeding import uniform
from cj_pipeline.mock.draws import Draws
from cj_pipeline.mock.mode.errors import RETRY_AFTER_STATUS, Bursts, ErrorKinds, Errors


class BurstChain:
    """Calm or burst, call by call; its state depends on the seed and on how many calls there were, on nothing else."""

    def __init__(self, bursts: Bursts, seed: int) -> None:
        self._bursts = bursts
        self._seed = seed
        self._calls = 0
        self._in_burst = False

    def next_call(self) -> bool:
        """Whether the call that begins now falls into a burst."""
        bursts = self._bursts
        if bursts.rate == 0.0:
            return False
        drawn = uniform("lps", "burst", self._seed, self._calls)
        if self._calls == 0:
            # In the long run's proportions from the first call on: a short run has its share of bursts too.
            self._in_burst = drawn < bursts.rate
        elif self._in_burst:
            self._in_burst = drawn >= bursts.ends
        else:
            self._in_burst = drawn < bursts.begins
        self._calls += 1
        return self._in_burst


def drawn_failure(errors: Errors, draws: Draws, *, in_burst: bool) -> ProviderError | None:
    """The failure of this attempt; None when it succeeds."""
    if in_burst or _fails(errors, draws):
        return _failure(errors, draws)
    return None


def takes_ms(errors: Errors, failure: ProviderError | None, latency_ms: int) -> int:
    """How long an attempt takes, in milliseconds. latency_ms: an answer's."""
    if failure is not None and failure.failure.code is ErrorCode.TIMEOUT:
        return round(errors.timeout_ms)
    return latency_ms


def _fails(errors: Errors, draws: Draws) -> bool:
    # The worker asks again only after a failure, so a later attempt is a retry of a request that failed.
    if draws.attempt > 0 and errors.retry_success is not None:
        return draws.uniform("error") >= errors.retry_success
    return errors.rate > 0.0 and draws.uniform("error") < errors.rate


def _failure(errors: Errors, draws: Draws) -> ProviderError:
    match _kind(errors.kinds, draws):
        case "http":
            return _http_failure(errors, draws)
        case "timeout":
            timeout_ms = round(errors.timeout_ms)
            return ProviderError(
                ErrorCode.TIMEOUT,
                f"The mock provider did not answer within {timeout_ms} ms, as its mode asks.",
                {"error_type": "timeout", "timeout_ms": timeout_ms},
                retryable=True,
            )
        case "provider":
            return ProviderError(
                ErrorCode.EXTERNAL_SERVICE_ERROR,
                "The mock provider reported an error, as its mode asks.",
                {"error_type": "server_error"},
                retryable=True,
            )
        case _:
            return ProviderError(
                ErrorCode.PARSING_ERROR,
                "The mock provider's answer cannot be read, as its mode asks.",
                {"error_type": "invalid_response"},
            )


def _http_failure(errors: Errors, draws: Draws) -> ProviderError:
    status = errors.codes[int(draws.uniform("error_code") * len(errors.codes))]
    return ProviderError(
        ErrorCode.EXTERNAL_SERVICE_ERROR,
        f"The mock provider failed with status {status}, as its mode asks.",
        {"status_code": status},
        retryable=status in RETRYABLE_STATUSES,
        retry_after_s=errors.retry_after_s if status in RETRY_AFTER_STATUS else None,
    )


def _kind(kinds: ErrorKinds, draws: Draws) -> str:
    weights = {name: getattr(kinds, name) for name in ErrorKinds.model_fields}
    left = draws.uniform("error_kind") * sum(weights.values())
    for name, weight in weights.items():
        if left < weight:
            return name
        left -= weight
    # Rounding may leave a sliver beyond the last weight; it belongs to the last kind that can be.
    return next(name for name, weight in reversed(weights.items()) if weight > 0.0)
