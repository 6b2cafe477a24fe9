"""This module puts the Lua files together into the one script that runs inside Redis."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

# In this order: each uses what those before it define.
_PARTS = ("entries.lua", "calls.lua", "tending.lua", "dispatch.lua")


@cache
def queue_script() -> str:
    """The whole script."""
    folder = files("cj_pipeline.services.lps.queue.redis") / "lua"
    return "\n".join((folder / part).read_text(encoding="utf-8") for part in _PARTS)
