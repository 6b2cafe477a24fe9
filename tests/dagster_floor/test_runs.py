"""A verdict belongs to its run: parts of two runs never meet, at once or one after the other, killed or not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, DagsterInstance, ExecuteInProcessResult, ReexecutionOptions, execute_job, reconstructable

from cj_pipeline.definitions import build_defs
from cj_pipeline.instance import URL_VARIABLE
from cj_pipeline.runs.record import Side
from cj_pipeline.warehouse.store import Warehouse
from tests.dagster_floor.floor import LOWER5, copied_trace, execute, run_of
from tests.house import REPOSITORY

ROUNDS = int(os.environ.get("CJ_PIPELINE_TEST_OVERLAPS", "6"))

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


def test_a_report_over_the_callbacks_of_another_run_is_refused(tmp_path: Path) -> None:
    whole = execute(LOWER5, tmp_path)
    killed = execute(LOWER5, tmp_path, select=CALLBACKS_ONLY, lps={"mode": "+inverted"})
    assert killed.success
    before = (tmp_path / "published" / f"{LOWER5}.json").read_bytes()
    mixed = execute(LOWER5, tmp_path, select=PARITY_ONLY)
    assert not mixed.success
    (refusal,) = step_errors(mixed)
    assert f"run {mixed.run_id} made no runs (recorded) of '{LOWER5}'; run {whole.run_id} made one at" in refusal
    assert "Materialise the whole scenario." in refusal
    assert (tmp_path / "published" / f"{LOWER5}.json").read_bytes() == before


def test_report_rows_and_gates_are_of_one_comparison(tmp_path: Path) -> None:
    result = execute(LOWER5, tmp_path, lps={"mode": "+inverted"})
    rows = {row["check"]: row for row in run_of(result, tmp_path, LOWER5).read("parity_checks", "parity")}
    gates = {
        check.check_name: check.metadata["verdict"].value
        for check in result.get_asset_check_evaluations()
        if check.asset_key == AssetKey(["parity", "report"])
    }
    assert gates.pop("verdict") == "NO PARITY"
    assert gates == {name: row["verdict"] for name, row in rows.items()}
    assert {name for name, verdict in gates.items() if verdict == "fail"} >= JUDGEMENTS
    assert {row["run_verdict"] for row in rows.values()} == {"NO PARITY"}


def test_the_suite_says_the_verdict_of_each_published_run_and_which_run_it_is(tmp_path: Path) -> None:
    scenario = copied_trace(LOWER5, tmp_path / "traces") / "scenario.yaml"
    text = scenario.read_text()
    wrong = text.replace("mode: eng5_lower5_gpt51_low", "mode: eng5_lower5_gpt51_low+inverted")
    scenario.write_text(f"{wrong}expect: {{verdict: NO PARITY, reason: the mode is wrong on purpose}}\n")
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
    assert (shown["scenarios_no_parity"].value, shown["scenarios_unexpected"].value) == (1, 0)


@pytest.mark.parametrize(
    "resources",
    [
        {"lps": {"mode": "+inverted"}},
        {"lps": {"seed": 7}},
        {"engine": {"settings": {"max_pairwise_comparisons": 6}}},
    ],
    ids=["another mode", "another seed", "another engine setting"],
)
def test_a_trial_is_tagged_and_kept_apart(resources: dict[str, Any], tmp_path: Path) -> None:
    with DagsterInstance.ephemeral() as instance:
        result = execute(LOWER5, tmp_path, instance=instance, **resources)
        run = instance.get_run_by_id(result.run_id)
        assert run is not None
        assert run.tags["cj_pipeline/trial"] == "true"
    assert run_of(result, tmp_path, LOWER5).stamp("parity_checks", "parity").origin.trial
    assert Warehouse(tmp_path).published() == ()
    assert Warehouse(tmp_path).query("from parity_checks").num_rows == 0


def test_the_scenario_s_own_mode_and_seed_by_name_are_no_trial(tmp_path: Path) -> None:
    result = execute(LOWER5, tmp_path, lps={"mode": "eng5_lower5_gpt51_low", "seed": 42, "realtime": False})
    (pointer,) = Warehouse(tmp_path).published([LOWER5])
    assert pointer.run_id == result.run_id


def test_every_part_says_its_run_its_judges_and_its_answers(tmp_path: Path) -> None:
    result = execute(LOWER5, tmp_path)
    run = run_of(result, tmp_path, LOWER5)
    (pointer,) = Warehouse(tmp_path).published([LOWER5])
    for path in run.folder.glob("*/*.parquet"):
        stamp = run.stamp(path.parent.name, path.stem)
        assert stamp.run_id == result.run_id
        assert stamp.code == pointer.code
        sides = set(Side) if path.stem == "parity" else {path.stem}
        assert stamp.origin.answers == {side: pointer.answers[side] for side in sides}
    judges = {row["side"]: row for side in Side for row in run.read("judges", side)}
    for side, answers in pointer.answers.items():
        assert judges[side]["sha256"] == answers.judge_sha256
        assert judges[side]["answers_sha256"] == answers.answers_sha256


def job() -> Any:
    """The job, for a process that is given a function's name."""
    return build_defs().resolve_job_def("parity_all")


