"""This module tests materialised scenarios: what is stored, what wrong mocks fail, what bad input leaves intact."""

from __future__ import annotations

import base64
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from dagster import AssetCheckSeverity, ExecuteInProcessResult
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation

from assets.alignment import TARGETS
from assets.calibrate import QUESTIONS
from assets.parity_checks import outcome_of
from assets.specs import REPORT, SUITE
from cj_pipeline.definitions import materialise
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.parity.compare import ALL_CHECKS
from cj_pipeline.parity.evidence import EvidenceVerdict
from cj_pipeline.reports.plots import latency_plot, theta_plot
from cj_pipeline.runs.record import Side
from cj_pipeline.runs.scenario_run import run_live
from cj_pipeline.runs.tables import load_answers, load_run
from cj_pipeline.traces.provenance import CHECKSUM_FILE, file_sha256
from cj_pipeline.traces.store import CALLBACKS_FILE, TraceStore
from cj_pipeline.warehouse.schemas import OPTIONAL, PARTS
from cj_pipeline.warehouse.store import Warehouse
from resources.lps import LpsResource
from tests.dagster_floor.floor import (
    ALIGN,
    LOWER5,
    ROUNDTRIP,
    TRACES,
    copied_trace,
    execute,
    materialised,
    metadata,
    red_checks,
    run_of,
)
from tests.dagster_floor.kept import Kept, Runs
from tests.dagster_floor.test_code_location import BY_NIGHT
from tests.sides import live, report


@pytest.fixture
def kept(runs: Runs) -> Kept:
    """The five lowest anchors against their own mode."""
    return runs(LOWER5)


@pytest.fixture
def faithful(kept: Kept) -> ExecuteInProcessResult:
    return kept.result


def evaluation(result: ExecuteInProcessResult, name: str) -> AssetCheckEvaluation:
    (found,) = (check for check in result.get_asset_check_evaluations() if check.check_name == name)
    return found


def told(result: ExecuteInProcessResult, name: str) -> dict[str, object]:
    return {key: value.value for key, value in evaluation(result, name).metadata.items()}


def test_a_faithful_mock_materialises_everything_and_every_check_passes(faithful: ExecuteInProcessResult) -> None:
    assert faithful.success
    assert materialised(faithful) == BY_NIGHT
    # Of the trace three, of the verdict, of the history and of the suite one each; a gate that is off has no result.
    off = metadata(faithful, "parity/report")["checks_off"]
    assert isinstance(off, int)
    assert off > 0
    found = faithful.get_asset_check_evaluations()
    assert len(found) == len(ALL_CHECKS) - off + len(QUESTIONS) + 2 * len(TARGETS) + 6
    about_it = [check for check in found if check.asset_key != SUITE]
    assert all(str(check.description).startswith(f"{LOWER5}: ") for check in about_it)
    assert red_checks(faithful) == set()


def test_a_target_of_the_alignment_that_is_missed_only_warns(faithful: ExecuteInProcessResult) -> None:
    # The last of five anchors in one order wins nothing, in the published run as well.
    for side in ("recorded", "live"):
        winless = evaluation(faithful, f"{side}_zero_win")
        assert (winless.passed, winless.severity) == (False, AssetCheckSeverity.WARN)
        assert "anchors without a win: 1 (in a repeat 1 to 1)." in str(winless.description)
        tau = evaluation(faithful, f"{side}_tau")
        assert tau.passed
        assert "within sampling noise" in str(tau.description)


def test_every_dataset_is_on_disk_and_in_the_catalogue(kept: Kept) -> None:
    parts = {str(path.relative_to(kept.folder.folder)) for path in kept.folder.folder.rglob("*.parquet")}
    assert parts == {f"{dataset}/{part}.parquet" for dataset in PARTS.keys() - OPTIONAL for part in PARTS[dataset]}
    counted = Warehouse(kept.data).query("select side, batch, count(*) as n from callbacks group by all order by all")
    # 10 comparisons each, and ten repeats of 10 on the live side.
    assert counted.to_pylist() == [
        *({"side": "live", "batch": batch, "n": 10} for batch in range(11)),
        {"side": "recorded", "batch": 0, "n": 10},
    ]


