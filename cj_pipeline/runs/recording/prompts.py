"""This module reads prompt variants: what a judge is told beside the two essays, as versioned files.

A variant is a file `NAME.vN.yaml`. A change of its text is a new number: recordings name their variant and carry its
text and its hash, and a recording asked with another text is of another judge.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from cj_pipeline.contracts.comparison import ComparisonRequest, LLMConfigOverrides, PromptBlock
from cj_pipeline.engine.state import Batch, Comparison
from cj_pipeline.engine.waves.requests import comparison_request
from cj_pipeline.foundation.errors import BadInput, did_you_mean
from cj_pipeline.foundation.names import PROMPT, valid_name
from cj_pipeline.foundation.yaml_file import read_yaml_model
from cj_pipeline.traces.recording_provenance import PromptTexts

BUILT_IN = Path(__file__).with_name("prompt_files")
DEFAULT_PROMPT = "plain.v1"

_ENDING = ".yaml"


class PromptVariant(PromptTexts):
    """One file. Essays go between the two parts of the user's message: context before them, question after them."""

    schema_version: Annotated[int, Field(ge=1, le=1)]
    name: Annotated[str, Field(pattern=r"\.v[1-9][0-9]*$"), AfterValidator(partial(valid_name, rule=PROMPT))]
    """Name and number, as in the file's own name."""
    about: str = ""
    """For its reader; no judge sees it."""

    @property
    def texts(self) -> PromptTexts:
        """What the judge is told."""
        return PromptTexts.model_validate(self.model_dump(include=set(PromptTexts.model_fields)))

    @property
    def sha256(self) -> str:
        """Lower-case hex over the texts that the judge is told; the name is no part of it."""
        texts = self.texts.model_dump(mode="json")
        return sha256(json.dumps(texts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    def context(self) -> str:
        """Return what stands before the essays; empty where the variant has neither assignment nor rubric."""
        sections = (("Student Assignment", self.assignment), ("Assessment Criteria", self.rubric))
        return "\n\n".join(f"{heading}:\n{text.strip()}" for heading, text in sections if text.strip())


def prompt_names() -> tuple[str, ...]:
    """Return the names of the built-in variants, sorted."""
    return tuple(sorted(path.name.removesuffix(_ENDING) for path in BUILT_IN.glob(f"*{_ENDING}")))


def load_prompt(name: str) -> PromptVariant:
    """Read a built-in variant by its name, or a file by its path.

    Raises BadInput naming file and line: no such variant, not of the schema, or a name that is not its file's.
    """
    is_path = name.endswith(_ENDING)
    path = Path(name) if is_path else BUILT_IN / f"{name}{_ENDING}"
    if not is_path and name not in prompt_names():
        raise BadInput(
            f"'{name}' is no prompt variant.",
            path=BUILT_IN,
            remedy=f"{did_you_mean(name, prompt_names())} Or name a file that ends in {_ENDING}.",
        )
    variant = read_yaml_model(
        path,
        PromptVariant,
        when_missing="Name a built-in prompt, or a file.",
        when_unfit="The keys are in docs/record.md; a built-in variant shows them.",
    )
    if path.name != variant.name + _ENDING:
        raise BadInput(
            f"is '{variant.name}', but its file is '{path.name}'.",
            path=path,
            field="name",
            remedy="Give both the same name; a changed text gets the next number.",
        )
    return variant


def asked_request(
    comparison: Comparison,
    variant: PromptVariant,
    *,
    batch: Batch,
    wave_size: int,
    texts: Mapping[str, str],
    overrides: LLMConfigOverrides,
    callback_topic: str,
) -> ComparisonRequest:
    """Return the request for one comparison, with the variant's words around the essays."""
    request = comparison_request(
        comparison,
        batch=batch,
        wave_size=wave_size,
        texts=texts,
        overrides=overrides.model_copy(update={"system_prompt_override": variant.system.strip()}),
        callback_topic=callback_topic,
    )
    context = variant.context()
    before = (PromptBlock(content=context, cacheable=True, ttl="5m"),) if context else ()
    essays = (request.prompt_blocks or ())[:2]
    blocks = (*before, *essays, PromptBlock(content=variant.question.strip()))
    prompt = "\n\n".join(block.content for block in blocks)
    return request.model_copy(update={"prompt_blocks": blocks, "user_prompt": prompt})
