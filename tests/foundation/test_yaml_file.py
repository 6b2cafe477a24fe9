"""A file of ours is a tree of limited size, and every error of the parser names its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.yaml_file import MOST_BYTES, read_yaml

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + above] * 9)}]\n" for above, name in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOMB, ":2: '*a' is an alias"),
        ("a: 1\nb: &b [*b]\n", ":2: '*b' is an alias"),
        ("a: 1\nb: &b {c: *b}\n", ":2: '*b' is an alias"),
        ("a: " + "[" * 3000 + "]" * 3000, ":1: nested more than 40 levels deep"),
        ("a: 1\nb: " + "{a: " * 2000 + "}" * 2000, ":2: nested more than 40 levels deep"),
        ("a: 1\nb: !!bool maybe\n", ":2: not YAML: 'maybe' is not of the type bool"),
        ("b: !!timestamp nope\n", ":1: not YAML: 'nope' is not of the type timestamp"),
        ('b: !!int "abc"\n', ":1: not YAML: 'abc' is not of the type int"),
        ("b: !!binary a\n", ":1: not YAML: "),
        ("b: 2020-13-45\n", ":1: not YAML: '2020-13-45' is not of the type timestamp"),
        ("a: 1\nb: !foo x\n", ":2: not YAML: could not determine a constructor for the tag '!foo'"),
        ("b: !!python/object/apply:os.getcwd []\n", ":1: not YAML: could not determine a constructor"),
        ('a: "x\\0y"\n', ":1: the character U+0000 cannot be used"),
        ('a: "\\uD800"\n', ":1: "),
        ("a: [1\n", "not YAML"),
        ("a: 1\n---\nb: 2\n", "not YAML"),
        ("? [a, b]\n: 1\n", ":1: not YAML"),
        ("- a\n", "not a mapping"),
        ("", "not a mapping"),
        ("a: 1\na: 2\n", ":2: a: given twice"),
    ],
)
def test_what_is_no_tree_is_refused_by_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mode.yaml"
    path.write_text(text)
    with pytest.raises(BadInput) as refused:
        read_yaml(path)
    assert f"{path}{words}" in str(refused.value) or words in str(refused.value)
    assert str(refused.value).startswith(str(path))


def test_bytes_that_are_no_text_are_refused_by_line(tmp_path: Path) -> None:
    path = tmp_path / "mode.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(BadInput, match=r"mode\.yaml:2: not UTF-8"):
        read_yaml(path)


def test_a_file_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "mode.yaml"
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(BadInput, match="longer than 16 MiB"):
        read_yaml(path)


def test_a_mark_at_the_beginning_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "mode.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: x\n")
    assert read_yaml(path).content == {"name": "x"}