def test_the_stored_live_run_is_the_one_that_plain_python_makes(kept: Kept) -> None:
    trace = TraceStore(TRACES).trace(LOWER5)
    recorded = [line.event for line in trace.callbacks.events]
    plain = run_live(trace.scenario, recorded, load_mode(trace.scenario.mode))
    assert load_run(kept.folder, Side.LIVE).canonical_bytes() == plain.canonical_bytes()


def test_data_versions_are_the_digests_of_trace_and_mode(faithful: ExecuteInProcessResult) -> None:
    tags = {
        event.asset_key.to_user_string(): event.materialization.tags or {}
        for event in faithful.get_asset_materialization_events()
        if event.asset_key is not None
    }
    callbacks, scenario = (file_sha256(TRACES / LOWER5 / name) for name in (CALLBACKS_FILE, "scenario.yaml"))
    lines = f"{callbacks}  main\n{scenario}  scenario.yaml\n"
    assert tags["trace"]["dagster/data_version"] == sha256(lines.encode()).hexdigest()
    assert tags["mode"]["dagster/data_version"] == load_mode("eng5_lower5_gpt51_low").sha256()


def test_the_trace_says_that_it_is_a_reconstruction(faithful: ExecuteInProcessResult) -> None:
    shown = metadata(faithful, "trace")
    assert shown["origin"] == "reconstructed"
    assert str(shown["statement"]).startswith("This is a reconstruction, not a recording.")


def test_the_report_shows_its_verdicts_and_two_pictures(faithful: ExecuteInProcessResult) -> None:
    shown = metadata(faithful, "parity/report")
    assert (shown["verdict"], shown["expected"], shown["gates_failed"]) == ("PARITY", "PARITY", 0)
    assert "PARITY: " in str(shown["headline"])
    assert "| `rank_agreement` | pass |" in str(shown["report"])
    assert evaluation(faithful, "verdict").passed
    for name in ("scales", "latencies"):
        # PNG's eight bytes, in base64.
        assert str(shown[name]).split("base64,")[1].startswith("iVBORw0KGgo")
        assert len(str(shown[name])) < 100_000  # it stands in the event log


def test_the_same_run_draws_the_same_pictures(kept: Kept) -> None:
    shown = metadata(kept.result, "parity/report")
    recorded, live = (load_run(kept.folder, side) for side in (Side.RECORDED, Side.LIVE))
    redrawn = (theta_plot(TraceStore(TRACES).scenario(LOWER5), recorded, live), latency_plot(recorded, live))
    for name, png in zip(("scales", "latencies"), redrawn, strict=True):
        assert base64.b64decode(str(shown[name]).split("base64,")[1].rstrip(")")) == png


def test_a_check_tells_what_it_measured_as_numbers(faithful: ExecuteInProcessResult) -> None:
    shown = told(faithful, "latency_mean")
    assert shown["recorded"] == 1588.0  # published
    assert {name: type(shown[name]) for name in ("value", "live", "detectable")} == {
        "value": float,
        "live": float,
        "detectable": float,
    }
    assert (shown["verdict"], shown["unit"]) == ("pass", "ms")
    assert {"tolerance", "sentence", "evidence", "evidence_in_words"} <= shown.keys()


def test_a_gate_has_its_floor_and_ceiling_as_numbers_beside_its_value(faithful: ExecuteInProcessResult) -> None:
    both = told(faithful, "latency_mean")
    numbers = [both[name] for name in ("floor", "value", "ceiling")]
    assert all(isinstance(number, float) for number in numbers)
    assert numbers == sorted(numbers)  # type: ignore[type-var]
    one_sided = told(faithful, "rank_agreement")
    assert "ceiling" not in one_sided
    assert float(str(one_sided["floor"])) <= float(str(one_sided["value"]))


