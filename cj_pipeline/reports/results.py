"""This module defines what the Python API returns: results that show themselves and give pandas frames."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.parity.compare import ParityReport
from cj_pipeline.parity.tables import check_row
from cj_pipeline.reports.headline import headline_lines
from cj_pipeline.reports.parity_report import values_in_words
from cj_pipeline.runs.record import RunRecord
from cj_pipeline.traces.scenario import Scenario
from cj_pipeline.traces.summary import Summary


@dataclass(frozen=True, repr=False)
class RunResult:
    """One run: who was asked, and what the engine made of the answers. record: everything that is known of it."""

    record: RunRecord
    scenario: Scenario

    def __repr__(self) -> str:
        run = self.record.document
        return (
            f"RunResult({run.scenario_id}, {run.side} by {run.judge}: {run.completed} of {run.submitted} comparisons, "
            f"{run.iterations} waves, {run.upload_status})"
        )

    def frame(self) -> pd.DataFrame:
        """Return a row for each essay, the best first.

        essay_id, label, grade; theta and standard_error in logits; rank, 1 is the best; wins, losses.
        """
        items = {item.id: item for item in self.scenario.net.items}
        rows = [
            {"label": items[essay.essay_id].label, "grade": items[essay.essay_id].grade, **essay.model_dump()}
            for essay in sorted(self.record.document.fit.essays, key=lambda essay: essay.rank)
        ]
        first = ["essay_id", "label", "grade", "rank"]
        found = pd.DataFrame(rows)
        return found[[*first, *(column for column in found.columns if column not in first)]]

    def waves(self) -> pd.DataFrame:
        """Return a row for each wave: what was asked, and the scale after it (standard errors in logits)."""
        return pd.DataFrame([asdict(wave) for wave in self.record.document.waves])

    def decisions(self) -> pd.DataFrame:
        """Return a row for each decision of the engine: after which wave, of which kind, and why."""
        return pd.DataFrame([decision.model_dump() for decision in self.record.document.decisions])

    def callbacks(self) -> pd.DataFrame:
        """Return a row for each callback of the batch, in order of arrival.

        winner: `Essay A`, `Essay B` or none; response_time_ms in milliseconds; tokens as counts; cost in US dollars.
        """
        return pd.DataFrame([_callback_row(callback) for callback in self.record.callbacks])


@dataclass(frozen=True, repr=False)
class ParityResult:
    """A parity report. report: everything that is known of it; arguments: of the command that makes the same one."""

    report: ParityReport
    arguments: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        first, *rest = headline_lines(self.report, self.arguments)
        failed = [f"{result.check.name}: {result.sentence}" for result in self.report.failed]
        return "\n  ".join((f"ParityResult({self.report.scenario.scenario_id}) {first}", *failed, *rest))

    @property
    def verdict(self) -> str:
        """Return `PARITY`, `NO PARITY` or `CANNOT TELL`."""
        return self.report.verdict.value

    @property
    def reasons(self) -> list[str]:
        """Return why it is CANNOT TELL, in sentences."""
        return [reason.sentence for reason in self.report.reasons]

    @property
    def passed(self) -> bool:
        """Return whether the verdict is PARITY."""
        return self.report.passed

    @property
    def recorded(self) -> RunResult:
        """Return the recorded run."""
        return RunResult(self.report.recorded, self.report.scenario)

    @property
    def live(self) -> RunResult:
        """Return the live run."""
        return RunResult(self.report.live, self.report.scenario)

    def table(self) -> pd.DataFrame:
        """Return a row for each check that is on, as the terminal shows it: gate, value, tolerance, evidence, result.

        value: recorded and live, in the check's unit; evidence: `exact` where chance plays no part.
        """
        rows = [
            {
                "check": result.check.name,
                "gate": result.verdict.value,
                "value": "" if result.outcome is None else values_in_words(result.outcome),
                "tolerance": "" if result.outcome is None else result.outcome.tolerance,
                "evidence": "exact" if result.evidence is None else result.evidence.verdict.value,
                "result": result.sentence,
            }
            for result in self.report.on
        ]
        return pd.DataFrame(rows).set_index("check")

    def frame(self) -> pd.DataFrame:
        """Return a row for each check, by its name, with every number behind it.

        verdict of the check, evidence, both values; difference with its 95 % interval (low, high), margin, noise and
        detectable in `unit`; p; n_recorded, n_live; the sentence.
        """
        return pd.DataFrame([check_row(result) for result in self.report.results]).set_index("check")


@dataclass(frozen=True, repr=False)
class SummaryResult:
    """What a set of callbacks adds up to. summary: as `summary.json` has it."""

    summary: Summary

    def __repr__(self) -> str:
        found = self.summary
        return (
            f"SummaryResult({found.scenario_id}: {found.total_events} callbacks, {found.error_count} errors, "
            f"mean latency {found.response_time_ms.mean_ms:.0f} ms)"
        )

    def frame(self) -> pd.DataFrame:
        """Return a row for each figure, by its name: value and unit."""
        rows = list(_figures("", self.summary.model_dump(mode="json")))
        return pd.DataFrame(rows, columns=["figure", "value", "unit"]).set_index("figure")


def _figures(prefix: str, document: dict[str, Any]) -> list[tuple[str, object, str]]:
    rows: list[tuple[str, object, str]] = []
    for name, value in document.items():
        if isinstance(value, dict):
            rows += _figures(f"{prefix}{name}.", value)
        elif isinstance(value, int | float):
            rows.append((f"{prefix}{name}", value, _unit(prefix, name)))
    return rows


def _unit(prefix: str, name: str) -> str:
    if name.endswith("_ms"):
        return "ms"
    if prefix.startswith("token_usage"):
        return "tokens"
    if prefix.startswith("bt_se_summary") and "se" in name.split("_"):
        return "logits"
    return "" if prefix.startswith("bt_") else "callbacks"


def _callback_row(callback: LLMComparisonResultV1) -> dict[str, object]:
    essay_a, essay_b = callback.essay_ids()
    error = callback.error_detail
    return {
        "correlation_id": str(callback.correlation_id),
        "essay_a": essay_a,
        "essay_b": essay_b,
        "winner": None if callback.winner is None else callback.winner.value,
        "confidence": callback.confidence,
        "error_code": None if error is None else error.error_code,
        "model": callback.model,
        "response_time_ms": callback.response_time_ms,
        "prompt_tokens": callback.token_usage.prompt_tokens,
        "completion_tokens": callback.token_usage.completion_tokens,
        "cost_estimate": callback.cost_estimate,
        "completed_at": callback.completed_at,
    }
