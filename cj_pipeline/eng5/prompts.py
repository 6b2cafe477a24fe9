"""This module finds the numbered prompts of ENG5: system prompts and rubrics that come with the project, or files.

Numbers and names are the reference's, the wording is ours, so a judge that is asked with them is another judge. All of
them allow 50 words and a confidence from 1 to 5. A changed text gets the next number: a test holds the hash of each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

from cj_pipeline.foundation.errors import BadInput, did_you_mean

PROMPT_FILES = Path(__file__).with_name("prompt_files")
_NUMBER = re.compile(r"\d{1,3}")

ABOUT = {
    "001": "the plain question",
    "002": "a story is no better for being a story",
    "003": "content, then how sure the language is",
    "004": "two colleagues and a pile",
    "005": "003 in three steps; errors weigh by how much they disturb",
    "006": "content and usage weigh the same",
    "007": "content first, unless a reader has to guess",
    "008": "007 with the guard defined by paragraphs",
    "009": "usage decides where both texts are weak; no rubric of its own",
}


class PromptKind(StrEnum):
    """Where a text goes."""

    SYSTEM = "system"
    RUBRIC = "rubric"


@dataclass(frozen=True, slots=True)
class NumberedPrompt:
    """One text that comes with the project. number: of three digits; name: with the number, as its file."""

    kind: PromptKind
    number: str
    name: str
    path: Path

    @property
    def text(self) -> str:
        """The text, as a judge reads it."""
        return self.path.read_text(encoding="utf-8").strip()

    @property
    def sha256(self) -> str:
        """Of the text, in hex, as artefacts have it."""
        return sha256(self.text.encode()).hexdigest()


def numbered_prompts(kind: PromptKind) -> tuple[NumberedPrompt, ...]:
    """Return the texts of a kind by number."""
    paths = sorted((PROMPT_FILES / kind.value).glob("[0-9][0-9][0-9]_*.txt"))
    return tuple(NumberedPrompt(kind, path.stem[:3], path.stem, path) for path in paths)


def prompt_path(given: str | Path | None, kind: PromptKind) -> Path | None:
    """Return the file that is meant by a number (7 or 007), a name (007_usage_guard) or a path; None for None.

    Raises BadInput for a number that there is not. What looks like neither number nor name is a path, also where no
    such file is there.
    """
    if given is None:
        return None
    word, prompts = str(given), numbered_prompts(kind)
    number = word.zfill(3) if _NUMBER.fullmatch(word) else None
    found = [prompt.path for prompt in prompts if number == prompt.number or word == prompt.name]
    if found:
        return found[0]
    if number is not None or re.fullmatch(r"\d{3}_\w+", word):
        numbers = [prompt.name for prompt in prompts]
        hint = did_you_mean(word, numbers) if number is None else f"There are {numbers[0][:3]} to {numbers[-1][:3]}."
        raise BadInput(f"there is no {kind.value} prompt {word}.", path="eng5", field=kind.value,
                       remedy=f"{hint} `cj-pipeline eng5 prompts` lists them.")  # fmt: skip
    return Path(given)
