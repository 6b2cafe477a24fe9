"""This module defines `materialize`, which fills the warehouse and prints the parity table, and group `warehouse`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cj_pipeline.cli.migrate import migrate_data
from cj_pipeline.cli.output import (
    csv_option,
    json_option,
    print_csv,
    print_json,
    print_table,
    progress_bar,
    say,
    say_wrapped,
)
from cj_pipeline.cli.parity_options import SEED, accept_option, strict_option
from cj_pipeline.cli.scenario_names import scenario_folder
from cj_pipeline.foundation import exit_codes
from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.errors import BadInput, CjPipelineError

if TYPE_CHECKING:
    from cj_pipeline.definitions import Materialised
    from cj_pipeline.warehouse.rows import Row
    from cj_pipeline.warehouse.run_folder import RunFolder


@click.command()
@click.argument("scenarios", metavar="[SCENARIO]...", nargs=-1)
@click.option("--mode", help="A mode, or +OVERLAY on each scenario's own.")
@click.option("--seed", type=SEED, help="Seed of the mock; the scenario's own by default.")
@click.option("--realtime", is_flag=True, help="Take as long as the latencies do.")
@strict_option
@accept_option
@click.option(
    "--html",
    type=click.Path(file_okay=False, path_type=Path),
    help="Also write HTML pages into this folder: one over all scenarios, with what changed, and one for each.",
)
@json_option
@csv_option
def materialize(
    scenarios: tuple[str, ...],
    mode: str | None,
    seed: int | None,
    realtime: bool,
    strict: bool,
    accept_unproven: bool,
    html: Path | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Materialise every asset of the SCENARIOs (all by default) and print the parity table.

    SCENARIO: an id or a folder. The Dagster graph runs in this process. A run with another --mode or --seed than the
    scenario's is a trial: it is kept in a folder of its own and not published.

    Exits with 0 when every verdict is the one that its scenario expects (PARITY, unless it says another), 1 for NO
    PARITY or a verdict better than expected, 3 for CANNOT TELL, 2 when a scenario cannot be used.
    """
    from cj_pipeline.parity.tables import CHECKS
    from cj_pipeline.parity.verdict import worst_code
    from cj_pipeline.runs.modes import scenario_mode
    from cj_pipeline.traces.scenario import SCENARIO_FILE, read_scenario
    from cj_pipeline.warehouse.data_root import data_root
    from cj_pipeline.warehouse.schemas import PARITY_PART
    from cj_pipeline.warehouse.store import Warehouse

    folders = [scenario_folder(name) for name in scenarios] or _all_folders()
    for folder in folders:  # a name that is not there is reported before anything runs
        path = folder / SCENARIO_FILE
        scenario_mode(read_scenario(path), mode, scenario_file=path)
    try:
        from cj_pipeline.definitions import materialise
    except ModuleNotFoundError as error:
        raise CjPipelineError(
            f"{error}. Materialising needs Dagster: install cj-pipeline[dagster]. "
            "Without it, `cj-pipeline parity SCENARIO` compares without a warehouse."
        ) from None
    data = Warehouse(data_root())
    results: list[Materialised] = []
    with progress_bar("materialising", len(folders)) as progress:
        for traces_dir, together in groupby(folders, key=lambda folder: folder.parent):
            ids = [folder.name for folder in together]
            for result in materialise(
                ids, mode=mode, seed=seed, realtime=realtime, strict=strict, traces_dir=traces_dir
            ):
                results.append(result)
                progress(1)
    stored = [checks_of(result) for result in results]
    rows = suite_rows(results, stored)
    if html is not None:
        from cj_pipeline.cli.pages import write_pages  # here: most commands write no page

        index = write_pages(html, results, {folder.name: folder for folder in folders})
        say(f"The page over all scenarios is {index}.", err=True)
    if as_json:
        print_json(rows)
    elif as_csv:
        print_csv(*_suite_csv(rows))
    else:
        print_suite(rows)
        print_failed(zip(rows, stored, strict=True))
        for result in results:
            if result.compared and _is_trial(result.run):
                say_wrapped(
                    f"{result.scenario_id} was a trial, which is not published. Ask it with: cj-pipeline sql "
                    f"\"from '{result.run.path(CHECKS, PARITY_PART)}'\""
                )
        if data.catalogue_path.is_file():
            say_wrapped(f"What is published is in {data.catalogue_path}; ask it with: cj-pipeline sql")
    codes = [code_of(*one, accept_unproven) for one in zip(results, stored, strict=True)]
    if not (as_json or as_csv):
        _print_unexpected(rows, codes)
    sys.exit(worst_code(codes))


