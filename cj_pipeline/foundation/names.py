"""This module decides what a name may be: of a scenario, a recording, a mode, a prompt, a label, a topic.

Names become folders, files, topics and words of a command line, on any machine. A path that a user typed is no name.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from cj_pipeline.foundation.errors import BadInput, shortened

# Windows takes these for devices, in any case, in every folder, and whatever comes after a dot: NUL, aux.txt.
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"] + [f"{port}{n}" for port in ("com", "lpt") for n in range(10)]
)


@dataclass(frozen=True, slots=True)
class NameRule:
    """What names of one kind may be.

    kind: with its article, as messages say it. first, rest: the characters, as a class of a regular expression.
    most: characters; words: what is allowed, as a remedy; taken: names that mean something else. file: whether the
    name is a file's or a folder's as it is.
    """

    kind: str
    first: str
    rest: str
    most: int
    words: str
    taken: frozenset[str] = frozenset()
    file: bool = True


# As long as a file name may be, with room for what is put before and behind: 255 bytes.
_MOST = 200
_LOWER = "Use lower case, digits and underscores"

SCENARIO = NameRule("a scenario's name", "a-z0-9", "a-z0-9_", _MOST, f"{_LOWER}, at most {_MOST}.")
MODE = NameRule("a mode's name", "a-z0-9", "a-z0-9_", _MOST, f"{_LOWER}, at most {_MOST}.")
EXPERIMENT = NameRule("an experiment's name", "a-z0-9", "a-z0-9_", 64, f"{_LOWER}, at most 64.")
LABEL = NameRule("a label", "a-z0-9", "a-z0-9_", 64, f"{_LOWER}, at most 64.")
RECORDING = NameRule(
    "a recording's name",
    "A-Za-z0-9_",
    "A-Za-z0-9_.-",
    100,
    "Use letters, digits, '_', '-' and '.', at most 100, and not 'main'.",
    frozenset({"main"}),
)
PROMPT = NameRule("a prompt's name", "a-z0-9", "a-z0-9_.", _MOST, "Write NAME.vN, as in plain.v1.")
# Kafka's rule, and that of a file `TOPIC.jsonl`.
TOPIC = NameRule(
    "a topic's name",
    "A-Za-z0-9._-",
    "A-Za-z0-9._-",
    249,
    "Use letters, digits, '.', '_' and '-', at most 249.",
    frozenset({".", ".."}),
    file=False,
)


def fault_of(name: str, rule: NameRule) -> str | None:
    """Return what is wrong with a name, as the end of a sentence about it; None for a name that is one."""
    if not name:
        return "is empty"
    if found := re.search(f"[^{rule.rest}]", name):
        return f"has {_shown(found.group())}"
    if len(name) > rule.most:
        return f"has {len(name)} characters"
    if not re.match(f"[{rule.first}]", name):
        return f"begins with '{name[0]}'"
    if rule.file and name.endswith("."):
        return "ends with a dot"  # Windows drops it, and then the folder has another name
    if rule.file and name.lower().partition(".")[0] in _DEVICES:
        return "is a device of Windows"
    return "means something else" if name.lower() in rule.taken else None


def is_name(name: str, rule: NameRule) -> bool:
    """Return whether a name is one of its kind."""
    return fault_of(name, rule) is None


def valid_name(name: str, rule: NameRule) -> str:
    """Return a name as it is. Raises ValueError, for a field of a model."""
    if (fault := fault_of(name, rule)) is not None:
        raise ValueError(f"is not {rule.kind}: it {fault}. {rule.words.rstrip('.')}")
    return name


def require_name(name: str, rule: NameRule, *, path: Path | str, field: str | None = None) -> None:
    """Raise BadInput for what is no name of its kind. path, field: where it was given."""
    if (fault := fault_of(name, rule)) is not None:
        raise BadInput(
            f"'{shortened(name)}' is not {rule.kind}: it {fault}.", path=path, field=field, remedy=rule.words
        )


def same_name(name: str, other: str) -> bool:
    """Return whether a file system that does not tell capitals apart would take two names for one."""
    return name.casefold() == other.casefold()


def _shown(character: str) -> str:
    """Return a character with its number, and with its name where it could pass for another."""
    if character == " ":
        return "a blank"
    if character.isascii() and character.isprintable():
        return f"'{character}'"
    named = unicodedata.name(character, "a control character").lower()
    return f"U+{ord(character):04X}, {named}"
