"""This module makes the text that a provider is shown of a request, and reads how long its parts are to be cached.

A callback carries the hash whether it brings a winner or an error, and a trace is matched with its scenario by it, so
it must follow from the request and from who answers alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Literal

from cj_pipeline.contracts.comparison import ComparisonRequest, PromptBlock
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.foundation.errors import CjPipelineError

Ttl = Literal["5m", "1h"]
Stage = Literal["incoming_blocks", "user_blocks"]

JSON_SUFFIX = "\n\nPlease respond with a valid JSON object."
BLOCK_SEPARATOR = "\n\n"

_ONE_HOUR_S = 3600
_SPELLINGS: dict[str, Ttl] = {
    **dict.fromkeys(("5m", "300", "300s"), "5m"),
    **dict.fromkeys(("1h", "60m", "3600", "3600s"), "1h"),
}


class InvalidPromptBlocks(CjPipelineError):
    """Blocks that cannot be cached as asked. stage: where it was found, for metrics; field: of the request.

    The message never repeats what the client sent.
    """

    def __init__(self, stage: Stage, field: str, problem: str) -> None:
        self.stage = stage
        self.field = field
        super().__init__(f"{field}: {problem}")


def shown_prompt(provider: Provider, request: ComparisonRequest) -> str:
    """The prompt as this provider sees it. provider: who answers, which is the mock where it stands in for others."""
    match provider:
        case Provider.ANTHROPIC if request.prompt_blocks:
            return BLOCK_SEPARATOR.join(block.content for block in request.prompt_blocks)
        case Provider.OPENAI | Provider.OPENROUTER:
            return request.user_prompt + JSON_SUFFIX
        case _:
            return request.user_prompt


def prompt_sha256(provider: Provider, request: ComparisonRequest) -> str:
    """Lower-case hex of the shown prompt's UTF-8."""
    return sha256(shown_prompt(provider, request).encode()).hexdigest()


def normalised_ttl(ttl: object) -> Ttl | None:
    """A block's lifetime as the API spells it; None for a value that is none.

    Absent means 5m; a number is seconds, of which only an hour or more buys 1h.
    """
    if ttl is None:
        return "5m"
    if isinstance(ttl, int | float):
        return "1h" if ttl >= _ONE_HOUR_S else "5m"
    return _SPELLINGS.get(ttl.strip().lower()) if isinstance(ttl, str) else None


def block_ttls(blocks: Iterable[PromptBlock]) -> list[Ttl | None]:
    """The lifetime of each block, None for one that is not cacheable. Raises InvalidPromptBlocks."""
    ttls: list[Ttl | None] = []
    for number, block in enumerate(blocks):
        ttl = normalised_ttl(block.ttl) if block.cacheable else None
        if block.cacheable and ttl is None:
            raise InvalidPromptBlocks(
                "incoming_blocks", f"prompt_blocks.{number}.ttl", "not a cache lifetime; use 5m or 1h."
            )
        ttls.append(ttl)
    return ttls


def check_ttl_order(ttls: Iterable[Ttl | None], stage: Stage) -> None:
    """Refuse a longer lifetime behind a shorter one, as the API does: a cached prefix cannot outlive its beginning.

    ttls: in the order in which the API reads them, None where nothing is cached. Raises InvalidPromptBlocks.
    """
    short_seen = False
    for ttl in ttls:
        if ttl == "1h" and short_seen:
            raise InvalidPromptBlocks(
                stage, "prompt_blocks", "blocks cached for 1h must come before blocks cached for 5m."
            )
        short_seen = short_seen or ttl == "5m"
