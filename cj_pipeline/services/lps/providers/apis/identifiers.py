"""This module tells a name from prose in what an API says."""

from __future__ import annotations

import re

_IDENTIFIER = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def identifier(value: object) -> str | None:
    """Return a short name or number from a reply, None for anything that could be prose: errors quote the prompt."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if _IDENTIFIER.fullmatch(text) else None
