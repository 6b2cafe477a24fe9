"""The Lua that runs inside Redis, as one script.

Here: putting it together from its files in redis_scripts/. Not here: what it does (those files), sending it
(redis_calls.py).
"""

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
