"""Data is never markup."""

from __future__ import annotations

import pytest

from cj_pipeline.foundation.text import markdown_text, plain, plain_lines


@pytest.mark.parametrize("text", ["root:x:0:0", "[red]Anna[/red]", "[/]", "klass:b:7", "Åsa Örjan 李"])
def test_ordinary_characters_stay(text: str) -> None:
    assert plain(text) == text


def test_control_characters_become_visible_escapes() -> None:
    assert plain("\x1b[31m\t\r\n\x9b\ud800\u202e") == r"\x1b[31m\t\r\n\x9b\ud800\u202e"
    assert plain("An\u200bna An\xadna \ufeffAnna") == r"An\u200bna An\xadna \ufeffAnna"
    assert plain_lines("a\x1b\nb") == "a\\x1b\nb"


def test_markdown_shows_the_characters_as_they_are() -> None:
    assert markdown_text("a|b [x](y) <i> *z* _w_ vt_005") == r"a\|b \[x\](y) \<i\> \*z\* \_w\_ vt_005"
