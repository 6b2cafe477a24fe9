from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cj_pipeline.contracts.enums import Provider
from cj_pipeline.services.lps.providers.prompts import (
    InvalidPromptBlocks,
    Ttl,
    check_ttl_order,
    normalised_ttl,
    prompt_sha256,
    shown_prompt,
)
from tests.services.lps.providers.stand import queued

BLOCKS = [
    {"target": "system", "content": "rules"},
    {"target": "user_content", "content": "rubric", "cacheable": True, "ttl": "1h"},
    {"content": "essays"},
]
SUFFIX = "\n\nPlease respond with a valid JSON object."


@pytest.mark.parametrize(
    ("provider", "with_blocks", "without"),
    [
        (Provider.ANTHROPIC, "rules\n\nrubric\n\nessays", "prompt"),
        (Provider.OPENAI, "prompt" + SUFFIX, "prompt" + SUFFIX),
        (Provider.OPENROUTER, "prompt" + SUFFIX, "prompt" + SUFFIX),
        (Provider.GOOGLE, "prompt", "prompt"),
        (Provider.MOCK, "prompt", "prompt"),
    ],
)
def test_each_provider_is_shown_its_own_text(provider: Provider, with_blocks: str, without: str) -> None:
    assert shown_prompt(provider, queued(provider, prompt="prompt", blocks=BLOCKS).request) == with_blocks
    assert shown_prompt(provider, queued(provider, prompt="prompt").request) == without
    assert shown_prompt(provider, queued(provider, prompt="prompt", blocks=[]).request) == without


def test_the_hash_is_of_the_shown_text_in_lower_case_hex() -> None:
    request = queued(Provider.OPENAI, prompt="Vilken uppsats är bäst?").request
    assert prompt_sha256(Provider.OPENAI, request) == sha256(f"Vilken uppsats är bäst?{SUFFIX}".encode()).hexdigest()
    # echo -n abc | sha256sum
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert prompt_sha256(Provider.MOCK, queued(Provider.MOCK, prompt="abc").request) == known


@pytest.mark.parametrize(
    ("told", "ttl"),
    [
        (None, "5m"),
        *((text, "5m") for text in ("5m", "300", "300s", " 5M ")),
        *((text, "1h") for text in ("1h", "60m", "3600", "3600s", "1H")),
        *((number, "5m") for number in (300, 0, -1, 3599, 3599.9)),
        *((number, "1h") for number in (3600, 3600.0, 86400)),
        *((text, None) for text in ("", "1d", "2h", "5", "m", "7200")),
    ],
)
def test_a_lifetime_has_many_spellings(told: Any, ttl: str | None) -> None:
    assert normalised_ttl(told) == ttl


@given(st.lists(st.sampled_from(["5m", "1h", None]), max_size=8))
def test_no_longer_lifetime_may_stand_behind_a_shorter(ttls: list[Ttl | None]) -> None:
    cached = [ttl for ttl in ttls if ttl is not None]
    longest_first = [ttl for ttl in cached if ttl == "1h"] + [ttl for ttl in cached if ttl == "5m"]
    if cached == longest_first:
        check_ttl_order(ttls, "incoming_blocks")
    else:
        with pytest.raises(InvalidPromptBlocks, match="1h must come before") as caught:
            check_ttl_order(ttls, "incoming_blocks")
        assert caught.value.stage == "incoming_blocks"
