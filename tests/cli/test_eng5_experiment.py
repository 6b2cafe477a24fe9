"""This module tests `cj-pipeline eng5 experiment` and `eng5 compare`: what they show, refuse and exit with."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal, printed_rows
from tests.eng5.nets import small_net
from tests.house import REPOSITORY
from tests.runs.recording.local_server import serving

PAID = ("--provider", "openai", "--model", "gpt-4o-mini-2024-07-18", "--judge", "provider")


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return small_net(tmp_path / "net")


def test_two_by_two_is_shown_in_tables_that_fit_80_columns(cj_pipeline: Terminal, net: Path) -> None:
    answer = cj_pipeline("eng5", "experiment", "--effort", "none,low", "--prompt", "003,006", "--net", net, columns=80)
    assert answer.code == 0, answer.err
    assert max(len(line) for line in answer.out.splitlines() if "/results." not in line) <= 80
    assert answer.out.isascii()
    plan = printed_rows(answer.out, "experiment: 4 cells, 24 comparisons to be asked")
    assert [row[:4] for row in plan][:2] == [
        ["1", "effort=none prompt=003 (base)", "6", "0"],
        ["2", "effort=none prompt=006", "6", "0"],
    ]
    cells = printed_rows(answer.out, "experiment: what each cell is like")
    assert [row[:2] for row in cells] == [[str(number), "6 of 6"] for number in range(1, 5)]
    differences = printed_rows(answer.out, "effort=low prompt=006, against effort=none prompt=003")
    assert len(differences) == 10
    assert "nothing is spent" in answer.out
    again = cj_pipeline("eng5", "experiment", "--effort", "none,low", "--prompt", "003,006", "--net", net)
    assert "0 comparisons to be asked" in again.out
    assert "asking" not in again.err


def test_json_and_csv_are_the_files(cj_pipeline: Terminal, net: Path) -> None:
    common = ("eng5", "experiment", "--effort", "none,low", "--net", net)
    document = cj_pipeline(*common, "--json").document
    assert [row["label"] for row in document["cells"]] == ["effort=none", "effort=low"]
    assert {Path(path).name for path in document["files"]} == {"results.csv", "results.md", "results.json"}
    rows = list(csv.DictReader(io.StringIO(cj_pipeline(*common, "--csv").out)))
    assert [row["effort"] for row in rows] == ["none", "low"]
    assert (Path(document["files"][0]).parent / "results.csv").read_text() == cj_pipeline(*common, "--csv").out


def test_a_dry_run_writes_nothing(cj_pipeline: Terminal, net: Path, tmp_path: Path) -> None:
    common = ("eng5", "experiment", "--effort", "none,low", "--net", net, "--dry-run")
    shown = cj_pipeline(*common)
    assert (shown.code, "2 cells, 12 comparisons" in shown.out) == (0, True)
    document = cj_pipeline(*common, "--json").document
    assert [cell["comparisons"] for cell in document["cells"]] == [6, 6]
    assert not (tmp_path / "data").exists()


def test_two_configurations_are_compared_with_their_counters(cj_pipeline: Terminal, net: Path) -> None:
    answer = cj_pipeline(
        "eng5", "compare", "batching=per_request,mock-mode=default", "batching=serial_bundle,mock-mode=default",
        "--net", net, "--both-orders",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    took = printed_rows(answer.out, "What the asking took")
    assert took[0][5] == "one by one"
    assert took[1][5].endswith(" of 2.0")
    assert "batching=serial_bundle, against batching=per_request" in answer.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("experiment",), "Give a GRID, or values such as --effort none,low"),
        (("experiment", "--effort", "lo"), "eng5 experiment: --effort: Input should be"),
        (("experiment", "nowhere.yaml"), "nowhere.yaml: no such file"),
        (("experiment", "nowhere.yaml", "--effort", "low"), "--effort goes without GRID"),
        (("experiment", "--effort", "low", "--base", "effort"), "--base: 'effort' is no KEY=VALUE"),
        (("experiment", "--effort", "low,none", "--base", "effort=high"), "--base: no cell has effort=high"),
        (("experiment", "--effort", "low", "--net", "nowhere"), "nowhere: no such folder"),
        (("experiment", "--effort", "low", "--max-usd", "1"), "--max-usd: goes with a judge that costs money"),
        (("experiment", "--temperature", "1.0,1"), "--temperature: '1.0' is given twice"),
        (("compare", "effort=low", "efort=none"), "eng5 compare: B.efort: Extra inputs"),
        (("compare", "effort=low", "effort=lo"), "eng5 compare: B.effort: Input should be"),
        (("compare", "effort=low", "effort=low"), "cells 1 and 2 have one name"),
        (("compare", "effort=low,effort=none", "effort=low"), "A: 'effort' is given twice"),
        (("compare", "prompt=099", "prompt=003"), "eng5 compare: A.prompt:"),
        (("experiment", *PAID), "OPENAI_API_KEY: no key is set"),
        (("experiment", *PAID, "--base-url", "http://127.0.0.1:9/v1"), "give --max-usd, or --yes"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_exit_code_2(
    cj_pipeline: Terminal, tmp_path: Path, arguments: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    answer = cj_pipeline("eng5", *arguments)
    assert (answer.code, words in answer.err) == (2, True), answer.err
    assert not (tmp_path / "data").exists()


def test_options_change_a_grid_of_a_file(cj_pipeline: Terminal, net: Path, tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text("name: tried\nnet: net\naxes:\n  effort: [none, low]\n")
    grid = ("eng5", "experiment", tmp_path / "grid.yaml", "--dry-run", "--json")
    assert cj_pipeline(*grid).document["base"] == "effort-none"
    changed = cj_pipeline(*grid, "--base", "effort=low", "--name", "other", "--comparisons", "4").document
    assert (changed["base"], changed["experiment"]) == ("effort-low", "other")
    assert [cell["comparisons"] for cell in changed["cells"]] == [4, 4]


def test_a_judge_that_is_away_exits_with_3_and_says_so(cj_pipeline: Terminal, net: Path) -> None:
    answer = cj_pipeline("eng5", "experiment", *PAID, "--base-url", "http://127.0.0.1:9/v1", "--yes", "--net", net)
    assert answer.code == 3
    assert "is unfinished: the judge was away: nobody answers at the judge's address" in answer.err
    assert "Not asked yet" in answer.out


def test_a_spent_limit_exits_with_3_and_a_higher_one_goes_on(cj_pipeline: Terminal, net: Path) -> None:
    with serving() as server:
        paid = ("eng5", "experiment", *PAID, "--base-url", server.url, "--max-tokens", "100", "--net", net)
        plan = cj_pipeline(*paid, "--dry-run", "--json", "--max-usd", "1").document
        # A call sets aside a token for each byte, five times as much as it costs.
        limit = 5 * plan["cells"][0]["most_usd_of_the_rest"] / 6
        short = cj_pipeline(*paid, "--max-usd", f"{limit:.9f}")
        assert (short.code, "the spend limit was reached" in short.err) == (3, True), short.err
        assert 0 < len(server.prompts) < 6
        assert "Asked in part" in short.out
        more = cj_pipeline(*paid, "--max-usd", "1")
        assert (more.code, set(server.asked.values())) == (0, {1})
        assert "are gone" in more.out


def test_ctrl_c_keeps_what_was_answered(net: Path, tmp_path: Path) -> None:
    with serving() as server:
        server.hangs_at = 4
        command = [sys.executable, "-c", "from cj_pipeline.cli.main import main; main()", "eng5", "experiment", *PAID]
        options = ["--base-url", server.url, "--temperature", "0,1", "--max-usd", "1", "--net", str(net)]
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "CJ_PIPELINE_DATA_DIR": str(tmp_path / "data")}
        with subprocess.Popen([*command, *options], env=environment, stderr=subprocess.PIPE, text=True) as process:
            assert server.hanging.wait(120)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            told = ""
            while "waiting for what is in flight" not in told:
                told += process.stderr.readline()
            server.release.set()
            _, rest = process.communicate(timeout=120)
        assert process.returncode == 3, told + rest
        assert len(server.prompts) == 4
        done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert len(server.prompts) == 12
    assert set(server.asked.values()) == {2}
