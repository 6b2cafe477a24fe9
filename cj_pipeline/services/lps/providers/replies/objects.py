"""This module finds JSON objects in what a model wrote, and keeps the keys that an object has twice.

Models talk before and after their JSON, think aloud in tags, fence it, end lists with a comma and break lines within
strings. It never guesses at more than that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from cj_pipeline.contracts.forgiven import Forgiven

# More text than any model writes; and more braces than any verdict has before it, so that `{{{{` costs no more.
_MOST_CHARS = 2**20
_MOST_STARTS = 200

_TAG = re.compile(r"<(/?)(?:think|thinking|thought|reasoning)>|\[(/?)THINK\]", re.IGNORECASE)
# What a word processor, or a model that has read many of its texts, makes of a plain quote.
_PLAIN_QUOTES = str.maketrans(dict.fromkeys("\u201c\u201d\u201e\u201f", '"'))
_LAST_COMMA = re.compile(r",(\s*[}\]])")


class Pairs(dict[str, Any]):
    """A JSON object. pairs: its keys and values as written, where a dictionary has only the last of equal keys."""

    def __init__(self, pairs: Iterable[tuple[str, Any]]) -> None:
        self.pairs = tuple(pairs)
        super().__init__(self.pairs)


def pairs_of(found: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    """Return keys and values, equal keys included where they are known."""
    return found.pairs if isinstance(found, Pairs) else found.items()


def _integer(digits: str) -> int | float:
    # Python refuses to read a whole number of more than 4,300 digits; as a double it is infinite, and no answer.
    return int(digits) if len(digits) <= 18 else float(digits)


_STRICT = json.JSONDecoder(object_pairs_hook=Pairs, parse_int=_integer)
_RELAXED = json.JSONDecoder(object_pairs_hook=Pairs, parse_int=_integer, strict=False)


def decoded(body: bytes | str) -> Any:
    """Return a whole JSON document, its objects as `Pairs`. Raises ValueError for anything else."""
    text = body if isinstance(body, str) else body.decode("utf-8-sig", "replace")
    try:
        return _STRICT.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def objects_in(text: str) -> tuple[list[Any], set[Forgiven]]:
    """Return the JSON objects of a text in their order, and what had to be forgiven to find them."""
    said, forgiven = without_thoughts(text[:_MOST_CHARS])
    found: list[Any] = []
    rest, starts = said, 0
    outside = ""
    while (start := rest.find("{")) >= 0 and starts < _MOST_STARTS:
        starts += 1
        read = _object_at(rest, start)
        if read is None:
            outside += rest[: start + 1]
            rest = rest[start + 1 :]
            continue
        value, after, helped = read
        found.append(value)
        forgiven |= helped
        outside += rest[:start]
        rest = after
    outside += rest
    if "```" in outside:
        forgiven.add(Forgiven.CODE_FENCE)
        outside = re.sub(r"```\w*", "", outside)
    # The brackets of a list around it are not words.
    if outside.strip(" \t\r\n[],\ufeff"):
        forgiven.add(Forgiven.TEXT_AROUND)
    elif outside.strip("\ufeff \t\r\n"):
        forgiven.add(Forgiven.NESTED)
    return found, forgiven if found else set()


def without_thoughts(text: str) -> tuple[str, set[Forgiven]]:
    """Return a text without what a model thought aloud, in tags of which the first or the last may be missing."""
    if text.lstrip()[:1] in "{[" and not text.lstrip().startswith("[THINK"):
        return text, set()
    kept, since, thinking = "", 0, False
    for tag in _TAG.finditer(text):
        closing = bool(tag[1] or tag[2])
        if not thinking and not closing:
            kept += text[since : tag.start()]
        elif not thinking:  # the template wrote the first tag, and the API left it out
            kept = ""
        thinking = not closing
        since = tag.end()
    said = kept if thinking else kept + text[since:]
    return said, {Forgiven.THINKING} if said != text else set()


def _object_at(text: str, start: int) -> tuple[Any, str, set[Forgiven]] | None:
    """Return the object that begins here, the text after it, and what was forgiven; None when there is none."""
    for decoder, forgiven in ((_STRICT, set[Forgiven]()), (_RELAXED, {Forgiven.CONTROL_CHARACTERS})):
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        return value, text[end:], forgiven
    mended = _LAST_COMMA.sub(r"\1", text[start:])
    for again, mark in ((mended, Forgiven.TRAILING_COMMA), (mended.translate(_PLAIN_QUOTES), Forgiven.QUOTES)):
        try:
            value, end = _RELAXED.raw_decode(again)
        except (ValueError, RecursionError):
            continue
        return value, again[end:], {mark}
    return None
