"""This module marks the parts of an Anthropic message that are cached, and for how long.

The API reads tools, then the system prompt, then messages; a mark caches everything up to itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cj_pipeline.contracts.comparison import ComparisonRequest
from cj_pipeline.services.lps.providers.prompts import Ttl, block_ttls, check_ttl_order
from cj_pipeline.services.lps.providers.settings import ProviderSettings

# One more is refused with 400.
MAX_MARKS = 4

_ONE_HOUR_S = 3600

Part = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CachedParts:
    """The marked parts of one message, each in the API's own shape."""

    tool: Part
    system: list[Part]
    user: list[Part]


def cached_parts(
    tool: Part, system_prompt: str | None, request: ComparisonRequest, settings: ProviderSettings
) -> CachedParts:
    """Lay out a request. Blocks replace the user prompt; empty ones, which the API refuses, are left out.

    Raises prompts.InvalidPromptBlocks unless caching is off, when lifetimes mean nothing.
    """
    blocks = request.prompt_blocks or ()
    ttls: list[Ttl | None] = [None] * len(blocks)
    service_ttl: Ttl | None = None
    if settings.enable_prompt_caching:
        ttls = block_ttls(blocks)
        check_ttl_order(ttls, "incoming_blocks")
        service_ttl = _service_ttl(ttls, settings)
    system = [(system_prompt, service_ttl)] if system_prompt else []
    user: list[tuple[str, Ttl | None]] = []
    for block, ttl in zip(blocks, ttls, strict=True):
        if block.content:
            (system if block.target == "system" else user).append((block.content, ttl))
    # All blocks may be the system's; a message without a user's turn does not exist.
    user = user or [(request.user_prompt, None)]
    # Putting the system's blocks first can break an order that was right as it came. Production looks at the system's
    # blocks by themselves too, which can find nothing that these two looks leave.
    check_ttl_order([service_ttl, *(ttl for _, ttl in (*system, *user))], "user_blocks")
    return _marked(tool, service_ttl, system, user)


def _service_ttl(ttls: list[Ttl | None], settings: ProviderSettings) -> Ttl:
    """Return how long tool and system prompt are cached: never shorter than what follows them."""
    if ttls:
        return "1h" if "1h" in ttls else "5m"
    extended = settings.use_extended_ttl_for_service_constants and settings.prompt_cache_ttl_seconds >= _ONE_HOUR_S
    return "1h" if extended else "5m"


def _marked(
    tool: Part, tool_ttl: Ttl | None, system: list[tuple[str, Ttl | None]], user: list[tuple[str, Ttl | None]]
) -> CachedParts:
    wanted = [tool_ttl, *(ttl for _, ttl in (*system, *user))]
    marks = [place for place, ttl in enumerate(wanted) if ttl is not None]
    if len(marks) > MAX_MARKS:
        # The tool's mark is the first to go, since the next one covers the tool too; then the last ones, which the
        # fewest requests share.
        marks = marks[1 : MAX_MARKS + 1]
    plain = [tool, *({"type": "text", "text": text} for text, _ in (*system, *user))]
    parts = [
        part | {"cache_control": {"type": "ephemeral", "ttl": wanted[place]}} if place in marks else part
        for place, part in enumerate(plain)
    ]
    return CachedParts(tool=parts[0], system=parts[1 : len(system) + 1], user=parts[len(system) + 1 :])