@click.group()
def warehouse() -> None:
    """Look after the data folder."""


warehouse.add_command(migrate_data)


@warehouse.command("prune")
@click.option("--keep", type=click.IntRange(min=1), default=10, show_default=True, help="Whole runs of a scenario.")
def prune_runs(keep: int) -> None:
    """Remove runs that nobody looks at: trials, runs that broke off, whole runs beyond the newest ones.

    What is published, and what was written within a day, stays; so does a run with a dataset that this program does not
    know.
    """
    from cj_pipeline.warehouse.data_root import data_root
    from cj_pipeline.warehouse.prune import prune
    from cj_pipeline.warehouse.store import Warehouse

    removed = prune(
        Warehouse(data_root()), utc_now(), keep=keep, on_left=lambda left: say(f"warning: {left}", err=True)
    )
    for run in removed:
        say(f"removed run {run.run_id} of {run.scenario_id}")
    say(f"runs removed: {len(removed)}")


def _all_folders() -> list[Path]:
    from cj_pipeline.cli.sources import trace_store

    store = trace_store()
    folders = [store.folder(scenario_id) for scenario_id in store.scenario_ids()]
    if not folders:
        raise BadInput(
            "holds no scenario.",
            path=store.root,
            remedy="Run from the project's folder, or set CJ_PIPELINE_TRACES_DIR.",
        )
    return folders


def checks_of(result: Materialised) -> Sequence[Row]:
    """Return the checks that a run stored; none of one that was stopped before its report."""
    from cj_pipeline.parity.tables import CHECKS
    from cj_pipeline.warehouse.schemas import PARITY_PART

    return result.run.read(CHECKS, PARITY_PART) if result.compared else ()


def print_failed(rows: Iterable[tuple[Mapping[str, Any], Sequence[Row]]]) -> None:
    """Print the failed gates of each scenario as a table, but for expected ones. rows: suite_row and checks."""
    from cj_pipeline.parity.compare import Verdict
    from cj_pipeline.parity.verdict import Parity

    for scenario, checks in rows:
        failed = [row for row in checks if row["verdict"] == Verdict.FAIL]
        if failed and scenario["expected"] != Parity.NO_PARITY:
            print_table(
                f"{scenario['scenario']}: failed gates",
                ("check", "recorded", "live", "unit", "tolerance"),
                [
                    (row["check"], _rounded_4(row["recorded"]), _rounded_4(row["live"]), row["unit"], row["tolerance"])
                    for row in failed
                ],
            )


def _print_unexpected(rows: Sequence[Mapping[str, Any]], codes: Sequence[int]) -> None:
    """Name the scenarios that decide about an exit code other than 0."""
    for row, code in zip(rows, codes, strict=True):
        if code and row["verdict"] != row["expected"]:
            say_wrapped(f"Not as expected: {row['scenario']} is {row['verdict']}, expected {row['expected']}.")
    if exit_codes.CANNOT_TELL in codes:
        say_wrapped("What a recording cannot tell, its scenario.yaml may expect: docs/parity.md, `expect`.")


