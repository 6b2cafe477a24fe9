"""This module tests the hook that checks commit messages."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import REPOSITORY

SCRIPT = REPOSITORY / ".ci" / "commit_message.py"
faults = runpy.run_path(str(SCRIPT))["faults"]


@pytest.mark.parametrize(
    "message",
    [
        "bus: close a subscription once",
        "docs, tests: name the moved files\n\nThe body says why.\n",
        "lps: pass the queue a clock\n# Please enter the commit message\n",
        "engine: " + "x" * 64,
        "Merge branch 'bus'",
        'Revert "bus: close a subscription once"',
        "\nbus: add a test\n# ------------------------ >8 ------------------------\ndiff --git a b\n",
    ],
)
def test_an_imperative_line_with_its_area_is_accepted(message: str) -> None:
    assert faults(message) == []


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ("", "not `area: do this`"),
        ("A draft is removed while it is held", "not `area: do this`"),
        ("bus: added a test", "'added' is not an imperative"),
        ("bus: adds a test", "'adds' is not an imperative"),
        ("bus: adding a test", "'adding' is not an imperative"),
        ("bus: add a test.", "ends with a full stop"),
        ("bus: add a test\nand another", "second line is not empty"),
        ("engine: " + "x" * 65, "has 73 characters; write at most 72"),
    ],
)
def test_another_line_is_refused_with_what_to_do(message: str, fault: str) -> None:
    (found,) = faults(message)
    assert fault in found


def test_the_hook_exits_with_1_and_says_why(tmp_path: Path) -> None:
    message = tmp_path / "COMMIT_EDITMSG"
    message.write_text("Added a test\n")
    done = subprocess.run([sys.executable, SCRIPT, message], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("commit message: The subject is not `area: do this`")
