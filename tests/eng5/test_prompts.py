"""This module tests the numbered prompts: which there are, that a changed text is noticed, and what a judge is sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cj_pipeline.eng5.options import RunnerMode
from cj_pipeline.eng5.prompts import ABOUT, NumberedPrompt, PromptKind, numbered_prompts, prompt_path
from cj_pipeline.eng5.runner import run
from cj_pipeline.foundation.errors import BadInput
from tests.eng5.nets import options

# The names are the reference's. A changed text is another judge: give it the next number.
HASHES = {
    ("system", "001_baseline"): "f604afa2e48c3638b8cff07669957ff8ef2fcbf8a9556962959c2df9a1685b21",
    ("system", "002_anti_narrative"): "0b3b16089b03f8d3f820d6caa5ff99e58c9f8f4afae8ba71244558fd0306e392",
    ("system", "003_language_control"): "723b576ca2fc09129dbcbe744bbe3dd0397594107cb23d78c70d0d7218de316e",
    ("system", "004_hand_rolled"): "34a2f3b9c3305bad0b46c89ead0eef8fe8e16e4edf97be02db09baa2d59cd329",
    ("system", "005_language_control_v2"): "757fd2f483f79d4e9884f9b97ce65a05eb471aefc3528956200fc244c39ba8be",
    ("system", "006_usage_content_parity_system"): "571c0c3a32c85775a840b8c0afafba9d2143864f821c2d22207f054d924c2ed2",
    ("system", "007_usage_guard"): "ba979226331cccecceb7c5befa945b512c893b99284fdc42331a81249a29be8c",
    ("system", "008_usage_guard_tuned"): "990bfa8fbb942a121225fab0436bea5f39fc86ffbc9f479ed270bf048ed707b3",
    ("system", "009_usage_decides_when_weak"): "04a4b47ac3262a144290f1ae4ad2f05f0325d59d7fffce4cf8602883198fc35f",
    ("rubric", "001_baseline"): "f7190129851caddbb48ff2e8650e3f2f6a6e61474c77951c626ea28c539d796f",
    ("rubric", "002_anti_narrative"): "e46d01d240df18c37f94271b68ed893290acf76b628ca8068f7d69daf80bc1b9",
    ("rubric", "003_language_control"): "e344c610c58048b0e7b043d3f10fb0a96f8e345023863f7bb7b3292c1e2f9961",
    ("rubric", "004_hand_rolled"): "0147e13670a50508763a7b3d2394e9101f5dc46cd7750080817dc2b404bb3d9d",
    ("rubric", "005_language_control_v2"): "c9f85627273d914602b49854a8640f193f256e1b8e516691f3cba21db4b28772",
    ("rubric", "006_usage_content_parity_rubric"): "81c341090ac5a101bd5303eda07bcc2173b0a0b406ade4b7622eac7eb85c2509",
    ("rubric", "007_usage_guard"): "9d82b113d6e681c19231c594510be6282e5f147f682411934bd09a72c768abc8",
    ("rubric", "008_strong_usage_guard"): "a0dc95b9848f753872ccc6e0cda7259c2b04718f0b93a2f9c99946ececf31168",
}  # fmt: skip
EVERY = [one for kind in PromptKind for one in numbered_prompts(kind)]


def test_the_texts_are_those_under_which_runs_were_made() -> None:
    assert {(one.kind.value, one.name): one.sha256 for one in EVERY} == HASHES
    assert {one.number for one in EVERY} == ABOUT.keys()


@pytest.mark.parametrize("prompt", EVERY, ids=lambda one: f"{one.kind.value}-{one.name}")
def test_every_system_prompt_asks_for_50_words_and_a_confidence_from_1_to_5(prompt: NumberedPrompt) -> None:
    text = " ".join(prompt.text.split())
    asks = "at most 50 words" in text and "from 1 (a guess) to 5 (certain)" in text
    assert asks is (prompt.kind is PromptKind.SYSTEM)
    assert "100 words" not in text
    assert "0 to 5" not in text


def test_a_number_a_name_and_a_path_name_a_text(tmp_path: Path) -> None:
    guard = prompt_path("007", PromptKind.SYSTEM)
    assert guard is not None
    assert guard.name == "007_usage_guard.txt"
    assert prompt_path("7", PromptKind.SYSTEM) == prompt_path("007_usage_guard", PromptKind.SYSTEM) == guard
    assert prompt_path("007", PromptKind.RUBRIC) != guard
    own = tmp_path / "own.txt"
    assert prompt_path(own, PromptKind.SYSTEM) == own
    assert prompt_path(None, PromptKind.SYSTEM) is None


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ("010", PromptKind.SYSTEM, "no system prompt 010. There are 001 to 009"),
        ("009", PromptKind.RUBRIC, "no rubric prompt 009. There are 001 to 008"),
        ("007_usage_gard", PromptKind.SYSTEM, "Did you mean '007_usage_guard'"),
    ],
)
def test_a_number_that_there_is_not_is_refused(given: str, kind: PromptKind, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        prompt_path(given, kind)


def test_a_run_asks_with_the_numbered_texts_and_its_artefact_holds_them(tmp_path: Path) -> None:
    asked = options(
        RunnerMode.ANCHOR_ALIGN,
        tmp_path,
        system_prompt=prompt_path("007", PromptKind.SYSTEM),
        rubric=prompt_path("006", PromptKind.RUBRIC),
    )
    prompts = json.loads(run(asked).artefact.read_text())["metadata"]["prompts"]
    assert prompts["system"]["sha256"] == HASHES["system", "007_usage_guard"]
    assert prompts["rubric"]["sha256"] == HASHES["rubric", "006_usage_content_parity_rubric"]
