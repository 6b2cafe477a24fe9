"""This module makes the calls to batch endpoints: with the provider's key and headers, and a limit of time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx

from cj_pipeline.services.lps.providers.apis.identifiers import identifier
from cj_pipeline.services.lps.providers.batches.job import BatchRefused
from cj_pipeline.services.lps.providers.endpoint import Endpoint

# A job of 10,000 comparisons is 40 MB to send; its results are a fifth of that.
_TOTAL_S = 300.0
_READ_S = 60.0
_CONNECT_S = 10.0


class BatchHttp:
    """Calls below one base URL. own: headers of the API itself; transport: instead of the network, in tests."""

    def __init__(
        self,
        endpoint: Endpoint,
        own: Mapping[str, str],
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._own = own
        self._client = httpx.AsyncClient(
            transport=transport,
            timeout=httpx.Timeout(_READ_S, connect=_CONNECT_S),
            trust_env=not endpoint.on_this_machine,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def call(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Return the reply with a status of success.

        content: what httpx takes. Raises BatchRefused, httpx.RequestError, TimeoutError.
        """
        # Not httpx's `params`: the endpoint's own query would be lost.
        url = httpx.URL(self.endpoint.url(path)).copy_merge_params(content.pop("params", {}))
        async with asyncio.timeout(_TOTAL_S):
            response = await self._client.request(method, url, headers=self.endpoint.authorised(self._own), **content)
        if not response.is_success:
            raise BatchRefused(response.status_code, response.headers, response.content)
        return response


def created_id(response: httpx.Response) -> str:
    """Return the id of what a call made. Raises BatchRefused when the reply has none that can stand in a path."""
    made = response.json()
    found = identifier(made.get("id")) if isinstance(made, dict) else None
    if found is None:
        raise BatchRefused(httpx.codes.BAD_GATEWAY, response.headers, b"")
    return found
