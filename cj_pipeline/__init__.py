"""This module is the Python API for notebooks and scripts: `import cj_pipeline as cj`.

    replay, live, parity, summarise    run something, and return a result that shows itself and gives pandas frames
    scenarios, frame, connect          what there is, and what `make parity` has stored

A source is a scenario id, a trace folder, or a file of callbacks, as on the command line. Scenarios are read from
CJ_PIPELINE_TRACES_DIR [traces], stored data from CJ_PIPELINE_DATA_DIR [data]. Scores are in logits, times in
milliseconds, shares between 0 and 1. Bad input raises CjPipelineError with a sentence that says what to do.

Importing this module imports nothing else: each function imports what it needs when it is called.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    import duckdb
    import pandas as pd

    from cj_pipeline.cli.sources import Source
    from cj_pipeline.foundation.errors import CjPipelineError
    from cj_pipeline.reports.results import ParityResult, RunResult, SummaryResult
    from cj_pipeline.runs.record import RunRecord
    from cj_pipeline.traces.provenance import Provenance

    _Source = str | PathLike[str]
    _Result = TypeVar("_Result")

__all__ = [
    "CjPipelineError",
    "ParityResult",
    "RunResult",
    "SummaryResult",
    "connect",
    "frame",
    "live",
    "parity",
    "replay",
    "scenarios",
    "summarise",
]

_CLASSES = {
    "CjPipelineError": "cj_pipeline.foundation.errors",
    "ParityResult": "cj_pipeline.reports.results",
    "RunResult": "cj_pipeline.reports.results",
    "SummaryResult": "cj_pipeline.reports.results",
}


def scenarios() -> list[str]:
    """Return the ids of the scenarios, sorted.

    >>> scenarios()[1:3]
    ['eng5_anchor_align_gpt51_low_20251201', 'eng5_anchor_align_sonnet45_20251130']
    """
    from cj_pipeline.cli.sources import trace_store

    return list(trace_store().scenario_ids())


def replay(source: _Source) -> RunResult:
    """Run the recorded answers of a source through the engine: its scale, its waves, its decisions.

    >>> run = replay("eng5_lower5_gpt51_low_20251202")
    >>> run
    RunResult(eng5_lower5_gpt51_low_20251202, recorded by eng5_lower5_gpt51_low_20251202: 10 of 10 comparisons, ...)
    >>> run.frame()[["label", "grade", "rank"]].head(2).values.tolist()
    [['vt_005_D-', 'D-', 1], ['vt_004_E+', 'E+', 2]]
    """
    from cj_pipeline.cli.sources import find_source
    from cj_pipeline.reports.results import RunResult
    from cj_pipeline.runs.record import Side

    found = find_source(str(source))
    return RunResult(_away_from_the_notebooks_loop(lambda: found.replayed(Side.RECORDED)), found.scenario)


def live(scenario: _Source, mode: str | None = None, *, seed: int | None = None) -> RunResult:
    """Put the net of a scenario to the mock, on the embedded stack and in virtual time.

    mode: a mode, or `+OVERLAY` on the scenario's own, which is the default; seed: the scenario's own by default.

    >>> live("eng5_lower5_gpt51_low_20251202", "+inverted").frame()["grade"].tolist()[0]
    'F+'
    """
    from cj_pipeline.cli.sources import find_source
    from cj_pipeline.reports.results import RunResult

    found = find_source(str(scenario))
    return RunResult(_live_run(found, mode, seed), found.scenario)


def parity(
    recorded: _Source, live: _Source | None = None, mode: str | None = None, *, seed: int | None = None
) -> ParityResult:
    """Compare a recording with another one, or with the mock, check by check.

    live: the other source; without it the mock answers, under `mode` as `cj_pipeline.live` takes it.
    Raises ValueError for a live source and a mode together.

    >>> report = parity("eng5_lower5_gpt51_low_20251202", mode="+inverted")
    >>> report.verdict
    'NO PARITY'
    >>> checks = report.table()
    >>> "answer_agreement" in set(checks[checks["gate"] == "fail"].index)
    True
    """
    from cj_pipeline.cli.runs import widened
    from cj_pipeline.cli.sources import find_source
    from cj_pipeline.foundation.settings import PipelineSettings
    from cj_pipeline.parity.compare import compare
    from cj_pipeline.reports.results import ParityResult
    from cj_pipeline.runs.record import Side
    from cj_pipeline.warehouse.content_cache import cache_in

    if live is not None and mode is not None:
        raise ValueError("Give a live source or a mode, not both.")
    found = find_source(str(recorded))
    scenario = found.scenario
    live_provenances: tuple[Provenance, ...] = ()
    if live is None:
        other = _live_run(found, mode, seed)
    else:
        found_live = find_source(str(live))
        scenario, live_provenances = scenario.expecting_nothing(), found_live.provenances[:1]
        wide = widened(scenario, found_live.scenario)
        other = _away_from_the_notebooks_loop(lambda: found_live.replayed(Side.LIVE, wide))
    return ParityResult(
        _away_from_the_notebooks_loop(
            lambda: compare(
                scenario,
                found.replayed(Side.RECORDED),
                other,
                scenario_file=found.scenario_file,
                further=found.further_runs(),
                provenances=found.provenances,
                live_provenances=live_provenances,
                cached=cache_in(PipelineSettings().data_dir),
            )
        ),
        (str(recorded), *(() if live is None else (str(live),)), *(() if mode is None else ("--mode", mode))),
    )


def summarise(source: _Source) -> SummaryResult:
    """Count what the callbacks of a source say: winners, errors, latency, tokens.

    >>> summary = summarise("eng5_lower5_gpt51_low_20251202")
    >>> int(summary.frame().loc["total_events", "value"])
    10
    """
    from cj_pipeline.cli.sources import find_source
    from cj_pipeline.reports.results import SummaryResult
    from cj_pipeline.traces.summary import summarise as summary_of

    found = find_source(str(source))
    return SummaryResult(summary_of([event.data for event in found.events], found.scenario.scenario_id))


def frame(dataset: str, scenario: str | None = None) -> pd.DataFrame:
    """Return a stored dataset, of one scenario or of all; `make parity` stores them.

    dataset: `bt_fit`, `parity_checks`, `runs`, `callbacks` and others; a name that does not exist raises an error that
    lists them all.

    >>> fit = frame("bt_fit", "eng5_lower5_gpt51_low_20251202")
    >>> fit[fit["side"] == "recorded"][["label", "rank"]].head(2).values.tolist()
    [['vt_005_D-', 1], ['vt_004_E+', 2]]
    """
    import duckdb

    from cj_pipeline.foundation.errors import BadInput, did_you_mean
    from cj_pipeline.warehouse.schemas import HISTORY, SCHEMAS

    known = (*SCHEMAS, HISTORY)
    if dataset not in known:
        remedy = f"{did_you_mean(dataset, known)} Datasets: {', '.join(known)}."
        raise BadInput(f"no dataset is called '{dataset}'.", path="cj_pipeline.frame", field="dataset", remedy=remedy)
    with connect() as connection:
        rows = connection.table(dataset)
        if scenario is not None:
            rows = rows.filter(duckdb.ColumnExpression("scenario_id") == duckdb.ConstantExpression(scenario))
        found: pd.DataFrame = rows.df()
        return found


def connect() -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection on which every stored dataset is a read-only table; close it when done.

    >>> with connect() as connection:
    ...     connection.execute("select count(*) from bt_fit").fetchall()
    [(5,)]
    """
    from cj_pipeline.warehouse.data_root import data_root
    from cj_pipeline.warehouse.store import Warehouse

    return Warehouse(data_root()).connect()


