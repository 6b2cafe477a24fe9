"""This module makes plain text of data for where it is shown: a terminal, a log, an XML file, markdown."""

from __future__ import annotations

import re

# Control characters (C0, DEL, C1), lone surrogates, what breaks lines or turns their direction around, and what takes
# no room: two names that differ in it alone would look the same.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\ud800-\udfff\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u2069\ufeff]"
)

# What markdown or the HTML in it would take for markup, and what would end the cell of a table.
_MARKUP = re.compile(r"[\\`*\[\]<>|&~]|(?<!\w)_|_(?!\w)|^[#+-](?=\s)")

# Half of a character, which UTF-8 has no bytes for, and NUL, which PostgreSQL does not store in a text.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """Return a text that every store takes: what it could not hold is replaced by the replacement character."""
    return _UNSTORABLE.sub("\ufffd", text)


def plain(value: object) -> str:
    """Return the text of a value with every control character as a visible escape, as in a Python string."""
    return _UNPRINTABLE.sub(_escape, str(value))


def plain_lines(value: object) -> str:
    """Return the same of a text of several lines, whose line breaks stay."""
    return "\n".join(plain(line) for line in str(value).split("\n"))


def markdown_text(value: object) -> str:
    """Return the text of a value so that markdown shows it as it is."""
    return _MARKUP.sub(r"\\\g<0>", plain(value))


def signed(value: float) -> str:
    """Return a number of three digits with its sign; one of four and more whole, never with an exponent."""
    return f"{value:+.0f}" if abs(value) >= 1000 else f"{value:+.3g}"


def _escape(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode("ascii")
