"""`cj-pipeline materialize` and `sql`: the graph in this process, and asking what it left behind."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from cj_pipeline.cli.scenario_names import scenario_folder
from cj_pipeline.definitions import materialise
from cj_pipeline.mock.mode.files import MODES_FOLDER
from cj_pipeline.traces.provenance import CHECKSUM_FILE
from tests.cli.terminal import Terminal, printed_rows
from tests.sides import LOWER5, TRACES
from tests.traces.folders import checksum_lines


@pytest.fixture
def traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cj_pipeline: Terminal) -> Path:
    """A folder of traces with LOWER5 alone, which a test may damage."""
    folder = tmp_path / "traces"
    shutil.copytree(TRACES / LOWER5, folder / LOWER5)
    monkeypatch.setenv("CJ_PIPELINE_TRACES_DIR", str(folder))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.parquet")}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which LOWER5 is materialised once for all tests here, which change nothing in it."""
    data = tmp_path_factory.mktemp("kept") / "data"
    (result,) = materialise([LOWER5], data_dir=data, traces_dir=TRACES)
    assert result.success
    return data


def test_one_scenario_fills_every_dataset_and_exits_with_0(cj_pipeline: Terminal, traces: Path) -> None:
    # A folder is a scenario as well as its id.
    answer = cj_pipeline("materialize", f"{traces / LOWER5}/", "--json", "--html", traces.parent / "pages")
    assert answer.code == 0, answer.err
    (stored,) = answer.document
    assert [stored[name] for name in ("scenario", "verdict", "broke_off", "failing")] == [LOWER5, "PARITY", False, []]
    rows = cj_pipeline(
        "sql", "select side, count(*) as n from callbacks group by side order by side", "--json"
    ).document
    assert rows == [{"side": "live", "n": 110}, {"side": "recorded", "n": 10}]
    assert [cj_pipeline("sql", f"from range({n})").out.split("\n")[0].strip() for n in (1, 2)] == ["1 row", "2 rows"]
    best = cj_pipeline("sql", "select label from bt_fit where side = 'recorded' and rank = 1", "--json").document
    assert best == [{"label": "vt_005_D-"}]
    pages = traces.parent / "pages"
    index = (pages / "index.html").read_text(encoding="utf-8")
    assert "1 of 1 scenarios came out as expected." in index
    assert f'href="scenarios/{LOWER5}.html"' in index
    assert "✓</span> PARITY" in (pages / "scenarios" / f"{LOWER5}.html").read_text(encoding="utf-8")


def test_a_wrong_mock_exits_with_1_and_its_checks_are_kept_apart(
    cj_pipeline: Terminal, traces: Path, tmp_path: Path
) -> None:
    answer = cj_pipeline("materialize", "--mode", "+instant", columns=80)
    assert answer.code == 1
    (row,) = printed_rows(answer.out, "Parity")
    assert row[:2] == [LOWER5, "NO PARITY"]
    means = printed_rows(answer.out, "Means (recorded / live)")[0]
    assert means[0] == LOWER5
    assert means[1].startswith("1,588.0 /")
    # Nobody can break a path.
    assert max(len(line) for line in answer.out.splitlines() if "warehouse" not in line) <= 80
    assert f"{LOWER5} failed: latency_mean," in answer.out
    assert f"{LOWER5} was a trial, which is not published" in answer.out
    assert cj_pipeline("sql", "from parity_checks", "--json").document == []
    (part,) = (tmp_path / "data/runs").glob(f"*/{LOWER5}/parity_checks/parity.parquet")
    rows = cj_pipeline(
        "sql",
        'select "check", verdict, difference, low, high, margin_low, noise_high, p, n_recorded, n_live, run_verdict, '  # noqa: S608
        f"expected_verdict from '{part}' where \"check\" = 'latency_mean'",
        "--json",
    ).document
    (latency,) = rows
    assert (latency["verdict"], latency["run_verdict"], latency["expected_verdict"]) == ("fail", "NO PARITY", "PARITY")
    assert latency["difference"] == pytest.approx(-1588, abs=1)  # 0 ms against the published mean
    assert latency["low"] < latency["difference"] < latency["high"]
    assert (latency["n_recorded"], latency["n_live"]) == (10, 110)