def test_what_is_executed_again_from_failure_goes_on_in_the_folder_of_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CJ_PIPELINE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    config = {
        "execution": {"config": {"in_process": {}}},
        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
    }
    (tmp_path / "dagster.yaml").write_text((REPOSITORY / "dagster.yaml").read_text())
    with DagsterInstance.from_config(str(tmp_path)) as instance:
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
            if check.metadata.get("verdict") and check.metadata["verdict"].value == "fail"
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
        workers[mode] = worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(home), str(root / "data"), str(ROUNDS), mode],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        # One after the other up to here: two at once that make Dagster's SQLite files lock each other out.
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers.values():
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    found = {mode: worker.communicate(timeout=60 + 120 * ROUNDS)[0].splitlines() for mode, worker in workers.items()}
    return {mode: [json.loads(line) for line in lines] for mode, lines in found.items()}


# Two processes start and run six graphs each; beside twenty busy processes three of them took 150 s.
OVERLAPPING = pytest.mark.timeout(120 + 120 * ROUNDS)


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


KILLED = """
import os, signal, sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from tests.dagster_floor.floor import LOWER5, execute
from cj_pipeline.warehouse.schemas import PARTS
from cj_pipeline.warehouse.store import Warehouse

data = Path(sys.argv[1])

def run(die_after):
    # A process of its own, which ends by SIGKILL once it has put so many files in place.
    replace, placed = Path.replace, []
    def counted(path, target):
        replace(path, target)
        placed.append(target)
        if len(placed) == die_after:
            os.kill(os.getpid(), signal.SIGKILL)
    Path.replace = counted
    execute(LOWER5, data)
    os._exit(0)

def look():
    warehouse = Warehouse(data)
    run = warehouse.published_run(LOWER5)
    run.origin(*[(dataset, part) for dataset, parts in PARTS.items() for part in parts])
    seen = warehouse.query("select distinct run_id from (select run_id from callbacks union select run_id from bt_fit)")
    print(run.run_id, *seen.column(0).to_pylist(), flush=True)
    os._exit(0)

def child(work, *arguments):
    pid = os.fork()
    if pid == 0:
        work(*arguments)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

assert child(run, 0) == 0 and child(look) == 0
for die_after in map(int, sys.argv[2:]):
    code = child(run, die_after)
    assert code in (0, -signal.SIGKILL), code
    assert child(look) == 0
assert code == 0  # nothing is written after the last of them
"""


@pytest.mark.timeout(900)  # nine runs and as many looks: 30 s of CPU
def test_a_run_that_is_killed_after_any_file_leaves_the_old_run_whole_or_the_new_one(tmp_path: Path) -> None:
    # Each death costs 2 s of CPU. 18 parts come first, then the pointer, then the catalogue.
    points = range(1, 22) if ROUNDS >= 20 else (1, 6, 12, 17, 18, 19, 20, 21)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    environment.pop("DAGSTER_HOME", None)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "data"), *map(str, points)],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    seen = [line.split() for line in done.stdout.splitlines()]
    first, *killed, last = seen
    before = [one for one in killed if one[0] == first[0]]
    assert before == [first] * sum(point <= 18 for point in points)
    # After the rename the pointer names the new run; the catalogue follows, and shows one run whole at any moment.
    assert all(len(one) == 2 for one in seen)
    assert last[0] == last[1] != first[0]
