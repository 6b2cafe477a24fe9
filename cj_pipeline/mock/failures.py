"""This module draws which attempts fail, and with what: from a mode's `errors` and a keyed draw to a ProviderError."""

from __future__ import annotations

from collections.abc import Sequence

from cj_pipeline.contracts.answer import ProviderError
from cj_pipeline.contracts.callback import TokenUsage
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.contracts.reasons import BILLED, PRICE, TOOK
from cj_pipeline.foundation.retrying import RETRYABLE_STATUSES
from cj_pipeline.foundation.seeding import uniform
from cj_pipeline.mock.draws import Draws
from cj_pipeline.mock.mode.errors import RETRY_AFTER_STATUS, Bursts, ErrorKinds, Errors
from cj_pipeline.mock.mode.mode import Cost

NO_COST = Cost()


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


def drawn_failure(
    errors: Errors, draws: Draws, *, in_burst: bool, cost: Cost = NO_COST, fixed: bool | None = None
) -> ProviderError | None:
    """Return the failure of this attempt; None when it succeeds.

    cost: of the tokens that a failure is billed for. fixed: whether the prompt always fails or never does; None where
    each attempt is drawn.
    """
    if not (in_burst or (_fails(errors, draws) if fixed is None else fixed)):
        return None
    return _mixed_failure(errors, draws, cost) if errors.codes_mix else _failure(errors, draws)


def takes_ms(errors: Errors, failure: ProviderError | None, latency_ms: int) -> int:
    """How long an attempt takes, in milliseconds. latency_ms: an answer's."""
    if failure is None:
        return latency_ms
    if isinstance(took := failure.failure.details.get(TOOK), int):
        return took
    return round(errors.timeout_ms) if failure.failure.code is ErrorCode.TIMEOUT else latency_ms


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


def _mixed_failure(errors: Errors, draws: Draws, cost: Cost) -> ProviderError:
    mix = errors.codes_mix
    drawn = mix[_place([error.share for error in mix], draws.uniform("error_mix"))]
    details: dict[str, object] = {} if drawn.reason is None else {"reason": drawn.reason}
    if drawn.latency_ms is not None:
        details[TOOK] = round(drawn.latency_ms)
    if drawn.prompt_tokens is not None or drawn.completion_tokens is not None:
        usage = token_usage(drawn.prompt_tokens or 0, drawn.completion_tokens or 0)
        details |= {BILLED: usage.model_dump(), PRICE: cost_usd(cost, usage)}
    return ProviderError(
        drawn.code,
        f"The mock provider failed with {drawn.code}, as its mode asks.",
        details,
        retryable=drawn.retryable,
    )


def token_usage(prompt: int, completion: int) -> TokenUsage:
    """Return the tokens of a call."""
    return TokenUsage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


def cost_usd(cost: Cost, usage: TokenUsage) -> float:
    """Return what a call costs, to a hundred-millionth of a dollar; 0 where the price is not known."""
    if not cost.known:
        return 0.0
    price = usage.prompt_tokens * cost.per_prompt_token + usage.completion_tokens * cost.per_completion_token
    return round(price, 8)


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
    names = list(ErrorKinds.model_fields)
    return names[_place([getattr(kinds, name) for name in names], draws.uniform("error_kind"))]


def _place(weights: Sequence[float], drawn: float) -> int:
    """Return which of some weights a draw in [0, 1) falls on."""
    left = drawn * sum(weights)
    for place, weight in enumerate(weights):
        if left < weight:
            return place
        left -= weight
    # Rounding may leave a sliver beyond the last weight; it belongs to the last kind that can be.
    return max(place for place, weight in enumerate(weights) if weight > 0.0)
