"""Exit 1 means that a check failed: what a user can mend is a sentence and a 2, a defect of ours is a 70."""

from __future__ import annotations

import errno
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from pydantic import TypeAdapter

from cj_pipeline.cli import main as entry
from cj_pipeline.foundation.errors import CjPipelineError
from tests.cli.terminal import Terminal
from tests.house import REPOSITORY
from tests.sides import LOWER5, TRACES


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """`cj-pipeline fail` raises what the list holds."""
    raised: list[BaseException] = []

    @click.command("fail")
    def fail() -> None:
        raise raised[0]

    monkeypatch.setitem(entry.cli.commands, "fail", fail)
    return raised


def invalid() -> Exception:
    try:
        TypeAdapter(int).validate_python("x")
    except ValueError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (CjPipelineError("no such thing"), 2, "error: no such thing"),
        (PermissionError(errno.EACCES, "Permission denied", "traces/x"), 2, "error: traces/x: Permission denied."),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "No space left on device"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), 2, "Save files as UTF-8"),
        (invalid(), 2, "Input should be a valid integer"),
        (ExceptionGroup("", [CjPipelineError("inside")]), 2, "error: inside"),
        (click.FileError("a.txt", "gone"), 2, "a.txt"),
        (click.Abort(), 130, "interrupted"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (CjPipelineError("[/red] \x1b[31m"), 2, r"error: [/red] \x1b[31m"),
        (KeyError("x"), 70, "internal error: KeyError: 'x'"),
        (RecursionError("deep"), 70, "please report it"),
    ],
)
def test_every_exception_is_a_sentence(
    cj_pipeline: Terminal, failing: list[BaseException], error: BaseException, code: int, words: str
) -> None:
    failing.append(error)
    answer = cj_pipeline("fail")
    assert (answer.code, words in answer.err) == (code, True), answer.err
    assert "Traceback" not in answer.err


def test_a_traceback_is_shown_on_request(
    cj_pipeline: Terminal, failing: list[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing.append(KeyError("x"))
    assert "Traceback" in cj_pipeline("--debug", "fail").err
    monkeypatch.setenv("CJ_PIPELINE_DEBUG", "1")
    assert "Traceback" in cj_pipeline("fail").err


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TRACES / LOWER5, tmp_path / "traces" / LOWER5))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("title: ENG5", 'title: "\\uD800" # ', r"scenario\.yaml:4: "),
        ("2025-12-02T00:17:14Z", "9999-12-31T23:59:59Z", r"scenario\.yaml:\d+: batch\.started_at: .*less than 2200"),
        ("mode: eng5_lower5_gpt51_low", 'mode: "a\\0.yaml"', r"scenario\.yaml:6: the character U\+0000"),
        ("mode: eng5_lower5_gpt51_low", f"mode: {'a' * 5000}.yaml", r"scenario\.yaml:6: mode: .*at most 1000"),
        ("mode: eng5_lower5_gpt51_low", f"mode: {'a' * 300}.yaml", r"File name too long"),
        ("seed: 42", "seed: !!bool maybe", r"scenario\.yaml:\d+: not YAML: 'maybe' is not of the type bool"),
    ],
)
def test_what_cannot_run_does_not_pass_as_intact(
    cj_pipeline: Terminal, copied: Path, old: str, new: str, words: str
) -> None:
    file = copied / "scenario.yaml"
    file.write_text(file.read_text().replace(old, new, 1))
    for command in (("traces", "validate"), ("parity",)):
        answer = cj_pipeline(*command, copied)
        assert answer.code == 2
        assert re.search(words, answer.err), answer.err


def test_checksums_that_are_no_text_are_named(cj_pipeline: Terminal, copied: Path) -> None:
    (copied / "SHA256SUMS").write_bytes(b"\xff\xfe" * 50)
    answer = cj_pipeline("traces", "validate", copied)
    assert (answer.code, "SHA256SUMS: is not text." in answer.err) == (2, True)


@pytest.mark.parametrize("command", [("replay",), ("parity",), ("materialize",), ("traces", "validate")])
@pytest.mark.parametrize("name", ["a" * 300, "/dev/null/x", "../traces", "no\tsuch"])
def test_a_name_that_is_no_scenario_is_a_sentence(cj_pipeline: Terminal, command: tuple[str, ...], name: str) -> None:
    answer = cj_pipeline(*command, name)
    assert (answer.code, "Traceback" in answer.err) == (2, False)
    assert f"Known: {'cj_lps'}" in answer.err or "no such file" in answer.err


def test_an_empty_essay_id_is_named_by_line_and_field(cj_pipeline: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "callbacks.jsonl"
    lines = (TRACES / LOWER5 / "llm_callbacks.jsonl").read_text().splitlines()
    path.write_text(re.sub(r'("essay_a_id": ?)"[^"]*"', r'\1""', lines[0]) + "\n")
    for command in (("traces", "summarise", path), ("parity", path, path)):
        answer = cj_pipeline(*command)
        assert answer.code == 2
        assert "callbacks.jsonl:1: data.request_metadata.essay_a_id: " in answer.err


def test_one_bad_folder_does_not_hide_the_others(
    cj_pipeline: Terminal, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = shutil.copytree(copied, copied.parent / "bad")
    (bad / "scenario.yaml").write_text("a: &a [*a]\n")
    monkeypatch.setenv("CJ_PIPELINE_TRACES_DIR", str(copied.parent))
    answer = cj_pipeline("traces", "list", "--json")
    assert answer.code == 2
    assert [row["scenario_id"] for row in answer.document] == [LOWER5]
    assert "bad/scenario.yaml:1: '*a' is an alias" in answer.err


def test_a_file_that_cannot_be_written_is_a_sentence(cj_pipeline: Terminal, copied: Path) -> None:
    in_the_way = copied / "scenario.yaml"  # a file where a folder would have to be
    answer = cj_pipeline("traces", "redact", copied, in_the_way / "copy")
    assert (answer.code, "Traceback" in answer.err) == (2, False)
    assert str(in_the_way) in answer.err


def test_a_reader_that_has_seen_enough_ends_the_program_in_silence() -> None:
    command = (
        f"{sys.executable} -c 'from cj_pipeline.cli.main import main; main()' --help | true; echo ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(["bash", "-c", command], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.strip() in {"0", "141"}
