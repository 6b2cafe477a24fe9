from __future__ import annotations

from typing import Any

import pytest

from cj_pipeline.contracts.enums import Provider
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.runs.virtual_time import run_virtual
from tests.services.lps.providers.stand import MODELS, PROMPT, ask, stand


def block(content: str, ttl: Any = None, *, target: str = "user_content", cacheable: bool = True) -> dict[str, Any]:
    return {"content": content, "target": target, "cacheable": cacheable, "ttl": ttl}


def marks(body: dict[str, Any]) -> list[tuple[str, str]]:
    """(part, lifetime) of each cached part, in the order in which the API reads them."""
    parts = [("tool", body["tools"][0])]
    parts += [(part["text"], part) for part in (*body.get("system", ()), *body["messages"][0]["content"])]
    return [(name, part["cache_control"]["ttl"]) for name, part in parts if "cache_control" in part]


def sent(settings: dict[str, Any] | None = None, **kwargs: Any) -> dict[str, Any]:
    at = stand(Provider.ANTHROPIC, **(settings or {}))
    run_virtual(at.ask(**kwargs))
    return at.fake.received[0].body


def test_tool_and_system_prompt_are_cached_for_5_minutes() -> None:
    _, body = ask(Provider.ANTHROPIC, system_prompt_override="Compare.")
    assert marks(body) == [("tool", "5m"), ("Compare.", "5m")]
    assert body["messages"][0]["content"] == [{"type": "text", "text": PROMPT}]


@pytest.mark.parametrize(("extended", "seconds", "ttl"), [(True, 3600, "1h"), (True, 3599, "5m"), (False, 7200, "5m")])
def test_without_blocks_two_settings_decide_how_long(extended: bool, seconds: int, ttl: str) -> None:
    settings = {"use_extended_ttl_for_service_constants": extended, "prompt_cache_ttl_seconds": seconds}
    assert marks(sent(settings)) == [("tool", ttl)]


def test_with_blocks_the_settings_do_not() -> None:
    settings = {"use_extended_ttl_for_service_constants": True}
    assert marks(sent(settings, blocks=[block("rubric", "5m")])) == [("tool", "5m"), ("rubric", "5m")]


def test_blocks_replace_the_prompt_each_where_it_belongs() -> None:
    blocks = [
        block("rules", "1h", target="system"),
        block("rubric", "1h"),
        block("essays", cacheable=False, target="anything"),
    ]
    body = sent(blocks=blocks, system_prompt_override="Compare.")
    assert [part["text"] for part in body["system"]] == ["Compare.", "rules"]
    assert [part["text"] for part in body["messages"][0]["content"]] == ["rubric", "essays"]
    assert marks(body) == [("tool", "1h"), ("Compare.", "1h"), ("rules", "1h"), ("rubric", "1h")]


def test_the_service_never_caches_for_less_than_what_stands_behind_it() -> None:
    assert marks(sent(blocks=[block("rubric", "1h"), block("task", "5m")])) == [
        ("tool", "1h"),
        ("rubric", "1h"),
        ("task", "5m"),
    ]


def test_blocks_for_the_system_alone_leave_the_prompt_to_the_user() -> None:
    body = sent(blocks=[block("rules", target="system")])
    assert body["messages"][0]["content"] == [{"type": "text", "text": PROMPT}]


def test_empty_blocks_are_left_out() -> None:
    body = sent(blocks=[block("", target="system"), block(""), block("essays")])
    assert "system" not in body
    assert body["messages"][0]["content"][0]["text"] == "essays"


def test_at_most_four_parts_are_marked_and_the_tool_gives_way_first() -> None:
    blocks = [block(f"part {number}") for number in range(5)]
    body = sent(blocks=blocks, system_prompt_override="Compare.")
    assert [name for name, _ in marks(body)] == ["Compare.", "part 0", "part 1", "part 2"]
    assert len(body["messages"][0]["content"]) == 5


def test_with_caching_off_nothing_is_marked_and_lifetimes_mean_nothing() -> None:
    at = stand(Provider.ANTHROPIC, enable_prompt_caching=False)
    run_virtual(at.ask(blocks=[block("a", "5m"), block("b", "1h"), block("c", "nonsense")]))
    assert marks(at.fake.received[0].body) == []
    assert "anthropic-beta" not in at.fake.received[0].headers


def test_with_caching_on_the_beta_is_named() -> None:
    at = stand(Provider.ANTHROPIC)
    run_virtual(at.ask())
    assert "prompt-caching-2024-07-31" in at.fake.received[0].headers["anthropic-beta"].split(",")


@pytest.mark.parametrize(
    ("blocks", "stage", "field"),
    [
        ([block("a", "5m"), block("b", "1h")], "incoming_blocks", "prompt_blocks"),
        ([block("a", "5m"), block("b", "1h", target="system")], "incoming_blocks", "prompt_blocks"),
        # In order as it came, but the system's blocks are read first.
        ([block("a", "1h"), block("b", "5m", target="system")], "user_blocks", "prompt_blocks"),
        ([block("a"), block("b", "2 days")], "incoming_blocks", "prompt_blocks.1.ttl"),
    ],
)
def test_blocks_that_cannot_be_cached_so_are_a_validation_error_before_any_call(
    blocks: list[dict[str, Any]], stage: str, field: str
) -> None:
    at = stand(Provider.ANTHROPIC)
    failure = run_virtual(at.fails(blocks=blocks))
    assert failure.code is ErrorCode.VALIDATION_ERROR
    assert not failure.worth_retrying
    assert failure.details["stage"] == stage
    assert failure.details["field"] == field
    assert failure.message.startswith(f"{field}: ")
    assert at.fake.received == []
    labels = {"provider": "anthropic", "model": MODELS[Provider.ANTHROPIC], "stage": stage}
    assert at.count("prompt_ttl_violations_total", **labels) == 1


def test_blocks_that_are_not_cached_have_no_place_in_the_order() -> None:
    body = sent(blocks=[block("a", "5m", cacheable=False), block("b", "1h")])
    assert marks(body) == [("tool", "1h"), ("b", "1h")]


@pytest.mark.parametrize(
    ("read", "created", "result"), [(10, 0, "hit"), (10, 5, "hit"), (0, 5, "miss"), (0, 0, "bypass")]
)
def test_what_the_cache_did_is_counted(read: int, created: int, result: str) -> None:
    at = stand(Provider.ANTHROPIC)
    at.fake.usage = {
        "input_tokens": 1,
        "output_tokens": 1,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": created,
    }
    run_virtual(at.ask())
    labels = {"provider": "anthropic", "model": MODELS[Provider.ANTHROPIC]}
    assert at.count("prompt_cache_events_total", **labels, result=result) == 1
    assert at.count("prompt_cache_tokens_total", **labels, direction="read") == read
    assert at.count("prompt_cache_tokens_total", **labels, direction="write") == created
