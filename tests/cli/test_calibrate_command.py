"""`cj-pipeline calibrate`: from recordings to a mode file, with what it foretells."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.judge_files import JudgeKind, write
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.runs.calibration import write_calibrated
from cj_pipeline.traces.provenance import file_sha256
from tests.cli.terminal import Terminal, printed_rows
from tests.sides import ANCHORS

KIND = JudgeKind(spread=3.0, position=0.0)


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    first, second = (write(tmp_path / f"run{run}.jsonl", KIND, 1, run) for run in (1, 2))
    return first, second


def test_a_mode_says_what_it_was_fitted_to_and_measured_on(
    cj_pipeline: Terminal, runs: tuple[Path, Path], tmp_path: Path
) -> None:
    file = tmp_path / "mode.yaml"
    answer = cj_pipeline("calibrate", runs[0], "--holdout", runs[1], "-o", file)
    assert answer.code == 0, answer.out
    mode = load_mode(str(file))
    assert (mode.name, mode.version) == ("run1", 1)
    assert mode.fitted_from is not None
    assert mode.held_out is not None
    assert mode.fitted_from.trace_sha256 == file_sha256(runs[0])
    assert mode.held_out.recordings == (file_sha256(runs[1]),)
    rows = printed_rows(answer.out, "Held out: recording (66 answers)")
    assert {row[1] for row in rows if row[1]} == {"pass"}
    origins = printed_rows(answer.out, "Where the numbers come from")
    assert {row[0] for row in origins if row[0]} == set(mode.origins)


def test_the_next_command_runs_and_says_parity_or_cannot_tell(
    cj_pipeline: Terminal, runs: tuple[Path, Path], tmp_path: Path
) -> None:
    file = tmp_path / "mode.yaml"
    said = cj_pipeline("calibrate", runs[0], "--holdout", runs[1], "-o", file).out
    command = " ".join(said[said.index("Next: cj-pipeline ") :].split()[2:])
    assert command.startswith(f"parity {runs[1]} --mode ")
    assert cj_pipeline(*command.split()).code in (0, 3)


def test_without_an_output_nothing_is_written(cj_pipeline: Terminal, runs: tuple[Path, Path], tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    answer = cj_pipeline("calibrate", runs[0], "--json")
    assert answer.code == 0
    assert sorted(tmp_path.iterdir()) == before
    assert answer.document["held_out"]["by"] == "parts of the recording in turn"
    assert {row["name"] for row in answer.document["checks"]} >= {"winners_coin", "latency", "error_rate"}


def test_a_scenario_is_named_by_its_id(cj_pipeline: Terminal) -> None:
    answer = cj_pipeline("calibrate", ANCHORS, "--json")
    assert answer.document["mode"] == ANCHORS
    assert "did not hold it" in answer.document["origins"]["confidence"]


def test_a_second_calibration_is_the_next_version(
    cj_pipeline: Terminal, runs: tuple[Path, Path], tmp_path: Path
) -> None:
    file = tmp_path / "mode.yaml"
    for source, version in ((runs[0], 1), (runs[0], 1), (runs[1], 2), (runs[0], 3)):
        cj_pipeline("calibrate", source, "--name", "judge", "-o", file)
        assert load_mode(str(file)).version == version


def test_a_file_that_is_no_mode_stays(cj_pipeline: Terminal, runs: tuple[Path, Path], tmp_path: Path) -> None:
    file = tmp_path / "notes.yaml"
    file.write_text("mine: true\n")
    answer = cj_pipeline("calibrate", runs[0], "-o", file)
    assert answer.code == 2
    assert "is there already, and is no mode" in answer.err
    assert file.read_text() == "mine: true\n"


def test_another_judge_held_out_exits_with_1(cj_pipeline: Terminal, runs: tuple[Path, Path], tmp_path: Path) -> None:
    other = write(tmp_path / "other.jsonl", JudgeKind(spread=3.0, sigma=0.9), 5, 1)
    file = tmp_path / "mode.yaml"
    answer = cj_pipeline("calibrate", runs[0], "--holdout", other, "-o", file)
    assert answer.code == 1
    assert file.is_file()


def test_what_is_fitted_to_is_not_held_out(cj_pipeline: Terminal, runs: tuple[Path, Path]) -> None:
    answer = cj_pipeline("calibrate", runs[0], "--holdout", runs[0])
    assert answer.code == 2
    assert "it holds nothing out" in answer.err


def test_errors_alone_are_no_judge(cj_pipeline: Terminal, tmp_path: Path) -> None:
    errors = write(tmp_path / "errors.jsonl", JudgeKind(error_rate=1.0), 1, 1)
    answer = cj_pipeline("calibrate", errors)
    assert answer.code == 2
    assert "no callback here has a winner" in answer.err


def test_one_prompt_cannot_tell(cj_pipeline: Terminal, tmp_path: Path) -> None:
    alone = write(tmp_path / "alone.jsonl", JudgeKind(essays=2, calls=1), 1, 1)
    answer = cj_pipeline("calibrate", alone)
    assert answer.code == 3
    assert "Too little could be held out" in answer.out


@pytest.mark.parametrize("calls", [1, 7])
def test_a_few_held_out_answers_cannot_tell(
    cj_pipeline: Terminal, runs: tuple[Path, Path], tmp_path: Path, calls: int
) -> None:
    few = write(tmp_path / "few.jsonl", JudgeKind(spread=3.0, position=0.0, calls=calls), 1, 2)
    answer = cj_pipeline("calibrate", runs[0], "--holdout", few, "--json")
    assert answer.code == 3
    assert answer.document["checks"] == []
    assert "it takes 8 answers" in answer.document["reason"]


def test_writing_the_same_mode_again_changes_nothing(tmp_path: Path) -> None:
    mode, file = load_mode("default"), tmp_path / "mode.yaml"
    assert [write_calibrated(mode, file).version for _ in range(2)] == [1, 1]
