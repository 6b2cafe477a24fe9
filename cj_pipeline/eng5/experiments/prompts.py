"""This module finds the prompt that a cell names: numbered texts of ENG5, a variant, or files of one's own."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from cj_pipeline.eng5.options import RunnerOptions, refusal
from cj_pipeline.eng5.prompts import PromptKind, numbered_prompts, prompt_path
from cj_pipeline.foundation.errors import did_you_mean
from cj_pipeline.runs.recording.prompts import load_prompt, prompt_names

_NUMBERED = re.compile(r"\d{1,3}(_\w+)?")
_TEXTS = (".txt", ".md")


def prompt_options(options: RunnerOptions, name: str | None, root: Path) -> RunnerOptions:
    """Return options that ask with a prompt. name: None for the ENG5 runner's own; root: of relative paths.

    003: the numbered system prompt, with the rubric of that number where there is one. 007+006: system prompt and
    rubric. Each may be a text file. plain, plain.v1: a variant. NAME.vN.yaml: a variant of one's own.
    Raises BadInput naming the file, or what there is.
    """
    if name is None:
        return options
    if name.endswith(".yaml"):
        return replace(options, prompt=load_prompt(str(root / name)))
    system, plus, rubric = name.partition("+")
    if not all(part.endswith(_TEXTS) or _NUMBERED.fullmatch(part) for part in (system, rubric) if part):
        return replace(options, prompt=load_prompt(_variant(name)))
    if not plus and _NUMBERED.fullmatch(system):
        number = system.partition("_")[0].zfill(3)
        rubric = number if number in {one.number for one in numbered_prompts(PromptKind.RUBRIC)} else ""
    return replace(
        options,
        system_prompt=_text(system, PromptKind.SYSTEM, root),
        rubric=_text(rubric, PromptKind.RUBRIC, root) if rubric else None,
    )


def _text(part: str, kind: PromptKind, root: Path) -> Path | None:
    return root / part if part.endswith(_TEXTS) else prompt_path(part, kind)


def _variant(name: str) -> str:
    """Return the full name of a built-in variant; the number of its version may be left out where there is one."""
    found = [one for one in prompt_names() if one == name or one.rpartition(".v")[0] == name]
    if len(found) == 1:
        return found[0]
    numbers = [one.number for one in numbered_prompts(PromptKind.SYSTEM)]
    numbered = f"Or {numbers[0]} to {numbers[-1]}, two joined by +, or a file in .yaml or .txt."
    raise refusal("prompt", f"'{name}' is no prompt.", f"{did_you_mean(name, prompt_names())} {numbered}")