def test_a_check_that_is_off_is_not_green(runs: Runs) -> None:
    result = runs(ROUNDTRIP, job="parity_generic").result
    assert result.success
    assert "latency_shape" not in {check.check_name for check in result.get_asset_check_evaluations()}
    assert "latency_shape: the latency of this recording was never published" in str(told(result, "verdict")["off"])


def test_a_check_that_is_off_in_a_red_run_warns_and_says_why(runs: Runs) -> None:
    result = runs(LOWER5, lps={"mode": "+inverted"}).result
    gates = [check for check in result.get_asset_check_evaluations() if check.asset_key == REPORT]
    off = [check for check in gates if str(check.description).startswith(f"{LOWER5}: off: ")]
    assert off
    assert {(check.passed, check.severity) for check in off} == {(False, AssetCheckSeverity.WARN)}


def test_a_red_run_ends_with_one_table_of_what_failed(runs: Runs) -> None:
    result = runs(LOWER5, lps={"mode": "+tokens_x1_4"}).result
    (failure,) = (event.step_failure_data for event in result.all_events if event.is_step_failure)
    assert failure.user_failure_data is not None
    first, *lines = str(failure.user_failure_data.description).splitlines()
    assert first.startswith(f"{LOWER5}: NO PARITY: ")
    assert any(line.split()[0] == "tokens_total" and "(tolerance " in line for line in lines)
    table = failure.user_failure_data.metadata["failed_gates"].value
    failed = [check.check_name for check in result.get_asset_check_evaluations() if check.blocking and not check.passed]
    red = {str(record.data["check"]) for record in table.records}  # type: ignore[union-attr]
    assert {"tokens_total", "tokens_prompt"} <= red <= set(failed)
    assert len(lines) == len(red)


@pytest.mark.parametrize(
    ("overlay", "red"),
    [
        ("+inverted", {"anchor_tau", "verdict"}),
        ("+tokens_x1_4", {"tokens_prompt", "tokens_completion", "tokens_total", "verdict"}),
    ],
)
def test_a_wrong_mock_turns_its_checks_red_and_the_run_with_them(overlay: str, red: set[str], runs: Runs) -> None:
    wrong = runs(LOWER5, lps={"mode": overlay})
    result = wrong.result
    assert {f"parity/report: {name}" for name in red} <= red_checks(result)
    assert not result.success
    assert {evaluation(result, name).severity for name in red} == {AssetCheckSeverity.ERROR}
    # Whoever looks into the failure finds everything: nothing hangs on the report.
    assert materialised(result) == BY_NIGHT
    stored = wrong.folder.read("parity_checks", "parity")
    assert red - {"verdict"} <= {row["check"] for row in stored if row["verdict"] == "fail"}
    assert metadata(result, "parity/suite")["scenarios_compared"] == 0  # a trial is not published


def test_a_difference_that_is_proven_but_tolerated_is_a_warning() -> None:
    # Beyond its margin and proven, but within what chance explains: the gate passes.
    found = next(one for one in report(LOWER5, live(LOWER5)).results if one.check.name == "latency_mean")
    assert found.outcome is not None
    assert found.evidence is not None
    evidence = replace(found.evidence, verdict=EvidenceVerdict.DIFFERENT)
    shown = outcome_of(replace(found, outcome=replace(found.outcome, evidence=evidence)), LOWER5)
    assert (shown.passed, shown.severity) == (False, AssetCheckSeverity.WARN)
    said = {name: value.value for name, value in (shown.metadata or {}).items()}
    assert (said["verdict"], said["evidence"]) == ("pass", "DIFFERENT")


