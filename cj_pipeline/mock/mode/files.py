"""This module loads modes by expression (`NAME+OVERLAY...`): it finds files, merges overlays, and says what is wrong.

An overlay is a partial mode: its sections are merged key by key into the base's, except that a section which names
another `model` replaces the base's section whole (the keys of one model mean nothing to another).

A section of model `replay` names a file of callbacks, relative to the file that says so; it is read with the mode, so
that a mode which was loaded depends on no file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cj_pipeline.foundation.errors import BadInput, CjPipelineError, did_you_mean
from cj_pipeline.foundation.yaml_file import Key, YamlFile, read_yaml
from cj_pipeline.mock.mode.mode import Mode
from cj_pipeline.mock.mode.recording import Recording, read_recording

MODES_FOLDER = Path(__file__).parents[1] / "modes"
OVERLAYS_FOLDER = MODES_FOLDER / "overlays"

# What a mode is and what it was fitted from are the base's to say; the rest is behaviour.
_BEHAVIOUR = (
    *("winner", "latency", "tokens", "confidence", "samples", "cost", "metadata", "justification", "cache", "errors"),
    "streaming_metadata",
)
# The sections that may be of model `replay`.
_MAY_REPLAY: tuple[tuple[Key, ...], ...] = (
    ("winner",),
    ("latency",),
    ("tokens", "prompt"),
    ("tokens", "completion"),
    ("confidence",),
)
_OVERLAY_KEYS = ("schema_version", "description", *_BEHAVIOUR)


class UnknownMode(CjPipelineError):
    """A mode or an overlay that there is not. `name`: what was asked for."""

    def __init__(self, name: str, known: Sequence[str], *, kind: str) -> None:
        self.name = name
        super().__init__(f"'{name}' is not {kind}. {did_you_mean(name, known)} Known modes: cj-pipeline lps modes")


def mode_names() -> tuple[str, ...]:
    """The built-in modes, sorted."""
    return _stems(MODES_FOLDER)


def overlay_names() -> tuple[str, ...]:
    """The built-in overlays, sorted."""
    return _stems(OVERLAYS_FOLDER)


def overlay_description(name: str) -> str:
    """What is wrong about this overlay, in its own words. Raises UnknownMode, BadInput."""
    return str(_read_overlay(name).content["description"])


def load_mode(expression: str) -> Mode:
    """A mode from `NAME[+OVERLAY...]`, where NAME is a built-in mode or the path of a `.yaml` file.

    Overlays apply in order. Raises UnknownMode for a name that there is not, BadInput for a file that does not fit.
    """
    base_name, overlays = _split(expression)
    if base_name.endswith(".yaml"):
        base = read_yaml(Path(base_name))
    elif base_name in mode_names():
        base = read_yaml(MODES_FOLDER / f"{base_name}.yaml")
        if base.content.get("name") != base_name:
            raise _bad(base, ("name",), "differs from the file's name.", "Give both the same name.")
    else:
        raise UnknownMode(base_name, mode_names(), kind="a mode")
    if "overlays" in base.content:
        raise _bad(base, ("overlays",), "cannot be set in a file.", "Name overlays in the expression: MODE+OVERLAY.")
    return _compose(base, {name: _read_overlay(name) for name in overlays}, overlays)


def _stems(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def _split(expression: str) -> tuple[str, tuple[str, ...]]:
    # A path may contain `+`; it ends at the last `.yaml`.
    path = re.fullmatch(r"(.+\.yaml)((?:\+[^+]*)*)", expression)
    base, rest = path.groups() if path else (expression.partition("+")[0], "".join(expression.partition("+")[1:]))
    return base, tuple(rest.split("+")[1:])


def _read_overlay(name: str) -> YamlFile:
    if name not in overlay_names():
        raise UnknownMode(name, overlay_names(), kind="an overlay")
    overlay = read_yaml(OVERLAYS_FOLDER / f"{name}.yaml")
    for key in overlay.content:
        if key not in _OVERLAY_KEYS:
            raise _bad(overlay, (key,), "not a key of an overlay.", did_you_mean(str(key), _OVERLAY_KEYS))
    if overlay.content.get("schema_version") != 1:
        raise _bad(overlay, ("schema_version",), "must be 1.", "Write `schema_version: 1`.")
    if not overlay.content.get("description"):
        raise _bad(overlay, ("description",), "missing.", "Say what is wrong about this behaviour.")
    return overlay


def _compose(base: YamlFile, overlays: dict[str, YamlFile], order: tuple[str, ...]) -> Mode:
    content = base.content
    for name in order:
        overlay = overlays[name].content
        content = _merged(content, {key: overlay[key] for key in _BEHAVIOUR if key in overlay})
        if isinstance(content.get("description"), str):
            content["description"] += f" Overlay {name}: {overlay['description']}"
    files = [base, *(overlays[name] for name in order)]
    content = _with_recordings(content, files)
    try:
        return Mode.model_validate({**content, "overlays": order})
    except ValidationError as error:
        raise _complaint(error, files) from None


def _merged(base: dict[str, Any], partial: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in partial.items():
        old = merged.get(key)
        if (
            isinstance(old, dict)
            and isinstance(value, dict)
            and value.get("model", old.get("model")) == old.get("model")
        ):
            merged[key] = _merged(old, value)
        else:
            merged[key] = value
    return merged


def _with_recordings(content: dict[str, Any], files: Sequence[YamlFile]) -> dict[str, Any]:
    """The content with each recording in the place of its path; each file of callbacks is read once."""
    read: dict[Path, Recording] = {}
    for place in _MAY_REPLAY:
        section: object = content
        for key in place:
            section = section.get(key) if isinstance(section, dict) else None
        if not isinstance(section, dict) or section.get("model") != "replay" or "callbacks" not in section:
            continue
        keys = (*place, "callbacks")
        said = _who_said(keys, files)
        named = section["callbacks"]
        if not isinstance(named, str):
            raise _bad(said, keys, "must be the path of a JSONL file.", "Paths are relative to the mode file.")
        path = said.path.parent / named
        if not path.is_file():
            raise _bad(said, keys, f"there is no file '{path}'.", "Paths are relative to the mode file.")
        if path not in read:
            read[path] = read_recording(path)
        content = _replaced(content, keys, read[path])
    return content


def _replaced(content: dict[Any, Any], keys: Sequence[Key], value: object) -> dict[Any, Any]:
    """A copy with another value at a place that is there."""
    first, *rest = keys
    return {**content, first: _replaced(content[first], rest, value) if rest else value}


def _bad(file: YamlFile, keys: Sequence[Key], problem: str, remedy: str) -> BadInput:
    return BadInput(
        problem, path=file.path, line=file.line(keys), field=".".join(str(key) for key in keys), remedy=remedy
    )


def _complaint(error: ValidationError, files: Sequence[YamlFile]) -> BadInput:
    """The first thing wrong, at the place of the file that says it."""
    told = error.errors(include_url=False)
    # A misspelt key also leaves the right one missing; the misspelling is what the reader can see.
    first = next((problem for problem in told if problem["type"] == "extra_forbidden"), told[0])
    # A newer mode has keys that nobody here knows; its version says why.
    first = next((problem for problem in told if problem["loc"] == ("schema_version",)), first)
    keys, _ = _walk(first["loc"])
    problem, remedy = _in_words(first)
    if first["type"].startswith("union_tag"):
        keys = (*keys, "model")
    if first["type"] == "extra_forbidden":
        _, allowed = _walk(first["loc"][:-1])
        known = {name for model in _classes(allowed) for name in model.model_fields} - {"overlays"}
        remedy = did_you_mean(str(keys[-1]), known)
    return _bad(_who_said(keys, files), keys or ("(top level)",), problem, remedy)


def _in_words(error: ErrorDetails) -> tuple[str, str]:
    """(problem, remedy) of one pydantic complaint; the value is shown, since mode files hold nothing private."""
    match error["type"]:
        case "missing":
            return "missing.", "Add it; other modes show how: cj-pipeline lps modes"
        case "extra_forbidden":
            return "not a key here.", ""
        case "union_tag_invalid":
            tags = error["ctx"]["expected_tags"].replace("'", "").split(", ")
            return f"'{error['ctx']['tag']}' is not a model.", did_you_mean(error["ctx"]["tag"], tags)
        case "union_tag_not_found":
            return "missing.", "Say which model this section follows."
        case _:
            told = error["msg"].removeprefix("Value error, ")
            shown = repr(error["input"])
            given = f" (here: {shown})" if len(shown) <= 60 else ""
            return f"{told}{given}.", "Correct the value."


def _walk(loc: Sequence[Key]) -> tuple[tuple[Key, ...], tuple[object, ...]]:
    """A pydantic location as (keys of the file, what the schema allows there).

    Pydantic puts the value of `model` into the location wherever it chose by it; the file has no such key.
    """
    keys: list[Key] = []
    allowed: tuple[object, ...] = (Mode,)
    for part in loc:
        tagged = tuple(model for model in allowed if _tag(model) == part)
        if tagged and len(allowed) > 1:
            allowed = tagged
            continue
        keys.append(part)
        fields = [model.model_fields[part] for model in _classes(allowed) if part in model.model_fields]
        allowed = tuple(choice for field in fields for choice in _choices(field.annotation))
    return tuple(keys), allowed


def _classes(models: Sequence[object]) -> list[type[BaseModel]]:
    return [model for model in models if isinstance(model, type) and issubclass(model, BaseModel)]


def _choices(annotation: object) -> tuple[object, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _tag(model: object) -> str | None:
    """The value of `model` that chooses this class among its alternatives."""
    if isinstance(model, type) and issubclass(model, BaseModel) and "model" in model.model_fields:
        return str(get_args(model.model_fields["model"].annotation)[0])
    return None


def _who_said(keys: Sequence[Key], files: Sequence[YamlFile]) -> YamlFile:
    """The last file that has the key, or the nearest place above it; the base when none has any of it."""
    for length in range(len(keys), 0, -1):
        for file in reversed(files):
            if file.holds(keys[:length]):
                return file
    return files[0]