def expecting(traces: Path, verdict: str) -> None:
    file = traces / LOWER5 / "scenario.yaml"
    expect = f"expect: {{verdict: {verdict}, reason: for the sake of this test}}\n"
    file.write_text(file.read_text(encoding="utf-8") + expect, encoding="utf-8")


def test_a_verdict_that_is_expected_exits_with_0_and_says_so(cj_pipeline: Terminal, traces: Path) -> None:
    expecting(traces, "NO PARITY")
    answer = cj_pipeline("materialize", "--mode", "+instant")
    assert answer.code == 0, answer.err
    assert "NO PARITY, as expected" in answer.out
    assert "Not as expected" not in answer.out


def test_a_better_verdict_than_the_expected_one_fails_and_both_are_shown(cj_pipeline: Terminal, traces: Path) -> None:
    expecting(traces, "NO PARITY")
    better = cj_pipeline("materialize")
    assert better.code == 1
    assert "PARITY, expected NO PARITY" in better.out


def test_a_folder_is_a_scenario_as_well_as_an_id(traces: Path) -> None:
    for name in (LOWER5, f"{LOWER5}/", f"{traces / LOWER5}", f"{traces / LOWER5}/"):
        assert scenario_folder(name).absolute() == traces / LOWER5


def test_a_mode_file_beside_the_scenario_is_its_mode(cj_pipeline: Terminal, traces: Path) -> None:
    folder = traces / LOWER5
    shutil.copy(MODES_FOLDER / "eng5_lower5_gpt51_low.yaml", folder / "mode.yaml")
    scenario = (folder / "scenario.yaml").read_text()
    (folder / "scenario.yaml").write_text(scenario.replace("mode: eng5_lower5_gpt51_low", "mode: mode.yaml"))
    for command in (("traces", "validate"), ("live",), ("parity",), ("materialize",)):
        answer = cj_pipeline(*command, LOWER5)
        assert answer.code == 0, answer.err
    assert cj_pipeline("parity", folder, "--mode", "+instant").code == 1
    (folder / "scenario.yaml").write_text(scenario.replace("mode: eng5_lower5_gpt51_low", "mode: mode.yaml+instant"))
    assert cj_pipeline("parity", folder).code == 1


def test_a_scenario_that_is_not_there_is_said_before_anything_runs(
    cj_pipeline: Terminal, traces: Path, tmp_path: Path
) -> None:
    answer = cj_pipeline("materialize", LOWER5, "eng5_lower6")
    assert (answer.code, "no scenario 'eng5_lower6'" in answer.err) == (2, True)
    assert not (tmp_path / "data").exists()


def test_an_overlay_that_is_not_there_is_said_before_anything_runs(
    cj_pipeline: Terminal, traces: Path, tmp_path: Path
) -> None:
    answer = cj_pipeline("materialize", "--mode", "+invreted")
    assert (answer.code, "Did you mean 'inverted'?" in answer.err) == (2, True)
    assert not (tmp_path / "data").exists()


def test_an_edited_trace_exits_with_2_and_leaves_what_was_stored(
    cj_pipeline: Terminal, traces: Path, kept: Path, tmp_path: Path
) -> None:
    shutil.copytree(kept, tmp_path / "data")
    before = contents(tmp_path / "data")
    callbacks = traces / LOWER5 / "llm_callbacks.jsonl"
    callbacks.write_bytes(callbacks.read_bytes().replace(b"Essay A", b"Essay B", 1))
    answer = cj_pipeline("materialize")
    assert answer.code == 2
    assert f"{LOWER5} broke off: " in answer.err
    assert "llm_callbacks.jsonl: sha256 is" in answer.err
    assert contents(tmp_path / "data") == before