def test_a_mode_by_name_answers_instead_of_the_scenario_s_own(tmp_path: Path) -> None:
    result = execute(LOWER5, tmp_path, lps={"mode": "production_hash_lower5", "seed": 7})
    assert metadata(result, "mode")["expression"] == "production_hash_lower5"
    document = load_run(run_of(result, tmp_path, LOWER5), Side.LIVE).document
    assert (document.judge, document.seed) == ("production_hash_lower5", 7)
    assert document.judge_sha256 == load_mode("production_hash_lower5").sha256()


def test_real_time_gives_the_same_answers(runs: Runs) -> None:
    # The round trip's latencies are a few milliseconds, so real time is over at once.
    made = runs(ROUNDTRIP, job="parity_generic"), runs(ROUNDTRIP, lps={"realtime": True})
    assert [one.result.success for one in made] == [True, True]
    virtual, real = (load_run(one.folder, Side.LIVE) for one in made)
    assert virtual.answers_sha256() == real.answers_sha256()
    assert virtual.callbacks[0].completed_at != real.callbacks[0].completed_at


def test_an_engine_setting_holds_on_both_sides(runs: Runs) -> None:
    made = runs(LOWER5, engine={"settings": {"max_pairwise_comparisons": 6}})
    assert [load_run(made.folder, side).document.submitted for side in Side] == [6, 6]


def test_an_engine_setting_that_there_is_not_is_named(tmp_path: Path) -> None:
    result = execute(LOWER5, tmp_path, engine={"settings": {"max_pairs": 6}})
    assert not result.success
    failed = next(event for event in result.all_events if event.is_step_failure)
    cause = failed.step_failure_data.error.cause
    assert cause is not None
    assert "resources.engine.config.settings.max_pairs" in cause.message
    assert "max_pairwise_comparisons" in cause.message


def sealed(folder: Path, callbacks: bytes) -> None:
    """Put other callbacks into a copied trace, as if they had been recorded that way."""
    sums = folder / CHECKSUM_FILE
    before = file_sha256(folder / CALLBACKS_FILE)
    (folder / CALLBACKS_FILE).write_bytes(callbacks)
    sums.write_text(sums.read_text().replace(before, file_sha256(folder / CALLBACKS_FILE)))


def test_a_line_that_is_no_callback_cannot_tell_and_can_be_looked_up(tmp_path: Path) -> None:
    folder = copied_trace(LOWER5, tmp_path / "traces")
    sealed(folder, (folder / CALLBACKS_FILE).read_bytes() + b'{"not": "a callback"}\n')
    result = execute(LOWER5, tmp_path / "data", traces_dir=tmp_path / "traces")
    doubtful = {"parity/report: recorded_lines", "parity/report: verdict"}
    assert red_checks(result) == {"recorded/callbacks: quarantine", *doubtful}
    found = {evaluation(result, name).severity for name in ("quarantine", "recorded_lines", "verdict")}
    assert found == {AssetCheckSeverity.WARN}
    assert told(result, "quarantine")["quarantined"] == 1
    (kept,) = Warehouse(tmp_path / "data").query("select line, raw from quarantine").to_pylist()
    assert kept == {"line": 11, "raw": b'{"not": "a callback"}'}


def test_a_trace_without_one_usable_line_cannot_tell(tmp_path: Path) -> None:
    folder = copied_trace(LOWER5, tmp_path / "traces")
    sealed(folder, b'{"not": "a callback"}\n')
    result = execute(LOWER5, tmp_path / "data", traces_dir=tmp_path / "traces")
    doubtful = {"parity/report: recorded_lines", "parity/report: verdict"}
    assert red_checks(result) == {"recorded/callbacks: quarantine", *doubtful}
    assert {evaluation(result, name).severity for name in ("quarantine", "verdict")} == {AssetCheckSeverity.WARN}
    assert metadata(result, "parity/report")["verdict"] == "CANNOT TELL"
    assert "a recording holds no usable callback" in str(metadata(result, "parity/report")["in_words"])
    assert materialised(result) == BY_NIGHT
    assert result.success


