"""The rest of the terminal: traces, replay, live, bt, align, lps, sql, doctor."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.terminal import Terminal
from tests.sides import ANCHORS, GENERIC, LADDER, LOWER5, SCENARIOS, TRACES, live


def test_traces_list_names_every_scenario(cj_pipeline: Terminal) -> None:
    rows = cj_pipeline("traces", "list", "--json").document
    listed = {row["scenario_id"]: (row["callbacks"], row["origin"]) for row in rows}
    assert list(listed) == sorted(listed)
    # `traces/` may hold a user's own scenarios too.
    assert {scenario_id: listed[scenario_id] for scenario_id in SCENARIOS} == {
        GENERIC: (4, "reconstructed"),
        ANCHORS: (66, "reconstructed"),
        LADDER: (66, "reconstructed"),
        LOWER5: (10, "reconstructed"),
    }


def test_traces_validate_accepts_the_committed_scenarios(cj_pipeline: Terminal) -> None:
    answer = cj_pipeline("traces", "validate", *(TRACES / scenario_id for scenario_id in SCENARIOS), "--json")
    assert answer.code == 0
    assert [row["valid"] for row in answer.document] == [True] * len(SCENARIOS)


def test_the_package_is_the_command_too() -> None:
    answer = subprocess.run([sys.executable, "-m", "cj_pipeline", "--version"], capture_output=True, text=True)
    assert (answer.returncode, answer.stdout.split(",")[0]) == (0, "cj-pipeline")


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the LOWER5 folder that a test may damage."""
    return Path(shutil.copytree(TRACES / LOWER5, tmp_path / "traces" / LOWER5))


MODE = "mode: eng5_lower5_gpt51_low"
SHARE = "tokens_prompt: {share: 0.15}"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (MODE, "mode: eng5_lower5", "mode: 'eng5_lower5' is not a mode. Did you mean 'eng5_lower5_gpt51_low'"),
        (SHARE, "tokens_promt: {share: 0.15}", "tolerances.tokens_promt: 'tokens_promt' is not a check. Did you mean"),
        (SHARE, "tokens_prompt: {shares: 0.15}", "tolerances.tokens_prompt.shares: 'shares' is not a limit"),
        (SHARE, "tokens_prompt: {share: 0.6}", "0.6 is looser than the profile's 0.5"),
        ("at_least_tau: 0.60", "at_least_tau: -0.1", "-0.1 is looser than the profile's 0"),
        ("tolerances:", "tolerances:\n  repeat_share: {b_at_least_a: 0}", "0 is out of range. It is 1, or left out."),
        ("tolerances:", "tolerances:\n  repeat_share: {difference: 1}", "A value from 0 to 0.95 can fail."),
        ("tolerances:", "tolerances:\n  inversions: {difference: 1}", "A value from 0 to 0.95 can fail."),
        (
            "tolerances:",
            "tolerances:\n  guardrail_bundle_calls: {at_least_calls: 0}",
            "A value from 1 to 1e+06 can fail.",
        ),
        ("tolerances:", "tolerances:\n  confidence: {difference: 4}", "A value from 0 to 3.9 can fail."),
        ("  bos_batch_id: 50f", "  bos_batch_id: other-50f", "batch.bos_batch_id: 'other-50f"),
        ("  cj_batch_id: 147", "  cj_batch_id: 999", "batch.cj_batch_id: '999' is no batch of the callbacks"),
        (
            "  enable_llm_batching_metadata_hints: true\n",
            "",
            "which the live side would not send. Write under engine: enable_llm_batching_metadata_hints: true",
        ),
        (
            "  enable_llm_batching_metadata_hints: true\n",
            "  metadata_hints: [cj_source]\n",
            "the callbacks carry cj_batch_id, cj_llm_batching_mode, cj_request_type, comparison_iteration",
        ),
    ],
)
def test_traces_validate_names_file_and_key(
    cj_pipeline: Terminal, copied: Path, old: str, new: str, words: str
) -> None:
    scenario_file = copied / "scenario.yaml"
    text = scenario_file.read_text()
    assert old in text
    scenario_file.write_text(text.replace(old, new))
    answer = cj_pipeline("traces", "validate", copied)
    assert answer.code == 2
    assert f"{scenario_file}:" in answer.err
    assert words in answer.err


