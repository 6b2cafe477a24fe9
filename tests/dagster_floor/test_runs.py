"""A verdict belongs to its run: parts of two runs never meet, at once or one after the other, killed or not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, DagsterInstance, ExecuteInProcessResult, ReexecutionOptions, execute_job, reconstructable

from cj_pipeline.definitions import build_defs
from cj_pipeline.instance import URL_VARIABLE
from cj_pipeline.parity.compare import ParityReport
from cj_pipeline.parity.tables import compare_stored
from cj_pipeline.runs.record import Side
from cj_pipeline.warehouse.schemas import OPTIONAL, PARTS
from cj_pipeline.warehouse.store import Warehouse
from resources.bus import BusResource
from resources.lps import LpsResource
from tests.dagster_floor.floor import LOWER5, copied_trace, execute, red_checks, run_of
from tests.dagster_floor.kept import Runs
from tests.house import REPOSITORY
from tests.sides import TRACES, scenario

# One run each of two processes; more by the variable, for a search. A run between two steps of another needs no luck.
ROUNDS = int(os.environ.get("CJ_PIPELINE_TEST_OVERLAPS", "1"))

JUDGEMENTS = {"answer_agreement", "rank_agreement", "anchor_tau"}
"""What an inverted judge fails and a faithful one does not."""

CALLBACKS_ONLY = [AssetKey(key) for key in (["mode"], ["trace"], ["live", "callbacks"], ["live", "metrics"])]
PARITY_ONLY = [AssetKey(["parity", name]) for name in ("checks", "report", "suite")]


def step_errors(result: ExecuteInProcessResult) -> list[str]:
    """The first cause of each step that broke off."""
    found = []
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            while error is not None and error.cause is not None:
                error = error.cause
            found.append("" if error is None else error.message)
    return found


def test_a_report_over_the_callbacks_of_another_run_is_refused(runs: Runs, tmp_path: Path) -> None:
    whole = runs(LOWER5)
    data = whole.copied(tmp_path / "data")
    killed = execute(LOWER5, data, select=CALLBACKS_ONLY, lps={"mode": "+inverted"})
    assert killed.success
    before = (data / "published" / f"{LOWER5}.json").read_bytes()
    mixed = execute(LOWER5, data, select=PARITY_ONLY)
    assert not mixed.success
    (refusal,) = step_errors(mixed)
    assert f"run {mixed.run_id} made no runs (recorded) of '{LOWER5}'; run {whole.result.run_id} made one at" in refusal
    assert "Materialise the whole scenario." in refusal
    assert (data / "published" / f"{LOWER5}.json").read_bytes() == before


def test_report_rows_and_gates_are_of_one_comparison(runs: Runs) -> None:
    inverted = runs(LOWER5, lps={"mode": "+inverted"})
    rows = {row["check"]: row for row in inverted.folder.read("parity_checks", "parity")}
    gates = {
        check.check_name: check.metadata["verdict"].value
        for check in inverted.result.get_asset_check_evaluations()
        if check.asset_key == AssetKey(["parity", "report"])
    }
    assert gates.pop("verdict") == "NO PARITY"
    assert gates == {name: row["verdict"] for name, row in rows.items()}
    assert {name for name, verdict in gates.items() if verdict == "fail"} >= JUDGEMENTS
    assert {row["run_verdict"] for row in rows.values()} == {"NO PARITY"}


def test_the_suite_says_the_verdict_of_each_published_run_and_which_run_it_is(tmp_path: Path) -> None:
    file = copied_trace(LOWER5, tmp_path / "traces") / "scenario.yaml"
    text = file.read_text()
    wrong = text.replace("mode: eng5_lower5_gpt51_low", "mode: eng5_lower5_gpt51_low+inverted")
    file.write_text(f"{wrong}expect: {{verdict: NO PARITY, reason: the mode is wrong on purpose}}\n")
    result = execute(LOWER5, tmp_path / "data", traces_dir=tmp_path / "traces")
    assert result.success
    (shown,) = (
        event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key == AssetKey(["parity", "suite"])
    )
    records: Any = shown["scenarios"].value
    (line,) = (record.data for record in records.records)
    assert (line["verdict"], line["run"]) == ("NO PARITY, as expected", result.run_id)
    assert set(line["failing"].split(", ")) >= JUDGEMENTS
    assert shown["scenarios_no_parity"].value == 1
    (check,) = (one for one in result.get_asset_check_evaluations() if one.asset_key == AssetKey(["parity", "suite"]))
    assert (check.passed, check.metadata["value"].value) == (True, 0)


@pytest.mark.parametrize(
    "resources",
    [{"lps": {"mode": "+inverted"}}, {"engine": {"settings": {"max_pairwise_comparisons": 6}}}],
    ids=["another mode", "another engine setting"],
)
def test_a_trial_is_tagged_and_kept_apart(resources: dict[str, Any], runs: Runs) -> None:
    trial = runs(LOWER5, **resources)
    assert trial.tags["cj_pipeline/trial"] == "true"
    assert trial.folder.stamp("parity_checks", "parity").origin.trial
    assert Warehouse(trial.data).published() == ()
    assert Warehouse(trial.data).query("from parity_checks").num_rows == 0


@pytest.mark.parametrize(
    ("given", "trial"),
    [
        ({}, False),
        ({"mode": "eng5_lower5_gpt51_low", "seed": 42, "realtime": True}, False),
        ({"mode": "+inverted"}, True),
        ({"mode": "production_hash_lower5"}, True),
        ({"seed": 7}, True),
        ({"url": "http://lps"}, True),
    ],
)
def test_another_mode_seed_or_service_is_a_trial_and_the_scenario_s_own_by_name_is_none(
    given: dict[str, Any], trial: bool
) -> None:
    resource = LpsResource(bus=BusResource(), **given)
    assert resource.is_trial(scenario(LOWER5), TRACES / LOWER5 / "scenario.yaml") is trial


def test_every_part_says_its_run_its_judges_and_its_answers(runs: Runs) -> None:
    run = runs(LOWER5).folder
    (pointer,) = Warehouse(runs(LOWER5).data).published([LOWER5])
    assert pointer.run_id == run.run_id
    for path in run.folder.glob("*/*.parquet"):
        stamp = run.stamp(path.parent.name, path.stem)
        assert stamp.run_id == run.run_id
        assert stamp.code == pointer.code
        sides = set(Side) if path.stem == "parity" else {path.stem}
        assert stamp.origin.answers == {side: pointer.answers[side] for side in sides}
    judges = {row["side"]: row for side in Side for row in run.read("judges", side)}
    for side, answers in pointer.answers.items():
        assert judges[side]["sha256"] == answers.judge_sha256
        assert judges[side]["answers_sha256"] == answers.answers_sha256


def test_a_run_in_the_middle_of_another_leaves_both_their_own_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The faithful run has its callbacks, and has compared nothing, while the whole inverted one runs.
    others: list[ExecuteInProcessResult] = []

    def compare_after_the_other(*arguments: Any, **options: Any) -> ParityReport:
        monkeypatch.setattr("assets.parity.compare_stored", compare_stored)
        with ThreadPoolExecutor(1) as thread:
            others.append(thread.submit(execute, LOWER5, tmp_path, lps={"mode": "+inverted"}).result())
        return compare_stored(*arguments, **options)

    monkeypatch.setattr("assets.parity.compare_stored", compare_after_the_other)
    outer = execute(LOWER5, tmp_path)
    (inner,) = others
    assert (outer.success, inner.success) == (True, False)
    assert red_checks(outer) == set()
    assert {f"parity/report: {name}" for name in JUDGEMENTS} <= red_checks(inner)
    for result, verdict in ((outer, "PARITY"), (inner, "NO PARITY")):
        (report,) = run_of(result, tmp_path, LOWER5).read("parity_reports", "parity")
        assert report["verdict"] == verdict
    assert Warehouse(tmp_path).published_run(LOWER5).run_id == outer.run_id


def job() -> Any:
    """The job, for a process that is given a function's name."""
    return build_defs().resolve_job_def("parity_all")