def test_an_edited_trace_is_stopped_at_the_door_and_the_stored_data_stay(kept: Kept, tmp_path: Path) -> None:
    kept.copied(tmp_path / "data")
    before = digests(tmp_path / "data")
    folder = copied_trace(LOWER5, tmp_path / "traces")
    callbacks = folder / CALLBACKS_FILE
    callbacks.write_bytes(callbacks.read_bytes().replace(b"Essay A", b"Essay B", 1))
    result = execute(LOWER5, tmp_path / "data", traces_dir=tmp_path / "traces")
    assert red_checks(result) == {"trace: checksums"}
    (checksums,) = (check for check in result.get_asset_check_evaluations() if check.check_name == "checksums")
    assert "The file was edited after it was recorded" in (checksums.description or "")
    assert not result.success
    assert materialised(result) == {"trace", "mode"}
    assert digests(tmp_path / "data") == before


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files}


def test_callbacks_whose_judge_was_lost_are_not_believed(kept: Kept, tmp_path: Path) -> None:
    run = run_of(kept.result, kept.copied(tmp_path / "data"), LOWER5)
    run.path("judges", "live").unlink()
    with pytest.raises(BadInput, match=r"judges/live\.parquet: run .* made no judges \(live\)"):
        load_answers(run, Side.LIVE)


@pytest.mark.parametrize(("job", "scenario_id"), [("parity_generic", LOWER5), ("parity_eng5_lower5", ALIGN)])
def test_the_job_of_a_profile_refuses_scenarios_of_another(job: str, scenario_id: str, tmp_path: Path) -> None:
    result = execute(scenario_id, tmp_path, job=job)
    assert not result.success
    assert materialised(result) == set()
    assert list(tmp_path.iterdir()) == []


def test_the_job_of_a_profile_takes_its_own(runs: Runs) -> None:
    assert runs(ROUNDTRIP, job="parity_generic").result.success


def test_materialise_tells_how_a_scenario_went(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (seen,) = materialise([LOWER5], mode="+inverted", data_dir=tmp_path, traces_dir=TRACES)
    assert (seen.scenario_id, seen.success, seen.problems) == (LOWER5, False, ())
    assert "parity/report: rank_agreement" in seen.failed_checks
    assert capfd.readouterr() == ("", "")  # Dagster's log is not the user's


def test_materialise_says_of_each_scenario_what_broke_off(tmp_path: Path) -> None:
    seen = list(materialise([ROUNDTRIP, LOWER5], mode="+invreted", data_dir=tmp_path, traces_dir=TRACES))
    assert [(one.scenario_id, one.success) for one in seen] == [(ROUNDTRIP, False), (LOWER5, False)]
    assert all("Did you mean 'inverted'?" in one.problems[0] for one in seen)


def test_materialise_says_what_broke_off_before_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: LpsResource, context: object) -> None:
        raise BadInput("no such host.", path="lps")

    monkeypatch.setattr(LpsResource, "setup_for_execution", refuse)
    seen = list(materialise([LOWER5], data_dir=tmp_path, traces_dir=TRACES))
    assert [one.problems for one in seen] == [("run: lps: no such host.",)]


def test_materialise_of_an_unknown_scenario_touches_nothing(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="Did you mean"):
        list(materialise([LOWER5, "eng5_lower5_gpt51_low"], data_dir=tmp_path / "data", traces_dir=TRACES))
    assert not (tmp_path / "data").exists()


def test_the_catalogue_spans_the_scenarios_of_every_run(kept: Kept, tmp_path: Path) -> None:
    data = kept.copied(tmp_path / "data")
    execute(ROUNDTRIP, data)
    listed = Warehouse(data).query("select distinct scenario_id from runs order by all").column(0).to_pylist()
    assert listed == [ROUNDTRIP, LOWER5]
    assert Warehouse(data).published_run(ROUNDTRIP).read("judges", "recorded")[0]["name"] == ROUNDTRIP
