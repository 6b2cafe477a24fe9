"""This module tests `cj-pipeline record` against an OpenAI-compatible server on loopback, kill -9 included."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal
from tests.house import REPOSITORY
from tests.runs.recording.fake_judge import TEXTS
from tests.runs.recording.local_server import Server, serving

ASKED = 10  # pairs of five essays


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as served:
        yield served


@pytest.fixture
def essays(tmp_path: Path) -> Path:
    folder = tmp_path / "essays"
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / f"{name}.txt").write_text(text)
    (tmp_path / "grades.csv").write_text("essay_id,grade\ne1,E\ne2,D\ne3,C\ne4,B\ne5,A\n")
    return folder


def arguments(essays: Path, server: Server, *more: str) -> list[str]:
    folder = essays.parent
    return [
        *("record", "tried", "--essays", str(essays), "--grades", str(folder / "grades.csv"), "--model", "tiny"),
        *("--base-url", server.url, "--output-dir", str(folder / "traces"), *more),
    ]


def test_it_shows_plan_judge_and_parity_of_the_runs(cj_pipeline: Terminal, essays: Path, server: Server) -> None:
    shown = cj_pipeline(*arguments(essays, server), columns=80)
    assert shown.code == 0, shown.err
    for words in ("2 x 10 (every pair once)", "20 of 20 (1.00)", "prefers the better grade       20 of 20 (1.00)"):
        assert words in shown.out
    assert "says the same again            10 of 10 (1.00)" in shown.out
    assert "Run 2, held against run 1" in shown.out
    assert "PARITY" in shown.out or "CANNOT TELL" in shown.out
    assert max(len(line) for line in shown.out.splitlines() if str(essays.parent) not in line) <= 80
    assert set(server.asked.values()) == {2}
    again = cj_pipeline(*arguments(essays, server))
    assert again.code == 0
    assert len(server.prompts) == 2 * ASKED
    assert "what the judge is like" in again.out


def test_a_killed_recording_goes_on_and_asks_again_what_was_in_flight_alone(
    cj_pipeline: Terminal, essays: Path, server: Server, tmp_path: Path
) -> None:
    server.hangs_at = 8
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "CJ_PIPELINE_DATA_DIR": str(tmp_path / "data")}
    code = "from cj_pipeline.cli.main import main; main()"
    with subprocess.Popen([sys.executable, "-c", code, *arguments(essays, server)], env=environment) as process:
        assert server.hanging.wait(60)
        process.send_signal(signal.SIGKILL)
    server.release.set()
    shown = cj_pipeline(*arguments(essays, server, "--json"))
    assert shown.code == 0, shown.err
    assert "answered already: 7" in shown.err
    killed = server.prompts[7]
    assert server.asked[killed] == 3
    assert {count for prompt, count in server.asked.items() if prompt != killed} == {2}
    recorded = [one["recorded"] for one in shown.document["recordings"]]
    assert [one["asked_again"] for one in recorded] == [1, 0]
    assert [one["provider_calls"] for one in recorded] == [ASKED + 1, ASKED]


def test_a_dry_run_asks_nothing_and_leaves_nothing(cj_pipeline: Terminal, essays: Path, server: Server) -> None:
    shown = cj_pipeline(*arguments(essays, server, "--dry-run", "--price-per-million", "3", "15"))
    assert shown.code == 0
    assert "USD" in shown.out
    assert server.prompts == []
    assert not (essays.parent / "traces").exists()
    assert not list(essays.parent.rglob("redaction.key"))
    assert cj_pipeline(*arguments(essays, server)).code == 0
    assert list(essays.parent.rglob("redaction.key"))


def test_a_dry_run_forgets_no_recording(cj_pipeline: Terminal, essays: Path, server: Server) -> None:
    priced = ("--price-per-million", "1000000", "1000000", "--max-tokens", "100", "--budget-usd", "4500")
    assert cj_pipeline(*arguments(essays, server, *priced)).code == 3
    shown = cj_pipeline(*arguments(essays, server, *priced, "--restart", "--dry-run"))
    assert shown.code == 0, shown.err
    assert (essays.parent / "traces" / ".tried.recording").is_dir()


def test_a_limit_ends_the_recording_with_3_and_a_higher_one_goes_on(
    cj_pipeline: Terminal, essays: Path, server: Server
) -> None:
    priced = ("--price-per-million", "1000000", "1000000", "--max-tokens", "100")
    stopped = cj_pipeline(*arguments(essays, server, *priced, "--budget-usd", "4500"))
    assert stopped.code == 3
    assert "spend limit of 4500 USD" in stopped.err
    asked = len(server.prompts)
    assert 0 < asked < 2 * ASKED
    done = cj_pipeline(*arguments(essays, server, *priced, "--budget-usd", "100000"))
    assert done.code == 0, done.err
    assert set(server.asked.values()) == {2}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("--prompt", "plan.v1"), "Did you mean 'plain.v1'?"),
        (("--comparisons", "11"), "more than the 10 pairs"),
        (("--comparisons", "3"), "cannot connect 5 essays"),
        (("--runs", "0"), "not between 1 and 20"),
        (("--base-url", "localhost:11434"), "no URL"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_asked(
    cj_pipeline: Terminal, essays: Path, server: Server, change: tuple[str, ...], sentence: str
) -> None:
    refused = cj_pipeline(*arguments(essays, server, *change))
    assert refused.code == 2
    assert sentence in refused.err
    assert server.prompts == []


@pytest.mark.parametrize("name", ["../outside", "a/b", "..", "Upper", "con", "l\u043ewer", "a\n"])
def test_a_name_stays_within_the_folder_of_traces(
    cj_pipeline: Terminal, essays: Path, server: Server, name: str
) -> None:
    outside = essays.parent / ".outside.recording"
    outside.mkdir()
    _, _, *options = arguments(essays, server)
    refused = cj_pipeline("record", name, *options, "--restart")
    assert refused.code == 2
    assert "is not a scenario's name" in refused.err
    assert outside.is_dir()
    assert server.prompts == []


def test_a_limit_needs_a_price(
    cj_pipeline: Terminal, essays: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    elsewhere = ("--base-url", "http://judge.invalid/v1", "--budget-usd", "1", "--dry-run")
    refused = cj_pipeline(*arguments(essays, server, *elsewhere))
    assert refused.code == 2
    assert "no limit could hold" in refused.err


def test_money_is_not_spent_without_a_limit_unless_somebody_agrees(
    cj_pipeline: Terminal, essays: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    refused = cj_pipeline(*arguments(essays, server, "--base-url", "http://judge.invalid/v1"))
    assert refused.code == 2
    assert "give --budget-usd, or --yes" in refused.err


def test_a_limit_that_allows_no_call_is_refused_before_anything_is_asked(
    cj_pipeline: Terminal, essays: Path, server: Server
) -> None:
    priced = ("--price-per-million", "1000000", "1000000", "--max-tokens", "100")
    refused = cj_pipeline(*arguments(essays, server, *priced, "--budget-usd", "2000"))
    assert refused.code == 2
    assert "2000 USD do not allow one call" in refused.err
    assert server.prompts == []


def test_more_is_added_to_a_recording_that_is_there(cj_pipeline: Terminal, essays: Path, server: Server) -> None:
    assert cj_pipeline(*arguments(essays, server, "--temperature", "0.2")).code == 0
    trace = essays.parent / "traces" / "tried"
    more = ("record", str(trace), "--more", "4", "--essays", str(essays), "--base-url", server.url)
    shown = cj_pipeline(*more)
    assert shown.code == 0, shown.err
    assert "1 x 4 (those asked least often before)" in shown.out
    assert "Run 3, held against run 1" in shown.out
    assert len(server.prompts) == 2 * ASKED + 4
    assert cj_pipeline("parity", str(trace)).code in (0, 3)
    refused = cj_pipeline(*more, "--temperature", "0.5")
    assert (refused.code, len(server.prompts)) == (2, 2 * ASKED + 4)
    assert "is a recording with another temperature: 0.2 and not 0.5." in refused.err
    assert "Give --essays, the folder of the texts that were judged" in cj_pipeline(*more[:4]).err
    again = cj_pipeline(*arguments(essays, server, "--temperature", "0.2", "--runs", "3"))
    assert again.code == 0, again.err
    assert len(server.prompts) == 3 * ASKED + 4


def test_grades_without_an_essay_are_named(cj_pipeline: Terminal, essays: Path, server: Server) -> None:
    with (essays.parent / "grades.csv").open("a") as file:
        file.write("e6,A\nx7,B\n")
    shown = cj_pipeline(*arguments(essays, server, "--dry-run"))
    assert shown.code == 0
    assert "has grades of e6, x7, and no essay is called so." in " ".join(shown.err.split())


def test_grades_of_other_essays_are_refused(cj_pipeline: Terminal, essays: Path, server: Server) -> None:
    (essays.parent / "grades.csv").write_text("essay_id,grade\nx1,E\nx2,D\n")
    refused = cj_pipeline(*arguments(essays, server))
    assert refused.code == 2
    assert "grades none of the essays. Name them by their files: e1." in refused.err
