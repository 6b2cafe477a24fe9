"""This module reads hand-written YAML files: trees of limited size, each key with its line.

It does not know what the keys mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import ValidationError

from cj_pipeline.contracts.model import FileModel
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.input_file import read_input

Key = str | int
Model = TypeVar("Model", bound=FileModel)

# The longest file of ours, the scenario of 5,000 essays, has .6 MB; the deepest, a mode, has 6 levels.
MOST_BYTES = 16 * 2**20
MOST_LEVELS = 40

# No file name, database or XML report can hold these, so nothing that has them can run.
_UNUSABLE = re.compile("[\x00\ud800-\udfff]")

if TYPE_CHECKING:
    _SafeLoader = yaml.SafeLoader
else:
    # libyaml's loader is 10 times as fast, where PyYAML was built with it.
    _SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class YamlFile:
    """One file: its path, its content (a mapping), and the tree that knows the lines."""

    path: Path
    content: dict[str, Any]
    _root: yaml.MappingNode

    def holds(self, keys: Sequence[Key]) -> bool:
        """Return whether the file itself has something at this place."""
        return self._find(keys) is not None

    def line(self, keys: Sequence[Key]) -> int | None:
        """Return the 1-based line of the key, or of the nearest place above it that the file has."""
        for length in range(len(keys), 0, -1):
            found = self._find(keys[:length])
            if found is not None:
                return found.start_mark.line + 1
        return None

    def _find(self, keys: Sequence[Key]) -> yaml.Node | None:
        """Return the key's own node (a sequence's element has none, so its value's); the root for no keys."""
        at: yaml.Node = self._root
        found: yaml.Node = self._root
        for key in keys:
            if isinstance(at, yaml.MappingNode):
                step = next(((name, value) for name, value in at.value if name.value == str(key)), None)
                if step is None:
                    return None
                found, at = step
            elif isinstance(at, yaml.SequenceNode) and isinstance(key, int) and key < len(at.value):
                found = at = at.value[key]
            else:
                return None
        return found


def read_yaml_model(path: Path, model: type[Model], *, when_missing: str, when_unfit: str) -> Model:
    """Read one file as a model.

    when_missing, when_unfit: what the reader of the error should do. Raises BadInput as read_yaml does, and naming
    the line and the dotted key of the first thing that does not fit the schema.
    """
    file = read_yaml(path, when_missing=when_missing)
    try:
        read = model.model_validate(file.content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        keys = [part for part in first["loc"] if isinstance(part, str | int)]
        raise BadInput(
            f"{first['msg'].removeprefix('Value error, ')}.",
            path=path,
            line=file.line(keys),
            field=".".join(str(key) for key in keys) or "(top level)",
            remedy=when_unfit,
        ) from None
    if place := _true_for_a_number(file.content, read, ()):
        raise BadInput(
            "is true or false; a number is wanted.", path=path, line=file.line(place), field=".".join(map(str, place))
        )
    return read


def _true_for_a_number(given: object, read: object, keys: tuple[Key, ...]) -> tuple[Key, ...]:
    """Return the place of the first `true` or `yes` that was read as the number 1; none of it for no such place."""
    if isinstance(given, bool):
        return keys if isinstance(read, int | float) and not isinstance(read, bool) else ()
    pairs: Iterable[tuple[Key, object, object]] = ()
    if isinstance(given, dict):
        field = read.get if isinstance(read, dict) else partial(getattr, read)
        pairs = ((key, value, field(str(key), None)) for key, value in given.items())
    elif isinstance(given, list) and isinstance(read, tuple | list):
        pairs = ((place, *both) for place, both in enumerate(zip(given, read, strict=False)))
    found = (_true_for_a_number(value, kept, (*keys, key)) for key, value, kept in pairs)
    return next((place for place in found if place), ())


def read_yaml(path: Path, *, when_missing: str = "Check the path.") -> YamlFile:
    """Read one file whose top level is a mapping.

    Raises BadInput naming file and line: missing, not UTF-8, too long, too deep, an alias, not YAML, a value that its
    tag does not allow, not a mapping, a key given twice.
    """
    text = _text(path, when_missing)
    try:
        _refuse_graphs(text, path)
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            content = None if root is None else loader.construct_document(root)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise BadInput(
            f"not YAML: {getattr(error, 'problem', None) or error}.",
            path=path,
            line=None if mark is None else mark.line + 1,
            remedy="Mend the syntax there.",
        ) from None
    if not isinstance(root, yaml.MappingNode) or not isinstance(content, dict):
        raise BadInput("not a mapping of keys to values.", path=path, remedy="Start each section with `name:`.")
    _refuse_duplicates(root, path, ())
    return YamlFile(path=path, content=content, _root=root)


def _text(path: Path, when_missing: str) -> str:
    try:
        content = read_input(path, MOST_BYTES)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise BadInput("no such file.", path=path, remedy=when_missing) from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadInput("not UTF-8 text.", path=path, line=line, remedy="Save the file as UTF-8.") from None


class _Loader(_SafeLoader):
    """The safe loader, with every error of a constructor at its line: PyYAML has a KeyError for `!!bool maybe`."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except yaml.YAMLError:
            raise
        except Exception:
            kind = node.tag.rpartition(":")[2]
            raise yaml.constructor.ConstructorError(
                None, None, f"{str(node.value)[:40]!r} is not of the type {kind}", node.start_mark
            ) from None


def _refuse_graphs(text: str, path: Path) -> None:
    """Refuse aliases, depth and unusable characters before anything walks the tree: 300 bytes of aliases fill 9**10."""
    depth = 0
    for event in yaml.parse(text, Loader=_SafeLoader):
        line = 1 if event.start_mark is None else event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise BadInput(
                f"'*{event.anchor}' is an alias.", path=path, line=line, remedy="Write the value out where it belongs."
            )
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MOST_LEVELS:
                raise BadInput(f"nested more than {MOST_LEVELS} levels deep.", path=path, line=line)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.ScalarEvent) and (found := _UNUSABLE.search(event.value)):
            raise BadInput(
                f"the character U+{ord(found.group()):04X} cannot be used.", path=path, line=line, remedy="Remove it."
            )


def _refuse_duplicates(node: yaml.Node, path: Path, above: tuple[str, ...]) -> None:
    # PyYAML keeps the last of two equal keys and says nothing.
    if isinstance(node, yaml.SequenceNode):
        for element in node.value:
            _refuse_duplicates(element, path, above)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        name = str(key.value)
        if name in seen:
            raise BadInput(
                "given twice.",
                path=path,
                line=key.start_mark.line + 1,
                field=".".join((*above, name)),
                remedy="Keep one of the two.",
            )
        seen.add(name)
        _refuse_duplicates(value, path, (*above, name))
