"""This module tests `traces import --into`: a further recording, whole or not at all, comparable with the others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cj_pipeline.traces.provenance import CHECKSUM_FILE, listed_digests, verify_checksums
from cj_pipeline.traces.store import read_trace, trace_recordings
from tests.cli.terminal import Terminal, terminal_of
from tests.house import REPOSITORY
from tests.recordings import Event, asked_again
from tests.traces.folders import LOWER5, checksum_lines, copy_of


@pytest.fixture
def cj_pipeline(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Terminal:
    (tmp_path / "traces").mkdir()
    copy_of(LOWER5, tmp_path / "traces")
    monkeypatch.setenv("CJ_PIPELINE_TRACES_DIR", str(tmp_path / "traces"))
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("CJ_PIPELINE_REDACTION_KEY_FILE", raising=False)
    return terminal_of(monkeypatch, capsys)


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_recording_is_added_and_nothing_else_changes(cj_pipeline: Terminal, tmp_path: Path) -> None:
    folder = tmp_path / "traces" / LOWER5
    before = everything(folder)
    again = asked_again(tmp_path / "again.jsonl")
    answer = cj_pipeline("traces", "import", "--into", LOWER5, "--from-folder", again, "--no-redact")
    assert answer.code == 0, answer.err
    assert f"Next: cj-pipeline parity {folder} --between" in answer.out
    main, second = read_trace(folder).recordings
    assert (main.name, second.name) == ("main", "recording_2")
    assert second.provenance.scenario_id == LOWER5
    assert everything(folder).items() > before.items()
    third = asked_again(tmp_path / "third.jsonl", seed=8)
    named = cj_pipeline(
        "traces", "import", "--into", LOWER5, "--recording", "may", "--from-folder", third, "--no-redact"
    )
    assert named.code == 0, named.err
    assert [one.name for one in read_trace(folder).recordings] == ["main", "may", "recording_2"]
    assert cj_pipeline("traces", "list", "--json").document[0]["recordings"] == 3
    assert cj_pipeline("traces", "validate").code == 0


def test_another_judge_is_warned_of(cj_pipeline: Terminal, tmp_path: Path) -> None:
    def of_another(event: Event) -> None:
        event["data"].update(provider="google", model="gemini-pro")

    for change, warnings in ((of_another, 1), (lambda event: None, 0)):
        again = asked_again(tmp_path / f"{warnings}.jsonl", change, seed=7 + warnings)
        added = cj_pipeline("traces", "import", "--into", LOWER5, "--from-folder", again, "--no-redact", "--json")
        assert added.code == 0, added.err
        told = [note for note in added.document["notes"] if note.startswith("Warning: ")]
        assert len(told) == warnings
        assert all("of google gemini-pro, and the main recording of openai gpt-5.1" in note for note in told)


def test_what_an_import_put_into_quarantine_is_said_beside_intact(cj_pipeline: Terminal, tmp_path: Path) -> None:
    again = asked_again(tmp_path / "again.jsonl")
    with again.open("a", encoding="utf-8") as file:
        file.write("nonsense\nnonsense\n{}\n")
    added = cj_pipeline("traces", "import", "--into", LOWER5, "--from-folder", again, "--no-redact")
    assert added.code == 3, added.err
    answer = cj_pipeline("traces", "validate")
    assert answer.code == 0
    main, second, said = answer.out.splitlines()
    assert main.startswith(f"{LOWER5}: 10 callbacks, intact")
    assert ", recording recording_2: 10 callbacks, intact" in second
    assert said.startswith(f"{LOWER5}, recording recording_2: quarantined lines of what was imported: 3. The first")
    assert said.count("Invalid JSON: ") == 1
    assert "event_id: Field required" in said
    (document,) = cj_pipeline("traces", "validate", "--json").document
    main, second = document["recordings"]
    assert (main["quarantined"], main["quarantine_reasons"]) == (0, [])
    assert second["quarantined"] == 3
    assert all(reason in said for reason in second["quarantine_reasons"])


def test_a_line_of_quarantine_that_is_none_is_named(cj_pipeline: Terminal, tmp_path: Path) -> None:
    again = asked_again(tmp_path / "again.jsonl")
    with again.open("a", encoding="utf-8") as file:
        file.write("nonsense\n")
    cj_pipeline("traces", "import", "spoilt", "--from-folder", again, "--no-redact", "--like", LOWER5)
    path = tmp_path / "traces/spoilt/quarantine.jsonl"
    path.write_text("[]\n")
    sums = path.with_name(CHECKSUM_FILE)
    sums.write_text(checksum_lines(path.parent, tuple(listed_digests(path.parent))))
    answer = cj_pipeline("traces", "validate", "spoilt")
    assert (answer.code, f"{path}:1: has no reason." in answer.err) == (2, True)


def test_an_added_recording_is_verified_byte_by_byte(cj_pipeline: Terminal, tmp_path: Path) -> None:
    again = asked_again(tmp_path / "again.jsonl")
    assert cj_pipeline("traces", "import", "--into", LOWER5, "--from-folder", again, "--no-redact").code == 0
    added = tmp_path / "traces" / LOWER5 / "recordings" / "recording_2"
    assert "recordings/recording_2/llm_callbacks.jsonl" in verify_checksums(added.parents[1])
    with (added / "llm_callbacks.jsonl").open("a") as file:
        file.write("\n")
    answer = cj_pipeline("traces", "validate")
    assert (answer.code, "recording_2/llm_callbacks.jsonl: sha256 is" in answer.err) == (2, True)


def test_a_captured_trace_is_added_as_it_is(cj_pipeline: Terminal, tmp_path: Path) -> None:
    again = asked_again(tmp_path / "again.jsonl")
    assert cj_pipeline("traces", "import", "captured", "--from-folder", again, "--no-redact").code == 0
    captured = tmp_path / "traces" / "captured"
    answer = cj_pipeline("traces", "import", "--into", LOWER5, "--from-trace", captured)
    assert answer.code == 0, answer.err
    _, (_, second) = trace_recordings(tmp_path / "traces" / LOWER5)
    assert second.path.read_bytes() == (captured / "llm_callbacks.jsonl").read_bytes()
    assert second.provenance.statement == read_trace(captured).provenance.statement


def stranger(event: Event) -> None:
    event["data"]["request_metadata"]["essay_a_id"] = "somebody"


@pytest.mark.parametrize(
    ("what", "arguments", "words"),
    [
        ("same", ("--no-redact",), "has the same callbacks, byte for byte."),
        ("again", (), "is not redacted, and this recording is redacted under the key"),
        ("stranger", ("--no-redact",), "does not know 1 of the"),
        ("again", ("--no-redact", "--recording", "main"), "--recording: is there already."),
        ("again", ("--no-redact", "--recording", "Main"), "differs from 'main' in capitals alone."),
        (
            "again",
            ("--no-redact", "--recording", "../up"),
            "--recording: '../up' is not a recording's name: it has '/'.",
        ),
        ("again", ("--no-redact", "--mode", "default"), "--mode is about a new scenario"),
        ("again", ("--no-redact", "--from-trace", "x"), "--from-trace takes a recording as it is"),
    ],
)
def test_what_cannot_be_compared_is_refused_and_leaves_nothing(
    what: str, arguments: tuple[str, ...], words: str, cj_pipeline: Terminal, tmp_path: Path
) -> None:
    folder = tmp_path / "traces" / LOWER5
    sources = {
        "same": folder / "llm_callbacks.jsonl",
        "again": asked_again(tmp_path / "again.jsonl"),
        "stranger": asked_again(tmp_path / "stranger.jsonl", stranger),
    }
    if what == "same":  # a trace's own folder is refused by its provenance
        sources["same"] = tmp_path / "same.jsonl"
        sources["same"].write_bytes((folder / "llm_callbacks.jsonl").read_bytes())
    before = sorted(folder.rglob("*"))
    answer = cj_pipeline("traces", "import", "--into", LOWER5, "--from-folder", sources[what], *arguments)
    assert answer.code == 2
    assert words in answer.err
    assert sorted(folder.rglob("*")) == before


def test_options_of_an_addition_need_into(cj_pipeline: Terminal, tmp_path: Path) -> None:
    for arguments in ((), ("new", "--into", LOWER5), ("new", "--recording", "b"), ("new", "--from-trace", tmp_path)):
        assert cj_pipeline("traces", "import", *arguments).code == 2


KILLED = """
import os, signal, sys
from pathlib import Path
from cj_pipeline.traces.further_recording import place_for_recording
from cj_pipeline.traces.provenance import read_provenance

