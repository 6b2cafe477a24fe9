"""This module tests prompt variants: files with a number, a text and a hash."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
import yaml

from cj_pipeline.contracts.comparison import LLMConfigOverrides
from cj_pipeline.contracts.engine_settings import EngineSettings
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.engine.state import Batch, Comparison, WaveKind
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.runs.recording.prompts import PromptVariant, asked_request, load_prompt, prompt_names

# A change of a text is a new number. These never change; a new file adds a line.
HASHES = {
    "plain.v1": "8121c9bba60c5b451bbb2234b9d6cdd3e7dab1b3957bac140084e25e4b830f0b",
    "rubric.v1": "dfe36f8d9a0c600ca3f26b5bb43dbf1b2b6d6b8f58ca86414b13cd3d947e2ab1",
}


def test_the_text_of_a_numbered_variant_never_changes() -> None:
    assert {name: load_prompt(name).sha256 for name in prompt_names()} == HASHES


def asked(variant: PromptVariant) -> tuple[str, str]:
    """(system, user) as a provider gets them."""
    batch = Batch("b", 0, ("e1", "e2"), EngineSettings(), 1)
    request = asked_request(
        Comparison(UUID(int=1), "e1", "e2", WaveKind.COVERAGE, 0),
        variant,
        batch=batch,
        wave_size=1,
        texts={"e1": "First text.", "e2": "Second text."},
        overrides=LLMConfigOverrides(provider_override=Provider.OPENAI),
        callback_topic="t",
    )
    assert request.llm_config_overrides is not None
    assert request.prompt_blocks is not None
    assert request.user_prompt == "\n\n".join(block.content for block in request.prompt_blocks)
    return request.llm_config_overrides.system_prompt_override or "", request.user_prompt


def test_a_judge_is_told_rubric_essays_and_question_in_this_order() -> None:
    variant = load_prompt("rubric.v1").model_copy(update={"assignment": "Write about time."})
    system, user = asked(variant)
    parts = (
        "Student Assignment:\nWrite",
        "Assessment Criteria:\n1. Case",
        "Essay A:\nFirst",
        "Essay B:\nSecond",
        "Weigh",
    )
    assert system == variant.system
    assert [user.index(part) for part in parts] == sorted(user.index(part) for part in parts)


def test_a_plain_variant_has_no_empty_section() -> None:
    _, user = asked(load_prompt("plain.v1"))
    assert user.startswith("Essay A:\nFirst text.")


def test_the_hash_is_of_the_texts_alone(tmp_path: Path) -> None:
    variant = load_prompt("plain.v1")
    assert variant.model_copy(update={"about": "other", "name": "other.v2"}).sha256 == variant.sha256
    assert variant.model_copy(update={"system": "Other."}).sha256 != variant.sha256


def write(path: Path, **changes: object) -> str:
    document = load_prompt("plain.v1").model_dump() | {"name": path.name.removesuffix(".yaml")} | changes
    path.write_text(yaml.safe_dump(document))
    return str(path)


def test_a_file_of_ones_own_is_a_variant(tmp_path: Path) -> None:
    assert load_prompt(write(tmp_path / "mine.v3.yaml", question="Which?")).question == "Which?"


@pytest.mark.parametrize(
    ("file", "changes", "words"),
    [
        ("mine.yaml", {}, "mine.yaml:.*name"),
        ("mine.v1.yaml", {"name": "mine.v2"}, "but its file is 'mine.v1.yaml'"),
        ("mine.v1.yaml", {"rubrik": "x"}, "rubrik"),
    ],
)
def test_a_file_that_is_no_variant_is_refused(
    tmp_path: Path, file: str, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        load_prompt(write(tmp_path / file, **changes))
