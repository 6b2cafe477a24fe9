"""A hand-written YAML file that remembers where each key stands.

Here: reading one file into plain values or into its model, refusing duplicate keys, finding the line of a key.
Not here: what the keys mean (the rooms that have such files).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from cj_pipeline.contracts.model import FileModel
from cj_pipeline.foundation.errors import BadInput

Key = str | int
Model = TypeVar("Model", bound=FileModel)


@dataclass(frozen=True, slots=True)
class YamlFile:
    """One file: its path, its content (a mapping), and the tree that knows the lines."""

    path: Path
    content: dict[str, Any]
    _root: yaml.MappingNode

    def holds(self, keys: Sequence[Key]) -> bool:
        """Whether the file itself says something at this place."""
        return self._find(keys) is not None

    def line(self, keys: Sequence[Key]) -> int | None:
        """1-based line of the key, or of the nearest place above it that the file has."""
        for length in range(len(keys), 0, -1):
            found = self._find(keys[:length])
            if found is not None:
                return found.start_mark.line + 1
        return None

    def _find(self, keys: Sequence[Key]) -> yaml.Node | None:
        """The key's own node (a sequence's element has none, so its value's); the root for no keys."""
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
        return model.model_validate(file.content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        keys = [part for part in first["loc"] if isinstance(part, str | int)]
        raise BadInput(
            f"{first['msg']}.",
            path=path,
            line=file.line(keys),
            field=".".join(str(key) for key in keys) or "(top level)",
            remedy=when_unfit,
        ) from None


def read_yaml(path: Path, *, when_missing: str = "Check the path.") -> YamlFile:
    """Read one file whose top level is a mapping.

    Raises BadInput naming file and line: missing, not UTF-8, not YAML, not a mapping, a key given twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise BadInput("no such file.", path=path, remedy=when_missing) from None
    except UnicodeDecodeError:
        raise BadInput("not UTF-8 text.", path=path, remedy="Save the file as UTF-8.") from None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that does not exist
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
