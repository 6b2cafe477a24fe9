"""This module posts as the CJ engine does: with the same correlation id until the service answers 202."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import count

import httpx

from cj_pipeline.foundation.retrying import RETRYABLE_STATUSES, Waits, backoff_s
from cj_pipeline.foundation.seeding import uniform
from tests.services.lps.lab import body
from tests.soak.promises import Accepted

TIMEOUT_S = 3.0
WAITS = Waits(first_s=0.05, most_s=1.0)
# Of accepted requests so many are asked about in the end, evenly spread; httpx asks 500 times a second.
ASKED_ABOUT = 1_000


class Clients:
    """So many clients, each posting one request after another to any of the instances. rate: posts a second of all."""

    def __init__(self, urls: Sequence[str], *, seed: int, clients: int = 16, rate: float = 60.0) -> None:
        self._urls = urls
        self._seed = seed
        self._clients = clients
        self._pause_s = clients / rate
        self._numbers = count()
        self.accepted: list[Accepted] = []
        self.refused: list[str] = []
        """What clients were told that no repetition helps with; there should be none."""
        self.posts = 0

    async def post_for(self, seconds: float) -> None:
        """Until then, and on until each request under way is accepted."""
        until = asyncio.get_running_loop().time() + seconds
        async with self._http() as http:
            await asyncio.gather(*(self._post(http, until) for _ in range(self._clients)))

    async def disagreements(self, first: Mapping[str, bytes], within_s: float = 90.0) -> list[str]:
        """Requests whose status or result over HTTP does not fit their callback, once the instances have settled."""
        asked = self.accepted[:: max(1, len(self.accepted) // ASKED_ABOUT)]
        until = asyncio.get_running_loop().time() + within_s
        at_once = asyncio.Semaphore(self._clients)

        async def check(http: httpx.AsyncClient, one: Accepted) -> str | None:
            async with at_once:
                while (found := await self._disagreement(http, one, first[one.correlation_id])) is not None:
                    if asyncio.get_running_loop().time() > until:
                        return f"{one.correlation_id}: {found}"
                    await asyncio.sleep(0.1)
                return None

        async with self._http() as http:
            found = await asyncio.gather(*(check(http, one) for one in asked if one.correlation_id in first))
        return [one for one in found if one is not None]

    def _http(self) -> httpx.AsyncClient:
        # Connections outlive neither side here; one that a killed instance left is one more error to retry.
        return httpx.AsyncClient(timeout=TIMEOUT_S, limits=httpx.Limits(max_connections=4 * self._clients))

    async def _post(self, http: httpx.AsyncClient, until: float) -> None:
        while asyncio.get_running_loop().time() < until:
            number = next(self._numbers)
            await self._post_until_accepted(http, number)
            await asyncio.sleep(self._pause_s * 2.0 * uniform("soak", self._seed, "pause", number))

    async def _post_until_accepted(self, http: httpx.AsyncClient, number: int) -> None:
        posted = body(number)
        for attempt in count():
            self.posts += 1
            try:
                response = await http.post(f"{self._url(number, attempt)}/api/v1/comparison", json=posted)
            except httpx.TransportError:
                pass
            else:
                if response.status_code == 202:
                    at_s = asyncio.get_running_loop().time()
                    queue_id = response.json()["queue_id"]
                    self.accepted.append(Accepted(posted["correlation_id"], queue_id, at_s, attempt + 1))
                    return
                if response.status_code not in RETRYABLE_STATUSES:
                    self.refused.append(f"{posted['correlation_id']}: {response.status_code} {response.text}")
                    return
            await asyncio.sleep(
                backoff_s(attempt + 1, WAITS) * (0.5 + 0.5 * uniform("soak", self._seed, "backoff", number, attempt))
            )

    def _url(self, number: int, attempt: int) -> str:
        return self._urls[int(uniform("soak", self._seed, "instance", number, attempt) * len(self._urls))]

    async def _disagreement(self, http: httpx.AsyncClient, one: Accepted, callback: bytes) -> str | None:
        url = self._url(0, int(one.at_s))
        try:
            status = await http.get(f"{url}/api/v1/status/{one.queue_id}")
            result = await http.get(f"{url}/api/v1/results/{one.queue_id}")
        except httpx.TransportError as error:
            return type(error).__name__
        if (status.status_code, result.status_code) != (200, 200):
            return f"status and results are {status.status_code} and {result.status_code}"
        told = status.json()
        if told["correlation_id"] != one.correlation_id or told["status"] not in ("completed", "failed", "expired"):
            return f"its status is {told['status']}"
        if not told["callback_published"]:
            return "its callback is not counted as published"
        return None if result.content == callback else "its result is not its callback"
