"""This module draws random numbers and UUIDs that every process draws alike: from SHA-256 of a key.

Each draw names its own purpose in the key, so a new draw never shifts another one. `hash()` is not used: Python salts
it per process, which made the production mock answer differently in each.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    import numpy as np

KeyPart = str | int


def _digest(parts: tuple[KeyPart, ...]) -> bytes:
    # Length-prefixed, so that ("a", "bc") and ("ab", "c") are different keys.
    texts = [str(part) for part in parts]
    return sha256("".join([f"{len(text)}:{text};" for text in texts]).encode()).digest()


def uniform(*key: KeyPart) -> float:
    """Return a number in [0, 1) that depends on the key alone; 53 bits, as many as a double holds."""
    return (int.from_bytes(_digest(key)[:8]) >> 11) / (1 << 53)


def keyed_uuid(*key: KeyPart) -> UUID:
    """Return a version-8 UUID (RFC 9562: vendor-defined content) that depends on the key alone."""
    raw = bytearray(_digest(key)[:16])
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    return UUID(bytes=bytes(raw))


def keyed_generator(*key: KeyPart) -> np.random.Generator:
    """Return a numpy generator seeded by the key alone (PCG64 by name, since numpy's default may change)."""
    import numpy as np  # here: every module that reads a callback imports this one, and few of them draw

    return np.random.Generator(np.random.PCG64(int.from_bytes(_digest(key)[:16])))
