"""This module finds the prompt that a cell names: a variant by its name or number, or files of one's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cj_pipeline.eng5.options import RunnerOptions
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.runs.recording.prompts import BUILT_IN, load_prompt, prompt_names

_TEXTS = (".txt", ".md")


def prompt_options(options: RunnerOptions, name: str | None, root: Path) -> RunnerOptions:
    """Return options that ask with a prompt. name: None for the ENG5 runner's own; root: of relative paths.

    Raises BadInput naming the file, or the names that there are.
    """
    if name is None:
        return options
    if name.endswith(_TEXTS):
        system, plus, rubric = name.partition("+")
        return replace(options, system_prompt=root / system, rubric=root / rubric if plus else None)
    if name.endswith(".yaml"):
        return replace(options, prompt=load_prompt(str(root / name)))
    return replace(options, prompt=load_prompt(named_variant(name)))


def named_variant(name: str) -> str:
    """Return the full name of a built-in variant. name: it, or its beginning up to `_` or `.`, such as a number.

    >>> named_variant("rubric")
    'rubric.v1'

    Raises BadInput for a beginning that several have; a name that none has is returned as it is.
    """
    found = [one for one in prompt_names() if one == name or one.startswith((f"{name}_", f"{name}."))]
    if len(found) > 1 and name not in found:
        raise BadInput(f"'{name}' is the beginning of {', '.join(found)}.", path=BUILT_IN, remedy="Name one of them.")
    return name if name in found or not found else found[0]