folder, lines, die_at = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes().splitlines(), int(sys.argv[3])
calls = 0
def counted(real):
    def call(*arguments):
        global calls
        calls += 1
        if calls == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments)
    return call
os.fsync, Path.rename = counted(os.fsync), counted(Path.rename)
provenance = read_provenance(folder)
place_for_recording(folder).add(lines, lambda _: provenance)
print(calls)
"""


def test_killed_between_any_two_steps_the_folder_has_the_old_recordings_or_the_new_one_whole(tmp_path: Path) -> None:
    again = asked_again(tmp_path / "again.jsonl")

    def add(root: Path, die_at: int) -> tuple[int, str]:
        root.mkdir()
        folder = copy_of(LOWER5, root)
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(folder), str(again), str(die_at)],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout

    code, calls = add(tmp_path / "whole", 0)
    assert code == 0
    found = []
    for die_at in range(1, int(calls) + 1):
        assert add(tmp_path / str(die_at), die_at)[0] == -signal.SIGKILL
        _, recordings = trace_recordings(tmp_path / str(die_at) / LOWER5)  # verified byte by byte
        found.append(len(recordings))
    # The rename is the last step but two: the folder that it is in, and the scenario's, are written to the disk.
    assert found == [1] * (int(calls) - 2) + [2, 2]
