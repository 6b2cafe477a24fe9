"""This module makes keyed pseudonyms of essays, batches and requests, the same ones wherever the same key is used.

A pseudonym is HMAC-SHA256(key, kind + NUL + name), of which 16 hex digits are kept. Among a million names two share
them with a probability of 3 in 100 million (n^2 / 2^65); two essays that do are an error and never one essay.
Anchors stay recognisable: ids that begin with `ANCHOR_` still do, ids that merely contain it still contain it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from hashlib import blake2s
from hmac import digest
from uuid import UUID

from cj_pipeline.contracts.els_request import ANCHOR_PREFIX
from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.foundation.uuid_text import is_uuid

# Names that come again and again are cached. Essays are bounded by the trace; other words are not.
_MOST_CACHED = 65_536


class SamePseudonym(CjPipelineError):
    """Two essays came out under one name."""


class Pseudonyms:
    """Pseudonyms under one key."""

    def __init__(self, key: bytes | Callable[[], bytes]) -> None:
        """key: as `key_from` or `key_when_used` gives it."""
        self._given = key
        self.essays: dict[str, str] = _Essays(self)
        """By essay id; what is missing is made."""
        self.batches: dict[str, str] = Cache(self.batch)

    @cached_property
    def _key(self) -> bytes:
        return self._given if isinstance(self._given, bytes) else self._given()

    @cached_property
    def _prompts(self) -> blake2s:
        return blake2s(key=digest(self._key, b"prompt", "sha256"))

    @cached_property
    def _texts(self) -> blake2s:
        return blake2s(key=digest(self._key, b"text", "sha256"), digest_size=16)

    @property
    def key_id(self) -> str:
        """Return 8 hex digits that name the key: traces with the same one call the same essay by the same name."""
        return digest(self._key, b"key id", "sha256").hex()[:8]

    def of(self, kind: str, name: str) -> str:
        """Return 16 hex digits for a name among names of one kind."""
        return digest(self._key, f"{kind}\0{name}".encode(), "sha256").hex()[:16]

    def essay(self, essay_id: str) -> str:
        """Return `essay-` and 16 hex digits; an anchor's has its marker in it. Raises SamePseudonym."""
        return self.essays[essay_id]

    def batch(self, bos_batch_id: str) -> str:
        """Return a UUID as it is, since it names nobody; `batch-` and 16 hex digits for anything else."""
        return bos_batch_id if is_uuid(bos_batch_id) else f"batch-{self.of('batch', bos_batch_id)}"

    def request(self, request_id: str) -> str:
        """Return a UUID as it is; for anything else one made from it (RFC 9562 version 8)."""
        if is_uuid(request_id):
            return request_id
        raw = bytearray(digest(self._key, b"request\0" + request_id.encode(), "sha256")[:16])
        raw[6] = raw[6] & 0x0F | 0x80
        raw[8] = raw[8] & 0x3F | 0x80
        return str(UUID(bytes=bytes(raw)))

    def prompt(self, prompt_sha256: str) -> str:
        """Return another 64 hex digits for a prompt's digest, equal for equal prompts.

        The digest itself would let anybody who has two essays ask whether they were compared. Keyed BLAKE2s (RFC 7693):
        0.3 us where HMAC takes 1.5, and no prompt comes often enough to be remembered.
        """
        state = self._prompts.copy()
        state.update(prompt_sha256.encode())
        return state.hexdigest()

    def message(self, raw: bytes) -> str:
        """Return 64 hex digits for a message that is not kept; a plain digest would confirm a guess at a short one."""
        return digest(self._key, b"message\0" + raw, "sha256").hex()

    def text(self, text: str) -> str:
        """Return 32 hex digits for a text, equal for equal texts."""
        state = self._texts.copy()
        state.update(text.encode())
        return state.hexdigest()


class _Essays(dict[str, str]):
    """Essay ids to pseudonyms, and proof that no two share one."""

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        super().__init__()
        self._of = pseudonyms.of
        self._taken: dict[str, str] = {}

    def __missing__(self, essay_id: str) -> str:
        name = _essay_name(essay_id, self._of("essay", essay_id))
        if self._taken.setdefault(name, essay_id) != essay_id:
            raise SamePseudonym(
                f"two essays have the pseudonym {name}. Redact with another key (--key); this happens to one trace of "
                "a million essays in 30 million."
            )
        self[essay_id] = name
        return name


def _essay_name(essay_id: str, digits: str) -> str:
    if essay_id.startswith(ANCHOR_PREFIX):
        return f"{ANCHOR_PREFIX}{digits}"
    return f"essay-{ANCHOR_PREFIX}{digits}" if ANCHOR_PREFIX in essay_id else f"essay-{digits}"


class Cache(dict[str, str]):
    """What a function made of texts that come again; forgotten when there are too many."""

    def __init__(self, make: Callable[[str], str]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, text: str) -> str:
        if len(self) >= _MOST_CACHED:
            self.clear()
        made = self[text] = self._make(text)
        return made
