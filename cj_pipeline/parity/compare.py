"""Parity: every check over two runs of one scenario, and the verdict.

Here: which checks there are, running them, the report. Not here: what a check asks (its own module), how a report is
shown (reports/), how runs are made (runs/).

Gate and evidence never mix. The gate decides the verdict and the exit code; the evidence says how much it proves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cj_pipeline.foundation.errors import BadInput, did_you_mean
from cj_pipeline.parity import engine_course, events, guardrails, judgements, repeats, timing, token_use
from cj_pipeline.parity.check import Case, Check, Limits, Outcome
from cj_pipeline.parity.evidence import EvidenceVerdict
from cj_pipeline.runs.record import RunRecord
from cj_pipeline.traces.scenario import Scenario

ALL_CHECKS: tuple[Check, ...] = (
    *events.CHECKS,
    *judgements.CHECKS,
    *timing.CHECKS,
    *token_use.CHECKS,
    *engine_course.CHECKS,
    *repeats.CHECKS,
    *guardrails.CHECKS,
)

BY_NAME: Mapping[str, Check] = {check.name: check for check in ALL_CHECKS}


class Verdict(StrEnum):
    """What a gate says."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check of a report. outcome: None when the check is off, and `reason` then says why."""

    check: Check
    verdict: Verdict
    outcome: Outcome | None
    reason: str = ""

    @property
    def inconclusive(self) -> bool:
        """Whether there is evidence, and it settles nothing."""
        evidence = None if self.outcome is None else self.outcome.evidence
        return evidence is not None and evidence.verdict is EvidenceVerdict.INCONCLUSIVE

    @property
    def proven_different(self) -> bool:
        """Whether the gate passed although the evidence says that the two sides differ."""
        evidence = None if self.outcome is None else self.outcome.evidence
        passed = self.verdict is Verdict.PASS
        return passed and evidence is not None and evidence.verdict is EvidenceVerdict.DIFFERENT

    @property
    def sentence(self) -> str:
        """The result in words, or why there is none."""
        return self.reason if self.outcome is None else self.outcome.sentence


@dataclass(frozen=True, slots=True)
class ParityReport:
    """Every check of one scenario, in the order in which they are read."""

    scenario: Scenario
    recorded: RunRecord
    live: RunRecord
    results: tuple[CheckResult, ...]

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The checks whose gate failed."""
        return tuple(result for result in self.results if result.verdict is Verdict.FAIL)

    @property
    def passed(self) -> bool:
        """Whether no gate failed."""
        return not self.failed

    @property
    def inconclusive(self) -> tuple[CheckResult, ...]:
        """The checks whose evidence settles nothing."""
        return tuple(result for result in self.results if result.inconclusive)


def compare(scenario: Scenario, recorded: RunRecord, live: RunRecord, *, scenario_file: Path | str) -> ParityReport:
    """Run every check. scenario_file: for errors about its tolerances.

    Raises BadInput when the scenario names a check or a limit that does not exist, or loosens a floor.
    """
    validate_tolerances(scenario, scenario_file)
    case = Case(scenario=scenario, recorded=recorded, live=live)
    results = tuple(_run(check, case) for check in ALL_CHECKS)
    return ParityReport(scenario=scenario, recorded=recorded, live=live, results=results)


def validate_tolerances(scenario: Scenario, path: Path | str) -> None:
    """Check a scenario's `tolerances` and `checks_off` against the checks there are; see compare."""
    for section, names in (("tolerances", scenario.tolerances), ("checks_off", scenario.checks_off)):
        for name in names:
            if name not in BY_NAME:
                raise BadInput(
                    f"'{name}' is not a check.",
                    path=path,
                    field=f"{section}.{name}",
                    remedy=did_you_mean(name, BY_NAME),
                )
    for name, tightened in scenario.tolerances.items():
        floor = BY_NAME[name].floors.get(scenario.profile, {})
        for limit, value in tightened.items():
            _validate_limit(name, limit, value, floor, path)


def _validate_limit(name: str, limit: str, value: float, floor: Limits, path: Path | str) -> None:
    field = f"tolerances.{name}.{limit}"
    if limit not in floor:
        raise BadInput(
            f"'{limit}' is not a limit of '{name}' in this profile.",
            path=path,
            field=field,
            remedy=did_you_mean(limit, floor) or "It has none.",
        )
    looser = value < floor[limit] if limit.startswith("at_least") else value > floor[limit]
    if looser:
        raise BadInput(
            f"{value:g} is looser than the floor of {floor[limit]:g}.",
            path=path,
            field=field,
            remedy="A scenario may tighten a limit; to live without the check, put it under checks_off with a reason.",
        )


def _run(check: Check, case: Case) -> CheckResult:
    reason = case.scenario.checks_off.get(check.name)
    if reason is None and case.scenario.profile not in check.floors:
        reason = f"not part of the profile {case.scenario.profile}"
    if reason is None:
        reason = check.not_applicable(case)
    if reason is not None:
        return CheckResult(check=check, verdict=Verdict.OFF, outcome=None, reason=reason)
    limits = check.limits(case.scenario.profile, case.scenario.tolerances.get(check.name, {}))
    outcome = _answer(check, case, limits)
    return CheckResult(check=check, verdict=Verdict.PASS if outcome.passed else Verdict.FAIL, outcome=outcome)


def _answer(check: Check, case: Case, limits: Limits) -> Outcome:
    """The check's answer; a side without a single success fails it, since there is nothing to compare."""
    if check.group in NEEDS_SUCCESSES and not _has_success(case.recorded):
        return Outcome(passed=False, tolerance="some success recorded", sentence="the recording holds no success")
    if check.group in NEEDS_SUCCESSES and not _has_success(case.live):
        return Outcome(passed=False, tolerance="some success live", sentence="the live side holds no success")
    return check.function(case, limits)


NEEDS_SUCCESSES = {judgements.GROUP, timing.GROUP, token_use.GROUP}


def _has_success(run: RunRecord) -> bool:
    return any(callback.succeeded for callback in run.callbacks)
