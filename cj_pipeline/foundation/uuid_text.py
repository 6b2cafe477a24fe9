"""This module tells whether a text is a UUID."""

from __future__ import annotations

import re

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def is_uuid(text: str) -> bool:
    """Return whether a text is a UUID in its usual form, of either case."""
    return _UUID.fullmatch(text) is not None