def test_what_is_executed_again_from_failure_goes_on_in_the_folder_of_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(tmp_path / "data"))
    config = {
        "execution": {"config": {"in_process": {}}},
        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
    }
    with DagsterInstance.ephemeral(str(tmp_path)) as instance:
        tags = {"dagster/partition": LOWER5}
        with monkeypatch.context() as broken:
            broken.setattr("assets.parity.theta_plot", None)
            first = execute_job(reconstructable(job), instance, run_config=config, tags=tags)
        assert [event.step_key for event in first.all_events if event.is_step_failure] == ["parity"]
        again = execute_job(
            reconstructable(job),
            instance,
            run_config=config,
            tags=tags,
            reexecution_options=ReexecutionOptions.from_failure(first.run_id, instance),
        )
        whole = execute_job(
            reconstructable(job),
            instance,
            run_config=config,
            tags=tags,
            reexecution_options=ReexecutionOptions(parent_run_id=first.run_id),
        )
    data = Warehouse(tmp_path / "data")
    assert again.run_id != first.run_id
    assert {path.name for path in (data.root / "runs").iterdir()} == {first.run_id, whole.run_id}
    assert data.run(first.run_id, LOWER5).has("parity_reports", "parity")
    assert not data.run(again.run_id, LOWER5).folder.exists()
    assert data.published_run(LOWER5).run_id == whole.run_id


