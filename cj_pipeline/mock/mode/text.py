"""This module writes a mode as the text of its file."""

from __future__ import annotations

from typing import Any

import yaml

from cj_pipeline.mock.mode.mode import Mode


def mode_text(mode: Mode, heading: str) -> str:
    """Return the text of a mode file, without what it leaves at its default. heading: one line of comment."""
    content: dict[str, Any] = mode.model_dump(mode="json", exclude_defaults=True, exclude={"overlays"})
    content = {"schema_version": mode.schema_version, **content}
    if "samples" in content:
        content["samples"] = [[_short(value) for value in row] for row in content.pop("samples")]
    for section, key in ((content["winner"], "abilities"), (content["tokens"]["prompt"], "items")):
        if key in section:
            section[key] = _OneALine(section[key])
    if "origins" in content:
        content["origins"] = _OneALine(content["origins"])
    text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
    return f"# {heading}\n{text}"


class _OneALine(dict[str, Any]):
    """A mapping that is written with one key a line."""


# libyaml's where it is there: it writes in a fifth of the time.
_Safe: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_Safe):  # type: ignore[misc]
    pass


_Dumper.add_representer(
    _OneALine, lambda dumper, value: dumper.represent_mapping("tag:yaml.org,2002:map", value, flow_style=False)
)


def _short(value: float) -> float:
    return int(value) if value == int(value) else value