def test_traces_validate_sees_a_single_edited_byte(cj_pipeline: Terminal, copied: Path) -> None:
    callbacks = copied / "llm_callbacks.jsonl"
    content = bytearray(callbacks.read_bytes())
    content[1000] ^= 1
    callbacks.write_bytes(content)
    answer = cj_pipeline("traces", "validate", copied)
    assert answer.code == 2
    assert f"{callbacks}: sha256 is" in answer.err


def test_traces_summarise_prints_the_committed_summary(cj_pipeline: Terminal) -> None:
    assert cj_pipeline("traces", "summarise", ANCHORS).out == (TRACES / ANCHORS / "summary.json").read_text()


def test_a_summary_of_a_file_goes_by_its_folder_or_its_name(cj_pipeline: Terminal, tmp_path: Path) -> None:
    callbacks = TRACES / LOWER5 / "llm_callbacks.jsonl"
    other = Path(shutil.copy(callbacks, tmp_path / "today.jsonl"))
    named = [cj_pipeline("traces", "summarise", path).document["scenario_id"] for path in (callbacks, other)]
    assert named == [LOWER5, "today"]


def test_a_summary_carries_the_diagnostics_of_its_scale_with_and_without_a_replay(cj_pipeline: Terminal) -> None:
    plain, replayed = (cj_pipeline("traces", "summarise", LADDER, *extra).document for extra in ((), ("--replay",)))
    assert plain == replayed
    # 12 anchors, every pair once: 11 comparisons each.
    assert replayed["bt_se_summary"]["mean_comparisons_per_item"] == 11
    assert replayed["bt_quality_flags"] == {
        "bt_se_inflated": True,
        "comparison_coverage_sparse": False,
        "has_isolated_items": False,
    }


def test_traces_reconstruct_writes_the_committed_bytes(cj_pipeline: Terminal, copied: Path) -> None:
    (copied / "llm_callbacks.jsonl").unlink()
    assert cj_pipeline("traces", "reconstruct", copied).code == 0
    assert (copied / "llm_callbacks.jsonl").read_bytes() == (TRACES / LOWER5 / "llm_callbacks.jsonl").read_bytes()


def test_replay_shows_the_published_ladder(cj_pipeline: Terminal) -> None:
    document = cj_pipeline("replay", LADDER, "--json").document
    ranked = sorted(document["fit"]["essays"], key=lambda row: row["rank"])
    assert [row["wins"] for row in ranked] == [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    # Published for run a259881c: the best and the worst of its scores.
    assert (round(ranked[0]["theta"], 2), round(ranked[-1]["theta"], 2)) == (5.36, -7.68)


def test_live_shows_the_same_run_that_parity_compares(cj_pipeline: Terminal) -> None:
    assert cj_pipeline("live", LOWER5, "--json").document["answers_sha256"] == live(LOWER5).answers_sha256()
    assert "vt_005_D-" in cj_pipeline("live", LOWER5).out


def test_realtime_gives_the_answers_of_virtual_time(cj_pipeline: Terminal) -> None:
    real, virtual = (cj_pipeline("live", GENERIC, "--json", *extra).document for extra in (("--realtime",), ()))
    assert real["answers_sha256"] == virtual["answers_sha256"]


OUTCOMES = [{"winner": "a", "loser": "b"}, {"winner": "b", "loser": "c"}, {"winner": "a", "loser": "c"}]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_bt_fit_reads_csv_jsonl_and_parquet(cj_pipeline: Terminal, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"outcomes.{kind}"
    if kind == "csv":
        path.write_text("winner,loser\n" + "".join(f"{row['winner']},{row['loser']}\n" for row in OUTCOMES))
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in OUTCOMES))
    else:
        pq.write_table(pa.Table.from_pylist(OUTCOMES), path)
    items = cj_pipeline("bt", "fit", path, "--json").document["items"]
    # Production's scores of a transitive triple.
    scores = {row["item"]: row["theta"] for row in items}
    assert scores == pytest.approx({"a": 3.096, "b": 0.221, "c": -3.317}, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "winner,loser\na,b\na,\n", "a.csv:3: loser: missing"),
        ("a.csv", "winner,loser,count\na,b,many\n", "a.csv:2: count: 'many' is not a number"),
        ("a.csv", "winner,loser,count\na,b,-1\n", "a.csv:2: a: "),
        ("a.csv", "winner,loser\na,b\na,a\n", "a.csv:3: a: "),
        ("a.jsonl", '{"winner": "a", "loser": "b"}\n{"winner"\n', "a.jsonl:2: not JSON"),
        ("a.txt", "", "'.txt' is not a kind that is read"),
        ("a.parquet", "no", "a.parquet: not a parquet file"),
    ],
)
def test_bt_fit_names_what_it_cannot_read(
    cj_pipeline: Terminal, tmp_path: Path, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text)
    answer = cj_pipeline("bt", "fit", tmp_path / name)
    assert answer.code == 2
    assert words in answer.err