def _live_run(found: Source, mode: str | None, seed: int | None) -> RunRecord:
    from cj_pipeline.runs.modes import scenario_mode
    from cj_pipeline.runs.scenario_run import run_live

    loaded = scenario_mode(found.scenario, mode, scenario_file=found.scenario_file)
    return _away_from_the_notebooks_loop(lambda: run_live(found.scenario, found.events, loaded, seed=seed))


def __getattr__(name: str) -> Any:
    if name in _CLASSES:
        return getattr(import_module(_CLASSES[name]), name)
    raise AttributeError(f"module 'cj_pipeline' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__


def _away_from_the_notebooks_loop(work: Callable[[], _Result]) -> _Result:
    """Return what the work returns, done in a thread: a notebook's own thread has an event loop that runs already."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


class _Package(ModuleType):
    """This package, whose room `parity` can be called as the function of that name.

    The import system binds `cj_pipeline.parity` to the sub-package as soon as anything imports from it, in place of the
    function above.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name == "parity" and isinstance(value, ModuleType):
            value.__class__ = _CallableRoom
            value.__doc__ = _parity.__doc__
        super().__setattr__(name, value)


class _CallableRoom(ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> ParityResult:
        return _parity(*arguments, **options)


_parity = parity
sys.modules[__name__].__class__ = _Package
