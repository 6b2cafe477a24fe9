"""What the terminal shows is readable at 80 columns, in ASCII, in a pipe; and data is shown as it is."""

from __future__ import annotations

import csv
import os
import pty
import shutil
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import pytest

from cj_pipeline.cli.output import progress_bar
from cj_pipeline.cli.text_table import shown_width, table_lines
from cj_pipeline.warehouse.store import Warehouse
from tests.cli.terminal import Terminal, printed_rows
from tests.house import REPOSITORY
from tests.sides import ANCHORS, LOWER5, SCENARIOS, TRACES

PROGRAM = (sys.executable, "-c", "from cj_pipeline.cli.main import main; main()")


def in_a_terminal(*arguments: str, environment: dict[str, str]) -> str:
    """What a terminal of 80 columns shows."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65_536)
        except OSError:  # the other side is closed
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    process.wait()
    return shown.decode().replace("\r\n", "\n")


def without_colours(text: str) -> str:
    for code in ("\x1b[0m", "\x1b[1m", "\x1b[32m", "\x1b[31m", "\x1b[33m"):
        text = text.replace(code, "")
    return text


def test_a_terminal_of_80_columns_shows_every_verdict_in_ascii() -> None:
    out = in_a_terminal("parity", ANCHORS, environment={"COLUMNS": "80", "CJ_PIPELINE_TRACES_DIR": str(TRACES)})
    plain = without_colours(out)
    assert_ascii_in_80_columns(plain)
    assert any(line.startswith("PARITY: ") for line in plain.splitlines()[:3])
    rows = printed_rows(plain, "Checks")
    assert {row[1] for row in rows} == {"pass", ""}
    assert next(row for row in rows if row[0] == "latency_mean")[4] == "EQUIVALENT"


@pytest.mark.parametrize("command", [("parity", LOWER5), ("replay", LOWER5), ("traces", "list"), ("lps", "modes")])
def test_other_commands_fit_80_columns_of_ascii(cj_pipeline: Terminal, command: tuple[str, ...]) -> None:
    assert_ascii_in_80_columns(cj_pipeline(*command, columns=80).out)


def assert_ascii_in_80_columns(text: str) -> None:
    assert "\x1b" not in text
    assert text.isascii()
    assert max(len(line) for line in text.splitlines()) <= 80


def test_a_pipe_gets_no_boxes_no_colours_and_80_columns() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    done = subprocess.run(
        [*PROGRAM, "parity", LOWER5], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.isascii()
    assert "\x1b" not in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80


@pytest.mark.parametrize(
    ("command", "columns"),
    [
        (("traces", "list"), ["scenario_id", "profile", "mode"]),
        (("replay", LOWER5), ["rank", "essay", "grade"]),
        (("parity", LOWER5), ["scenario_id", "check"]),
        (("lps", "modes"), ["kind", "name", "description"]),
        (("doctor",), ["what", "state", "detail"]),
    ],
)
def test_every_table_is_had_as_csv(cj_pipeline: Terminal, command: tuple[str, ...], columns: list[str]) -> None:
    rows = list(csv.reader(StringIO(cj_pipeline(*command, "--csv").out)))
    assert rows[0][: len(columns)] == columns
    assert {len(row) for row in rows} == {len(rows[0])}
    if command == ("traces", "list"):
        listed = [row[0] for row in rows[1:]]  # and a user's own
        assert listed == sorted(listed)
        assert set(SCENARIOS) <= set(listed)


@pytest.mark.parametrize(
    ("query", "heading", "cell"),
    [
        ("select 'root:x:0:0' as line", "line", "root:x:0:0"),
        ("select 'student:x:1' as who", "who", "student:x:1"),
        ("select '[red]Anna[/red]' as name", "name", "[red]Anna[/red]"),
        ("select 'x' as \"[/]\"", "[/]", "x"),
        ("select chr(27) || '[31m red' as escape", "escape", r"\x1b[31m red"),
    ],
)
def test_a_table_shows_the_characters_that_it_holds(
    cj_pipeline: Terminal, tmp_path: Path, query: str, heading: str, cell: str
) -> None:
    Warehouse(tmp_path / "data").rebuild_catalogue()
    answer = cj_pipeline("sql", query)
    assert answer.code == 0
    assert answer.out.splitlines()[1].strip() == heading
    assert printed_rows(answer.out, "1 row") == [[cell]]


@pytest.mark.parametrize("text", ["[/red]", "a :x: b :b: c", "[/]", r"\e[31m"])
def test_titles_and_labels_are_no_markup(cj_pipeline: Terminal, tmp_path: Path, text: str) -> None:
    folder = Path(shutil.copytree(TRACES / LOWER5, tmp_path / LOWER5))
    scenario = (folder / "scenario.yaml").read_text()
    scenario = scenario.replace("title: ENG5", f'title: "{text}" # ').replace("label: vt_005_D-", f'label: "{text}"')
    (folder / "scenario.yaml").write_text(scenario)
    shown = text.replace(r"\e", r"\x1b")
    for command in ("replay", "parity"):
        answer = cj_pipeline(command, folder)
        assert answer.code == 0, answer.err
        assert answer.out.startswith(shown)
        assert "\x1b" not in answer.out
    assert printed_rows(cj_pipeline("replay", folder).out, shown)[0][1] == shown


def test_what_has_no_room_side_by_side_is_a_block_a_row() -> None:
    lines = table_lines([f"column_{number}" for number in range(12)], [list(range(12))], 80)
    assert lines[0].startswith("-- 1 ")
    assert "column_11  11" in lines


def test_wide_characters_take_two_columns() -> None:
    lines = table_lines(["name", "n"], [["李", 1], ["ab", 2]], 80)
    assert {shown_width(line) for line in lines} == {7}


def test_numbers_that_json_has_not_are_null(cj_pipeline: Terminal, tmp_path: Path) -> None:
    Warehouse(tmp_path / "data").rebuild_catalogue()
    assert cj_pipeline("sql", "select 'nan'::double as x, 'inf'::double as y", "--json").document == [
        {"x": None, "y": None}
    ]
    assert "Two columns are called 'x'" in cj_pipeline("sql", "select 1 as x, 2 as x", "--json").err


def test_without_a_terminal_a_long_run_says_now_and_then_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cj_pipeline.cli.output.LINE_EVERY_S", 0.01)
    said, deadline = "", time.monotonic() + 60
    with progress_bar("materialising", 8) as progress:
        for expected in ("0 of 8", "3 of 8", "8 of 8"):
            while f"materialising: {expected}\n" not in said:
                assert time.monotonic() < deadline
                said += capsys.readouterr().err
            progress({"0 of 8": 3, "3 of 8": 5}.get(expected, 0))
    assert set(said.splitlines()) == {f"materialising: {done} of 8" for done in (0, 3, 8)}
    capsys.readouterr()
    time.sleep(0.05)
    assert capsys.readouterr().err == ""
