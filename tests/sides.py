"""This module makes both sides of the committed scenarios, once per process."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from cj_pipeline.parity.compare import CheckResult, ParityReport, compare
from cj_pipeline.runs.modes import scenario_mode
from cj_pipeline.runs.record import RunRecord, Side
from cj_pipeline.runs.scenario_run import JudgeIdentity, replay, run_live
from cj_pipeline.traces.scenario import SCENARIO_FILE, Scenario
from cj_pipeline.traces.store import Trace, TraceStore
from cj_pipeline.warehouse.content_cache import ContentCache, cache_in
from tests.house import REPOSITORY

TRACES = Path(__file__).parents[1] / "traces"

GENERIC = "cj_lps_roundtrip_mock_20251205"
ANCHORS = "eng5_anchor_align_gpt51_low_20251201"
LADDER = "eng5_anchor_ladder_20251202"
LOWER5 = "eng5_lower5_gpt51_low_20251202"
SCENARIOS = (GENERIC, ANCHORS, LADDER, LOWER5)


@cache
def trace(scenario_id: str) -> Trace:
    return TraceStore(TRACES).trace(scenario_id)


def scenario(scenario_id: str) -> Scenario:
    return trace(scenario_id).scenario


@cache
def recorded(scenario_id: str) -> RunRecord:
    found = trace(scenario_id)
    events = [line.event for line in found.callbacks.events]
    return replay(found.scenario, events, side=Side.RECORDED, judge=JudgeIdentity(scenario_id, found.sha256))


@cache
def live(scenario_id: str, mode: str = "", seed: int = 42) -> RunRecord:
    """mode: as on the command line; empty is the scenario's own."""
    found = trace(scenario_id)
    loaded = scenario_mode(found.scenario, mode, scenario_file=TRACES / scenario_id / SCENARIO_FILE)
    return run_live(found.scenario, [line.event for line in found.callbacks.events], loaded, seed=seed)


def session_cache() -> ContentCache:
    """The cache that all tests share, see conftest.py."""
    return cache_in(REPOSITORY / "data")


def report(scenario_id: str, live_side: RunRecord, recorded_side: RunRecord | None = None) -> ParityReport:
    return compare(
        scenario(scenario_id),
        recorded_side or recorded(scenario_id),
        live_side,
        scenario_file="scenario.yaml",
        cached=session_cache(),
    )


def result(scenario_id: str, check: str, live_side: RunRecord, recorded_side: RunRecord | None = None) -> CheckResult:
    found = report(scenario_id, live_side, recorded_side)
    return next(result for result in found.results if result.check.name == check)


def failed(scenario_id: str, mode: str, seed: int = 42) -> set[str]:
    """Names of the checks that turn red when a scenario runs under a mode."""
    return {result.check.name for result in report(scenario_id, live(scenario_id, mode, seed)).failed}
