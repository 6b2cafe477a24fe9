"""This module stores the texts of a run with the content service, and remembers what is stored.

`content_upload_cache.json` in the output folder holds the storage id of each text by its SHA-256, for one service.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import httpx

from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.runs.remote import ServiceUnreachable
from cj_pipeline.warehouse.files import write_output

CACHE_FILE = "content_upload_cache.json"
AT_A_TIME = 10
TIMEOUT_S = 300.0


async def stored_texts(
    url: str,
    texts: Mapping[str, str],
    folder: Path,
    *,
    force: bool = False,
    transport: httpx.AsyncBaseTransport | None = None,
) -> dict[str, str]:
    """Return storage ids by essay id, of texts that are stored already or are stored now.

    url: where the service takes texts; folder: of the cache; force: store all of them again. Raises ServiceUnreachable.
    """
    known = {} if force else _read(folder / CACHE_FILE, url)
    gate = asyncio.Semaphore(AT_A_TIME)
    async with httpx.AsyncClient(trust_env=False, timeout=TIMEOUT_S, transport=transport) as client:

        async def stored(text: str) -> None:
            digest = sha256(text.encode()).hexdigest()
            if digest not in known:
                async with gate:
                    known[digest] = await _store(client, url, text)

        try:
            await asyncio.gather(*(stored(text) for text in set(texts.values())))
        finally:
            _write(folder / CACHE_FILE, url, known)  # what is stored is stored, whatever became of the others
    return {essay: known[sha256(text.encode()).hexdigest()] for essay, text in texts.items()}


async def _store(client: httpx.AsyncClient, url: str, text: str) -> str:
    try:
        answer = await client.post(url, content=text.encode(), headers={"content-type": "application/octet-stream"})
        if answer.status_code != httpx.codes.CREATED:
            raise ServiceUnreachable(f"{url}: a text was not stored ({answer.status_code}).")
        return str(answer.json()["storage_id"])
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
        raise ServiceUnreachable(f"{url}: no content service answers there ({type(error).__name__}).") from None


def _read(path: Path, url: str) -> dict[str, str]:
    """Return what is stored with a service; nothing where the cache is another one's, or cannot be used."""
    try:
        document = json.loads(path.read_bytes())
        if document["schema_version"] != 1 or document["content_service_url"] != url:
            return {}
        return {str(digest): str(storage) for digest, storage in document["entries"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write(path: Path, url: str, entries: Mapping[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "schema_version": 1,
        "content_service_url": url,
        "updated_at": utc_now().isoformat(),
        "entries": dict(sorted(entries.items())),
    }
    write_output(path, json.dumps(document, indent=2) + "\n")