def test_the_mle_of_a_ladder_does_not_exist_and_says_why(cj_pipeline: Terminal, tmp_path: Path) -> None:
    (tmp_path / "ladder.csv").write_text("winner,loser\na,b\nb,c\na,c\n")
    answer = cj_pipeline("bt", "fit", tmp_path / "ladder.csv", "--estimator", "mle")
    assert answer.code == 2
    assert "map" in answer.err


def test_align_holds_a_file_against_grades(cj_pipeline: Terminal, tmp_path: Path) -> None:
    ids = [row["essay_id"] for row in cj_pipeline("align", LADDER, "--json").document["anchors"]]
    upside_down = tmp_path / "reversed.csv"
    upside_down.write_text("id,grade\n" + "".join(f"{essay},{g}\n" for essay, g in zip(ids[:4], "DCBA", strict=True)))
    bad = tmp_path / "bad.csv"
    bad.write_text(f"essay_id,grade\n{ids[0]},Z\n")
    callbacks = TRACES / LADDER / "llm_callbacks.jsonl"
    assert "give --grades FILE" in cj_pipeline("align", callbacks).err
    missed = cj_pipeline("align", callbacks, "--grades", upside_down, "--json")
    assert (missed.code, missed.document["tau_a"]) == (1, -1.0)
    assert missed.document["targets_missed"] == ["Kendall tau-a", "direct inversions"]
    answer = cj_pipeline("align", callbacks, "--grades", bad)
    assert (answer.code, "bad.csv:2: grade: 'Z' is not a grade" in answer.err) == (2, True)


def test_align_says_which_targets_the_published_run_meets_and_fails_for_the_other(cj_pipeline: Terminal) -> None:
    answer = cj_pipeline("align", LADDER)
    report = answer.out
    assert "| Kendall tau-a | at least 0.90 | 1.000 | " in report
    assert "| direct inversions | at most 1 | 0 | " in report
    assert " | met, within sampling noise |" in report
    assert "| anchors without a win | at most 0 | 1 | " in report  # the last of a ladder loses every time
    assert answer.code == 1


def test_align_exits_with_0_where_every_target_is_met(cj_pipeline: Terminal, tmp_path: Path) -> None:
    anchors = cj_pipeline("align", LADDER, "--json").document["anchors"]
    grades = tmp_path / "grades.csv"
    rows = zip((anchors[0], anchors[5], anchors[10]), ("A", "B", "C+"), strict=True)
    grades.write_text("essay_id,grade\n" + "".join(f"{row['essay_id']},{grade}\n" for row, grade in rows))
    assert cj_pipeline("align", LADDER, "--grades", grades).code == 0
    grades.write_text(grades.read_text().replace("C+", "C"))
    other_scale = cj_pipeline("align", LADDER, "--grades", grades)
    assert (other_scale.code, "grades.csv:4: grade: 'C' is not a grade of the scale." in other_scale.err) == (2, True)


def test_lps_modes_lists_the_three_named_ones_and_what_overlays_break(cj_pipeline: Terminal) -> None:
    document = cj_pipeline("lps", "modes", "--json").document
    assert document["modes"].keys() >= {"cj_generic_batch", "eng5_anchor_gpt51_low", "eng5_lower5_gpt51_low"}
    assert document["overlays"].keys() >= {"coin", "inverted", "instant", "tokens_x1_4"}


def test_lps_mode_shows_overlays_applied(cj_pipeline: Terminal) -> None:
    document = cj_pipeline("lps", "mode", "eng5_anchor_ladder+instant", "--json").document
    assert document["latency"] == {"model": "constant", "ms": 0.0, "scale": 1.0}


