"""This module reads docs/runbook.md as its user does: what to type, what to ask Prometheus and Loki, what can fail."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cli.terminal import Answer, Terminal
from tests.house import REPOSITORY

PAGE = (REPOSITORY / "docs" / "runbook.md").read_text(encoding="utf-8")

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TYPED = re.compile(r"^ {4,8}((?:export|nohup|cj-pipeline) .+)$", re.MULTILINE)
_ASKED_OF_LOKI = re.compile(r'^ {4}\{service="([\w-]+)"\} \| json \| (\w+)="([^"]+)"$', re.MULTILINE)
_FAILURE = re.compile(r"^\| `([^`]+)` \| (\d+) \|", re.MULTILINE)


@dataclass(frozen=True)
class Typed:
    """One line. words: of the command without what the shell does with it; into: the file its output goes to."""

    line: str
    words: tuple[str, ...]
    into: str | None

    @property
    def exports(self) -> bool:
        """Whether it sets variables."""
        return self.words[0] == "export"


def typed() -> list[Typed]:
    """Every line to type, in the order of the page."""
    return [_read(line) for line in _TYPED.findall(re.sub(r"\\\n +", "", _FENCE.sub("", PAGE)))]


def play(terminal: Terminal, own: Mapping[str, str], may_exit_with_1: tuple[str, ...] = ()) -> list[Answer]:
    """Type every line of the page in this folder, as a shell would, and return what the commands answered.

    own: values of variables that name a deployment, in place of the page's.
    """
    answers = []
    for one in typed():
        if one.exports:
            export(one, own)
            continue
        words = [os.path.expandvars(word) for word in one.words[1:]]
        assert not any("$" in word for word in words), one.line
        answer = terminal(*words)
        if one.into is not None:
            Path(one.into).write_text(f"{answer.err}\n{answer.out}")
        answers.append(answer)
        allowed = (0, 1) if one.line.startswith(may_exit_with_1) else (0,)
        assert answer.code in allowed, (one.line, answer.err, answer.out[-1500:])
    return answers


def export(one: Typed, own: Mapping[str, str]) -> None:
    """Set variables. The batch is the one that the log of the run in the background names."""
    for word in one.words[1:]:
        name, equals, value = word.partition("=")
        assert equals, word
        log = Path("autumn-a.log")
        if name == "BATCH" and log.is_file():
            found = re.search(r"batch (\S+) \(autumn-a\) is asked for", log.read_text())
            assert found is not None, log.read_text()
            value = found.group(1)
        os.environ[name] = own.get(name, os.path.expandvars(value))


def mentioned() -> list[tuple[str, ...]]:
    """Commands within sentences and tables: the words of each, without its options and operands."""
    found = re.findall(r"`cj-pipeline ([a-z0-9 -]+)`", PAGE)
    without = {tuple(word for word in words.split() if not word.startswith("--")) for words in found}
    return sorted({words[:2] if words[0] == "lps" else words for words in without})


def promql() -> list[str]:
    """Every query for Prometheus."""
    return [line for kind, block in _FENCE.findall(PAGE) if kind == "promql" for line in block.splitlines()]


def loki() -> list[tuple[str, str, str]]:
    """Every query for Loki: service, field, value."""
    return _ASKED_OF_LOKI.findall(PAGE)


def failures() -> dict[str, int]:
    """What is said when something fails, and the exit code."""
    return {words: int(code) for words, code in _FAILURE.findall(PAGE[PAGE.index("## When it fails") :])}


def _read(line: str) -> Typed:
    words = shlex.split(line, comments=True)
    into = None
    if words[0] == "nohup":
        assert words[-1] == "&"
        cut = words.index(">")
        assert words[cut + 2] == "2>&1"
        into, words = words[cut + 1], words[1:cut]
    return Typed(line, tuple(words), into)