WORKER = """
import json, sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from dagster import DagsterInstance
from tests.dagster_floor.floor import LOWER5, execute, run_of

home, data, rounds, mode = sys.argv[1:]
with DagsterInstance.from_config(home) as instance:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(int(rounds)):
        result = execute(LOWER5, Path(data), instance=instance, lps={"mode": mode})
        run = run_of(result, Path(data), LOWER5)
        rows = run.read("parity_checks", "parity")
        gates = {
            check.check_name for check in result.get_asset_check_evaluations()
            if check.asset_key.path[-1] == "report" and check.metadata["verdict"].value == "fail"
        }
        (report,) = run.read("parity_reports", "parity")
        print(json.dumps({
            "run": result.run_id,
            "judge": report["live_judge"],
            "verdict": report["verdict"],
            "rows": sorted(row["check"] for row in rows if row["verdict"] == "fail"),
            "gates": sorted(gates),
            "green": result.success,
        }), flush=True)
"""


def overlapping_runs(root: Path) -> dict[str, list[dict[str, Any]]]:
    """What two processes at once, one of them with the inverted mock, find in as many runs each as there are rounds."""
    home = root / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text((REPOSITORY / "dagster.yaml").read_text())
    environment = {**os.environ, "DAGSTER_HOME": str(home), "PYTHONPATH": str(REPOSITORY)}
    workers = {}
    for mode in ("", "+inverted"):
        workers[mode] = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(home), str(root / "data"), str(ROUNDS), mode],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    for worker in workers.values():  # both make Dagster's files in the new home at once
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers.values():
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    found = {mode: worker.communicate(timeout=60 + 120 * ROUNDS)[0].splitlines() for mode, worker in workers.items()}
    return {mode: [json.loads(line) for line in lines] for mode, lines in found.items()}


# Two processes start and run graphs; beside twenty busy processes three of them took 150 s.
OVERLAPPING = pytest.mark.timeout(120 + 120 * ROUNDS)


# By chance, and 15 s of CPU: `make test` has a run in the middle of another, above.
@pytest.mark.servers("services")
@OVERLAPPING
def test_runs_at_once_judge_their_own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    require_own_verdicts(tmp_path)


@OVERLAPPING
def test_runs_at_once_judge_their_own_data_on_postgresql(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL_VARIABLE, postgres_url)
    require_own_verdicts(tmp_path)


def require_own_verdicts(root: Path) -> None:
    """Fail when a run of two at once has another verdict than it has alone."""
    found = overlapping_runs(root)
    faithful, inverted = found[""], found["+inverted"]
    assert (len(faithful), len(inverted)) == (ROUNDS, ROUNDS)
    for one in (*faithful, *inverted):
        assert one["rows"] == one["gates"]
    assert {one["judge"] for one in faithful} == {"eng5_lower5_gpt51_low"}
    assert {one["judge"] for one in inverted} == {"eng5_lower5_gpt51_low+inverted"}
    # One judge and one seed give one verdict, whatever runs beside it.
    for runs in (faithful, inverted):
        assert len({(one["verdict"], one["green"], *one["rows"]) for one in runs}) == 1
    assert not JUDGEMENTS & set(faithful[0]["rows"])
    assert set(inverted[0]["rows"]) >= JUDGEMENTS
    assert inverted[0]["verdict"] == "NO PARITY"
    assert Warehouse(root / "data").published_run(LOWER5).run_id == faithful[-1]["run"]


def test_a_run_that_is_killed_after_any_file_leaves_the_old_run_whole_or_the_new_one(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What SIGKILL leaves is what lies in the folder at that moment: copied here after each file that is put in place.
    old = runs(LOWER5)
    data = old.copied(tmp_path / "data")
    moments: list[Path] = []
    replace = Path.replace

    def replace_and_copy(path: Path, target: Path) -> Path:
        placed = replace(path, target)
        if data in placed.parents:
            moments.append(Path(shutil.copytree(data, tmp_path / f"moment-{len(moments)}")))
        return placed

    with monkeypatch.context() as watched:
        watched.setattr(Path, "replace", replace_and_copy)
        new = execute(LOWER5, data)
    # The parts come first, then the line of the history, then the pointer, then the catalogue.
    published, shown = [], []
    every_part = [(dataset, part) for dataset in PARTS.keys() - OPTIONAL for part in PARTS[dataset]]
    parts = len(every_part)
    left_over = shutil.copytree(moments[parts - 1], tmp_path / "left-over")
    for moment in moments:
        shutil.rmtree(data)
        moment.rename(data)
        warehouse = Warehouse(data)
        run = warehouse.published_run(LOWER5)
        run.origin(*every_part)
        published.append(run.run_id)
        seen = warehouse.query("select run_id from callbacks union select run_id from bt_fit")
        shown += seen.column(0).to_pylist()
    assert published == [old.result.run_id] * (parts + 1) + [new.run_id] * (len(moments) - parts - 1)
    # A query follows the pointer, also before the catalogue does, and shows one run whole at any moment.
    assert shown == published
    # Every part and no pointer: the next run does not mind.
    next_one = execute(LOWER5, left_over)
    assert Warehouse(left_over).published_run(LOWER5).run_id == next_one.run_id
