"""This module holds what a recording may spend: the worst price of a call is set aside before the call is sent.

A call whose price becomes known gives back what it did not need. One whose price stays unknown (no usage in the reply,
a connection that was lost) keeps its worst price: it may have been billed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
import msgspec

from cj_pipeline.services.lps.providers.manifest import Model

# Of English and its like; only for what a person is shown before anything is asked.
BYTES_PER_TOKEN = 4.0
TYPICAL_COMPLETION_TOKENS = 120

# So many calls are made to an address before nobody is said to be there.
CALLS_TO_NOBODY = 2

# Kept away from the client: the inner one has unpacked the body.
_OF_THE_TRANSFER = frozenset({"content-encoding", "content-length", "transfer-encoding"})


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars a token, as its most expensive kind costs (a cache's writing, for instance)."""

    per_input_token: float
    per_output_token: float

    def of(self, input_tokens: float, output_tokens: float) -> float:
        """Return US dollars."""
        return input_tokens * self.per_input_token + output_tokens * self.per_output_token


def price_of(model: Model) -> Price | None:
    """Return the price of a model of the manifest; None where the manifest does not know it."""
    fresh, written = model.cost_per_1k_input_tokens, model.cost_per_1k_output_tokens
    if fresh is None or written is None:
        return None
    stored = (model.cost_per_1k_cache_write_5m_tokens, model.cost_per_1k_cache_write_1h_tokens)
    return Price(max(fresh, *(cost or 0.0 for cost in stored)) / 1000, written / 1000)


class Purse:
    """What may be spent, what was, and what is set aside for calls under way. US dollars.

    spent: before this process; limit: None for none. on_change: called with spent and set aside together whenever
    more is set aside, before the call is sent, so that a killed process has not spent what nobody wrote down.
    """

    def __init__(self, limit: float | None, spent: float = 0.0, on_change: Callable[[float], None] | None = None):
        self.limit = limit
        self.spent = spent
        self.reserved = 0.0
        self.refused = False
        """Whether a call was not made for want of money."""
        self._on_change = on_change or (lambda _: None)

    @property
    def exposure(self) -> float:
        """The most that can have been spent."""
        return self.spent + self.reserved

    def affords(self, usd: float) -> bool:
        """Return whether so much more can be set aside."""
        return self.limit is None or self.exposure + usd <= self.limit

    def reserve(self, usd: float) -> bool:
        """Set a worst price aside; False where the limit does not allow it."""
        if not self.affords(usd):
            self.refused = True
            return False
        self.reserved += usd
        self._on_change(self.exposure)
        return True

    def settle(self, reserved: float, usd: float | None) -> None:
        """Put what a call cost in the place of what was set aside for it. usd: None where nobody knows."""
        self.reserved -= reserved
        self.spent += reserved if usd is None else usd


OpenPurse = Callable[[float | None, float, Callable[[float], None]], Purse]
"""Makes a purse of its limit, what was spent before, and what is called whenever more is set aside."""


class Meter(Protocol):
    """What a judge's calls are counted by. calls: to the provider, as far as they are seen from here."""

    calls: int

    @property
    def nobody_there(self) -> bool:
        """Return whether several calls found nobody at the address, and none found anybody."""
        ...

    def worst_usd(self, request_bytes: int) -> float:
        """Return the most that a call of so many bytes can cost."""
        ...


@dataclass(slots=True)
class CallCounter:
    """Counts comparisons that somebody else asks a provider. price: None where it is unknown."""

    price: Price | None
    most_output_tokens: int
    calls: int = 0

    @property
    def nobody_there(self) -> bool:
        """Return False: whether a provider is there is seen from its service alone."""
        return False

    def worst_usd(self, request_bytes: int) -> float:
        """Return the most that a call of so many bytes can cost: no token is shorter than a byte."""
        return 0.0 if self.price is None else self.price.of(request_bytes, self.most_output_tokens)


class NotAfforded(httpx.ConnectError):
    """A call that was not made, since the limit does not allow its worst price."""


class MeteredTransport(httpx.AsyncBaseTransport):
    """The way to a provider: counts calls, and lets none through that the purse cannot afford.

    price: None where it is unknown or nothing; calls are then only counted. most_output_tokens: what one call may
    write. inner: an ordinary client, so that the proxies of the environment count.
    """

    def __init__(self, purse: Purse, price: Price | None, most_output_tokens: int, inner: httpx.AsyncClient) -> None:
        self.calls = 0
        self._nobody = 0
        self._somebody = False
        self._purse = purse
        self._price = price
        self._most_output_tokens = most_output_tokens
        self._inner = inner

    @property
    def nobody_there(self) -> bool:
        """Whether several calls found nobody at the address, and none found anybody."""
        return not self._somebody and self._nobody >= CALLS_TO_NOBODY

    def worst_usd(self, request_bytes: int) -> float:
        """Return the most that a call of so many bytes can cost: no token is shorter than a byte."""
        return 0.0 if self._price is None else self._price.of(request_bytes, self._most_output_tokens)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return its whole response. Raises NotAfforded, and what the client raises."""
        worst = self.worst_usd(len(request.content))
        self.calls += 1  # first: the books are written when the money is set aside
        if not self._purse.reserve(worst):
            self.calls -= 1
            raise NotAfforded("the spend limit does not allow another call", request=request)
        usd: float | None = None
        try:
            response = await self._inner.send(request)
            self._somebody = True
            usd = self._cost(response)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            self._nobody += 1
            usd = 0.0  # nothing was sent
            raise
        finally:
            self._purse.settle(worst, usd)
        headers = [(name, value) for name, value in response.headers.multi_items() if name not in _OF_THE_TRANSFER]
        return httpx.Response(response.status_code, headers=headers, content=response.content, request=request)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()

    def _cost(self, response: httpx.Response) -> float | None:
        if self._price is None or response.status_code != httpx.codes.OK:
            return 0.0  # providers bill answers
        tokens = billed_tokens(response.content)
        return None if tokens is None else self._price.of(*tokens)


def billed_tokens(body: bytes) -> tuple[int, int] | None:
    """Return (input, output) tokens that a reply of one of the four APIs reports; None where it reports none.

    >>> billed_tokens(b'{"usage": {"prompt_tokens": 300, "completion_tokens": 40}}')
    (300, 40)
    """
    try:
        reply: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(reply, dict):
        return None
    usage = reply.get("usage", reply.get("usageMetadata"))
    if not isinstance(usage, dict):
        return None
    found_in = _sum(usage, _INPUT)
    found_out = _sum(usage, _OUTPUT)
    return None if found_in is None or found_out is None else (found_in, found_out)


# OpenAI and OpenRouter; Anthropic, whose cached tokens are no part of its input tokens; Google, whose thoughts are no
# part of its candidates.
_INPUT = ("prompt_tokens", "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "promptTokenCount")
_OUTPUT = ("completion_tokens", "output_tokens", "candidatesTokenCount", "thoughtsTokenCount")


def _sum(usage: dict[str, Any], keys: tuple[str, ...]) -> int | None:
    counts = [usage[key] for key in keys if type(usage.get(key)) is int and usage[key] >= 0]
    return sum(counts) if counts else None
