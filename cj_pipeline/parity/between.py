"""This module compares the recordings of one scenario with each other: fit on one, judge by the other, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

from cj_pipeline.parity.compare import ParityReport, compare
from cj_pipeline.parity.verdict import Parity
from cj_pipeline.runs.record import RunRecord, Side
from cj_pipeline.traces.provenance import Provenance
from cj_pipeline.traces.scenario import Scenario


@dataclass(frozen=True, slots=True)
class BetweenReport:
    """Two recordings by name: the judge model is fitted to one, and the other is judged by it."""

    fitted: str
    judged: str
    report: ParityReport


def compare_recordings(
    scenario: Scenario,
    runs: Mapping[str, RunRecord],
    provenances: Mapping[str, Provenance],
    *,
    scenario_file: Path | str,
    strict: bool = False,
) -> tuple[BetweenReport, ...]:
    """Compare every two recordings, both ways. runs, provenances: by the recording's name; the rest as in compare."""
    return tuple(
        BetweenReport(
            fitted,
            judged,
            compare(
                scenario.expecting_nothing(),
                runs[fitted],
                _as_live(runs[judged]),
                scenario_file=scenario_file,
                strict=strict,
                provenances=[provenances[fitted]],
                live_provenances=[provenances[judged]],
            ),
        )
        for fitted, judged in permutations(runs, 2)
    )


def joint_verdict(reports: tuple[BetweenReport, ...]) -> Parity:
    """Return the verdict of all comparisons together: NO PARITY outweighs CANNOT TELL, which outweighs PARITY."""
    found = {one.report.verdict for one in reports}
    return next(verdict for verdict in (Parity.NO_PARITY, Parity.CANNOT_TELL, Parity.PARITY) if verdict in found)


def _as_live(run: RunRecord) -> RunRecord:
    return run.model_copy(update={"document": run.document.model_copy(update={"side": Side.LIVE})})