def _rounded_4(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if 1000 <= abs(value) < 1e12 else f"{value:.4g}"


def _is_trial(run: RunFolder) -> bool:
    from cj_pipeline.parity.tables import CHECKS
    from cj_pipeline.warehouse.schemas import PARITY_PART

    return run.stamp(CHECKS, PARITY_PART).origin.trial


def code_of(result: Materialised, checks: Sequence[Row], accept_unproven: bool) -> int:
    """Return the exit code of one scenario, and print what stopped its run."""
    from cj_pipeline.parity.tables import stored_verdict
    from cj_pipeline.parity.verdict import judged_exit_code

    stops = [] if result.compared else [f"{name}: {result.failed_checks[name]}" for name in result.stopping_checks]
    for problem in (*result.problems, *stops):
        say(f"{result.scenario_id} broke off: {problem}", err=True)
    if result.defects:
        return exit_codes.INTERNAL_ERROR
    if not checks or result.problems:
        return exit_codes.PASSED if result.success else exit_codes.BAD_INPUT
    verdict = stored_verdict(result.scenario_id, checks)
    code = judged_exit_code(verdict.verdict, verdict.expected, verdict.reasons, accept=accept_unproven)
    return code if code or result.success else exit_codes.CHECK_FAILED


def suite_rows(results: Sequence[Materialised], stored: Sequence[Sequence[Row]]) -> list[dict[str, Any]]:
    """Return the parity table: a scenario each. stored: the checks of each result."""
    return [
        suite_row(result.scenario_id, checks, broke_off=bool(result.problems))
        for result, checks in zip(results, stored, strict=True)
    ]


def suite_row(scenario_id: str, checks: Sequence[Row], *, broke_off: bool) -> dict[str, Any]:
    """Return one scenario of the parity table, from its stored checks. broke_off: whether a step of its run did."""
    from cj_pipeline.parity.tables import stored_verdict

    found = stored_verdict(scenario_id, checks) if checks else None
    by_name = {row["check"]: row for row in checks}
    return {
        "scenario": scenario_id,
        "verdict": None if found is None else found.verdict.value,
        "expected": None if found is None else found.expected.value,
        "words": "broke off" if found is None else f"{found.words}, then broke off" if broke_off else found.words,
        "broke_off": found is None or broke_off,
        "checks_on": 0 if found is None else found.checks_on,
        "checks_off": 0 if found is None else found.checks_off,
        "inconclusive": 0 if found is None else found.inconclusive,
        "rank_tau_b": by_name.get("rank_agreement", {}).get("live"),
        "answer_agreement": by_name.get("answer_agreement", {}).get("live"),
        "mean_ms": _both(by_name, "latency_mean"),
        "mean_tokens": _both(by_name, "tokens_completion"),
        "run": None if found is None else found.run_id,
        "failing": [] if found is None else list(found.failing),
        "reasons": [] if found is None else [reason.sentence for reason in found.reasons],
    }


def _both(by_name: Mapping[str, Mapping[str, Any]], check: str) -> dict[str, Any]:
    from cj_pipeline.runs.record import Side

    row = by_name.get(check, {})
    return {side.value: row.get(side.value) for side in Side}


def _suite_csv(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[object]]]:
    """Return headings and rows of the parity table, a column for each side of a pair and the failed checks as one."""
    flat = [
        {
            **{key: value for key, value in row.items() if not isinstance(value, dict | list)},
            **{f"{key}_{side}": value for key in ("mean_ms", "mean_tokens") for side, value in row[key].items()},
            "failing": " ".join(row["failing"]),
            "reasons": " ".join(row["reasons"]),
        }
        for row in rows
    ]
    return list(flat[0]), [list(row.values()) for row in flat]


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 2)


def print_suite(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the parity table in two parts, which fit 80 columns each; pairs of values are recorded and live."""

    def pair(values: Mapping[str, float | None]) -> str:
        return " / ".join("" if value is None else f"{value:,.1f}" for value in values.values())

    print_table(
        "Parity",
        ("scenario", "verdict", "gates failed", "inconclusive"),
        [
            (row["scenario"], row["words"], f"{len(row['failing'])} of {row['checks_on']}", row["inconclusive"])
            for row in rows
        ],
    )
    for row in rows:
        if row["failing"]:
            say_wrapped(f"{row['scenario']} failed: {', '.join(row['failing'])}", indent="    ")
        for reason in row["reasons"]:
            say_wrapped(f"{row['scenario']}: {reason}", indent="    ")
    print_table(
        "Means (recorded / live)",
        ("scenario", "ms", "completion tokens", "same answers", "rank tau-b"),
        [
            (
                row["scenario"],
                pair(row["mean_ms"]),
                pair(row["mean_tokens"]),
                _rounded(row["answer_agreement"]),
                _rounded(row["rank_tau_b"]),
            )
            for row in rows
        ],
    )
    say_wrapped("inconclusive: passed on evidence that settles nothing; cj-pipeline parity SCENARIO says more.")
