"""This module finds JSON objects in what a model wrote, and keeps the keys that an object has twice.

Models talk before and after their JSON, think aloud in tags, fence it, end lists with a comma and break lines within
strings. It never guesses at more than that.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cj_pipeline.contracts.forgiven import Forgiven

# More text than any model writes, and more braces than any verdict has before it.
_MOST_CHARS = 2**20
_MOST_STARTS = 200
# Characters that may be looked at: one brace may cost the rest of the text, and each of 200 must not.
_WORK_AT_LEAST = 2**16
_WORK_PER_CHAR = 2

_TAG = re.compile(r"<(/?)(?:think|thinking|thought|reasoning)>|\[(/?)THINK\]", re.IGNORECASE)
# What a word processor, or a model that has read many of its texts, makes of a plain quote.
_CURLY_QUOTES = re.compile("[\u201c\u201d\u201e\u201f]")
_LAST_COMMA = re.compile(r",(\s*[}\]])")
# Nothing, or half a literal, number or escape.
_NOTHING_MORE = re.compile(r"[\w.+-]*\s*\Z")


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
    """Return the JSON objects of a text in their order, and what had to be forgiven to find them.

    What stands in an object that the end of the text cuts off is not looked at: its rest may say otherwise.
    """
    said, forgiven = without_thoughts(text[:_MOST_CHARS])
    found: list[Any] = []
    outside: list[str] = []
    at = since = 0
    work = _WORK_AT_LEAST + _WORK_PER_CHAR * len(said)
    for _ in range(_MOST_STARTS):
        start = said.find("{", at)
        if start < 0 or work <= 0:
            break
        read = _object_at(said, start)
        work -= read.work
        if read.is_cut_off:
            break
        if read.end is None:
            at = start + 1
            continue
        found.append(read.value)
        forgiven |= read.forgiven
        outside.append(said[since:start])
        said, at, since = read.text, read.end, read.end
    words = "".join(outside) + said[since:]
    if "```" in words:
        forgiven.add(Forgiven.CODE_FENCE)
        words = re.sub(r"```\w*", "", words)
    # The brackets of a list around it are not words.
    if words.strip(" \t\r\n[],\ufeff"):
        forgiven.add(Forgiven.TEXT_AROUND)
    elif words.strip("\ufeff \t\r\n"):
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


@dataclass(frozen=True, slots=True)
class _Read:
    """What was found at a brace. text, end: the text as it was read, and where the object ends in it; end is None for
    no object. work: characters that were looked at.
    """

    text: str
    work: int
    value: Any = None
    end: int | None = None
    forgiven: frozenset[Forgiven] = frozenset()
    is_cut_off: bool = False


def _object_at(text: str, start: int) -> _Read:
    """Read the object that begins here. Another way of reading is tried only where it can make a difference."""
    mends = frozenset[Forgiven]()
    decoder, work = _STRICT, 0
    while True:
        try:
            value, end = decoder.raw_decode(text, start)
        except RecursionError:
            return _Read(text, work + sys.getrecursionlimit())
        except json.JSONDecodeError as error:
            work += error.pos - start
            if error.msg.startswith("Invalid control character") and decoder is _STRICT:
                decoder, mends = _RELAXED, mends | {Forgiven.CONTROL_CHARACTERS}
            elif Forgiven.TRAILING_COMMA not in mends and _is_last_comma(text, error.pos):
                text, mends = text[:start] + _LAST_COMMA.sub(r"\1", text[start:]), mends | {Forgiven.TRAILING_COMMA}
                work += len(text) - start
            elif Forgiven.QUOTES not in mends and _CURLY_QUOTES.match(text, error.pos):
                text, mends = text[:start] + _CURLY_QUOTES.sub('"', text[start:]), mends | {Forgiven.QUOTES}
                work += len(text) - start
            else:
                return _Read(text, work, is_cut_off=_is_cut_off(text, error))
        else:
            return _Read(text, work, value, end, mends)


def _is_last_comma(text: str, at: int) -> bool:
    """Return whether a list or an object ends here after a comma."""
    return text[at : at + 1] in ("]", "}") and text[:at].rstrip().endswith(",")


def _is_cut_off(text: str, error: json.JSONDecodeError) -> bool:
    return error.msg.startswith("Unterminated string") or _NOTHING_MORE.match(text, error.pos) is not None