@pytest.mark.usefixtures("no_catalogue")
def test_a_run_that_broke_off_after_its_verdict_is_shown_so(cj_pipeline: Terminal, traces: Path) -> None:
    cause = "warehouse_catalogue: warehouse.duckdb: cannot be written."
    answer = cj_pipeline("materialize", LOWER5)
    assert answer.code == 2
    assert "PARITY, then broke off" in " ".join(answer.out.split())
    assert answer.err == f"{LOWER5} broke off: {cause}"
    pages = traces.parent / "pages"
    answer = cj_pipeline("materialize", LOWER5, "--csv", "--html", pages)
    (row,) = csv.DictReader(answer.out.splitlines())
    assert (answer.code, row["verdict"], row["broke_off"]) == (2, "PARITY", "True")
    index = (pages / "index.html").read_text(encoding="utf-8")
    assert "PARITY, then broke off" in index
    assert cause in index


def test_lines_that_are_no_callback_are_in_quarantine_and_cannot_tell(cj_pipeline: Terminal, traces: Path) -> None:
    folder = traces / LOWER5
    callbacks = folder / "llm_callbacks.jsonl"
    first = json.loads(callbacks.read_bytes().splitlines()[0])
    first["data"]["error_detail"] = {"error_code": "TIMEOUT"}
    cut = callbacks.read_bytes() + json.dumps(first).encode() + b'\n{"event_id": "cut off\n'
    callbacks.write_bytes(cut)
    covered = ("llm_callbacks.jsonl", "summary.json", "provenance.json", "published.yaml")
    (folder / CHECKSUM_FILE).write_text(checksum_lines(folder, covered))
    answer = cj_pipeline("materialize", "--accept-unproven")
    assert answer.code == 3
    assert "CANNOT TELL" in answer.out
    assert f"{LOWER5}: 2 lines of the recording could not be used" in answer.out
    assert f"Not as expected: {LOWER5} is CANNOT TELL, expected PARITY." in " ".join(answer.out.split())
    rows = cj_pipeline("sql", "select line, field from quarantine order by line", "--json").document
    assert [row["line"] for row in rows] == [11, 12]
    assert rows[0]["field"].startswith("data.error_detail")


def test_a_recording_without_a_usable_line_cannot_tell_in_either_command(cj_pipeline: Terminal, traces: Path) -> None:
    folder = traces / LOWER5
    (folder / "llm_callbacks.jsonl").write_text("{}\n[]\n")
    covered = ("llm_callbacks.jsonl", "summary.json", "provenance.json", "published.yaml")
    (folder / CHECKSUM_FILE).write_text(checksum_lines(folder, covered))
    for command in ("parity", "materialize"):
        answer = cj_pipeline(command, LOWER5, "--accept-unproven")
        assert answer.code == 3, answer.err
        words = " ".join(answer.out.split())
        assert "CANNOT TELL" in words
        assert "a recording holds no usable callback" in words
        assert "2 lines of the recording could not be used" in words


def test_strict_is_the_same_in_materialize_as_in_parity(cj_pipeline: Terminal, traces: Path) -> None:
    strict = cj_pipeline("parity", LOWER5, "--strict", "--json")
    assert (strict.code, [one["doubt"] for one in strict.document["reasons"]]) == (3, ["INCONCLUSIVE"])
    # Missing power is another doubt, and accepting it does not help.
    stored = cj_pipeline("materialize", "--strict", "--accept-unproven", "--json")
    assert (stored.code, stored.document[0]["verdict"]) == (3, "CANNOT TELL")
    assert stored.document[0]["reasons"] == [one["sentence"] for one in strict.document["reasons"]]


def test_the_warehouse_cannot_be_written_through_sql(
    cj_pipeline: Terminal, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(kept))
    answer = cj_pipeline("sql", "drop view callbacks")
    assert answer.code == 2
    assert "read-only" in answer.err