def test_a_mode_file_with_an_impossible_probability_is_named_by_line_and_key(
    cj_pipeline: Terminal, tmp_path: Path
) -> None:
    mode = tmp_path / "mine.yaml"
    source = (Path(__file__).parents[2] / "cj_pipeline/mock/modes/default.yaml").read_text()
    mode.write_text(source.replace("name: default", "name: mine").replace("\n  rate: 0.0", "\n  rate: 1.5"))
    answer = cj_pipeline("live", LOWER5, "--mode", mode)
    line = mode.read_text().splitlines().index("  rate: 1.5") + 1
    assert answer.code == 2
    assert f"{mode}:{line}: errors.rate: Input should be less than or equal to 1" in answer.err


def test_sql_without_a_catalogue_says_how_to_get_one(cj_pipeline: Terminal) -> None:
    answer = cj_pipeline("sql", "select 1")
    assert (answer.code, "make parity" in answer.err) == (2, True)


def test_doctor_finds_everything_here_and_nothing_in_an_empty_folder(
    cj_pipeline: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert cj_pipeline("doctor").code == 0
    monkeypatch.setenv("CJ_PIPELINE_TRACES_DIR", str(tmp_path))
    answer = cj_pipeline("doctor", "--json")
    assert answer.code == 2
    assert {row["what"] for row in answer.document if row["state"] == "missing"} == {"scenarios"}


def test_doctor_says_where_messages_go_and_names_a_dagster_home_that_is_not_there(
    cj_pipeline: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv("CJ_PIPELINE_ALERT_WEBHOOK", "https://hooks/s3cret")
    answer = cj_pipeline("doctor", "--json")
    found = {row["what"]: (row["state"], row["detail"]) for row in answer.document}
    assert answer.code == 0
    assert found["dagster"] == (
        "absent", f"DAGSTER_HOME '{tmp_path}/nowhere' is not there; make ui and make nightly make it"
    )  # fmt: skip
    assert found["alerts"] == ("ok", "webhook; try them: cj-pipeline alerts test")
    assert "s3cret" not in answer.out
    monkeypatch.setenv("CJ_PIPELINE_NIGHT_LPS", "nobody=http://s3cret")
    answer = cj_pipeline("doctor", "--json")
    found = {row["what"]: (row["state"], row["detail"]) for row in answer.document}
    assert (answer.code, found["alerts"][0]) == (2, "missing")
    assert found["alerts"][1].startswith("CJ_PIPELINE_NIGHT_LPS names 'nobody', and there is no such scenario.")
    assert "s3cret" not in answer.out
    monkeypatch.delenv("CJ_PIPELINE_NIGHT_LPS")
    monkeypatch.delenv("CJ_PIPELINE_ALERT_WEBHOOK")
    (tmp_path / "file").touch()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "file"))
    assert cj_pipeline("doctor").code == 2
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    answer = cj_pipeline("doctor", "--json")
    states = {row["what"]: row["state"] for row in answer.document}
    assert (answer.code, states["dagster"], states["alerts"]) == (0, "ok", "absent")


def test_doctor_names_variables_that_no_service_reads_and_never_what_they_say(
    cj_pipeline: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = {
        "LLM_PROVIDER_SERVICE_USE_MOCK_LMM": "s3cret",
        "LLM_PROVIDER_SERVICE_MOCK_PROVIDER_SEED": "7",
        "CJ_ASSESSMENT_SERVICE_REDIS_URL": "s3cret",
    }
    for name, value in exported.items():
        monkeypatch.setenv(name, value)
    answer = cj_pipeline("doctor", "--json")
    found = {row["what"]: (row["state"], row["detail"]) for row in answer.document}
    state, detail = found["lps variables"]
    assert state == "absent"
    assert "LLM_PROVIDER_SERVICE_*: MOCK_PROVIDER_SEED" in detail
    assert "not read: USE_MOCK_LMM (did you mean LLM_PROVIDER_SERVICE_USE_MOCK_LLM?)" in detail
    assert "REDIS_URL (" in found["cj variables"][1]
    assert "s3cret" not in answer.out
    monkeypatch.setenv("LLM_PROVIDER_SERVICE_INTERNAL_API_KEY", "s3cret")
    answer = cj_pipeline("doctor", "--json")
    assert [row["what"] for row in answer.document if row["state"] == "missing"] == ["lps variables"]
    assert "s3cret" not in answer.out


def test_an_unknown_command_exits_with_2(cj_pipeline: Terminal) -> None:
    assert cj_pipeline("judge").code == 2
