"""This module runs every check over two sides of one scenario and gives the verdict.

Gate and evidence never mix: gates decide the verdict, evidence says how much each proves, power says what the whole
comparison could have found.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from cj_pipeline.engine.waves.plan import asked_of
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.text import signed
from cj_pipeline.parity import engine_course, error_values, events, guardrails, repeats, tolerances, values
from cj_pipeline.parity.check import INPUT, Case, Check, Limits, Outcome, request_ids
from cj_pipeline.parity.evidence import Evidence, EvidenceVerdict, evidence_of
from cj_pipeline.parity.expected import Expected, expected_of
from cj_pipeline.parity.gates import GATES, Gate, Margin
from cj_pipeline.parity.gauntlet.drawn import blind_spots
from cj_pipeline.parity.gauntlet.limits import DetectionLimit, limits_of
from cj_pipeline.parity.noise import Noise
from cj_pipeline.parity.origin import invented_checks, missing_parts
from cj_pipeline.parity.power import Detection, WrongMock, says_nothing_about_essays
from cj_pipeline.parity.verdict import Doubt, Parity, Reason, power_reasons, verdict_of
from cj_pipeline.runs.record import RunRecord
from cj_pipeline.traces.provenance import Provenance
from cj_pipeline.traces.scenario import Scenario
from cj_pipeline.warehouse.content_cache import ContentCache

# Of a live file: an engine that chooses other pairs has more, a batch that was cut has those of its retries at most.
_FEW_OTHERS = 0.1

_OF_ANSWERS = frozenset(gate.name for gate in GATES if "wins" in gate.parts)

_GATE_CHECKS = tuple(Check(gate.name, gate.family.value, gate.question, gate.limits) for gate in GATES)

ALL_CHECKS: tuple[Check, ...] = (
    *events.CHECKS,
    *values.CHECKS,
    *error_values.CHECKS,
    *_GATE_CHECKS,
    *engine_course.CHECKS,
    *repeats.CHECKS,
    *guardrails.CHECKS,
)

BY_NAME: Mapping[str, Check] = {check.name: check for check in ALL_CHECKS}
NOTHING_RECORDED = "a recording holds no usable callback"
NO_ANSWER = "a recording holds no answer: every callback is an error"


class Verdict(StrEnum):
    """What a check says."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    OFF = "off"
    PARTIAL = "partial"
    """Not all of a side was compared: no proof, and no fault of the judge."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check of a report. outcome: None when the check is off, and `reason` then says why."""

    check: Check
    verdict: Verdict
    outcome: Outcome | None
    reason: str = ""

    @property
    def evidence(self) -> Evidence | None:
        """The evidence of a statistical gate that is on."""
        return None if self.outcome is None else self.outcome.evidence

    @property
    def inconclusive(self) -> bool:
        """Whether there is evidence, and it settles nothing."""
        return self.evidence is not None and self.evidence.verdict is EvidenceVerdict.INCONCLUSIVE

    @property
    def proven_different(self) -> bool:
        """Whether the gate passed although the evidence says that the two sides differ."""
        different = self.evidence is not None and self.evidence.verdict is EvidenceVerdict.DIFFERENT
        return self.verdict is Verdict.PASS and different

    @property
    def sentence(self) -> str:
        """The result in words, or why there is none."""
        return self.reason if self.outcome is None else self.outcome.sentence


@dataclass(frozen=True, slots=True)
class ParityReport:
    """Every check of one comparison, in the order in which they are read, and the verdict.

    reasons: why it is CANNOT TELL. detections: which essential wrong mocks it would have found. notes: what differs and
    is no fault. recordings: how many the judge model was fitted to. invented: checks on what was never recorded.
    limits: which drifts it would have found; blind: wrong mocks that it finds in less than 80 % of runs. Both are empty
    where they are not in the cache and take time to compute.
    """

    scenario: Scenario
    recorded: RunRecord
    live: RunRecord
    results: tuple[CheckResult, ...]
    verdict: Parity
    reasons: tuple[Reason, ...]
    detections: tuple[Detection, ...]
    notes: tuple[str, ...]
    recordings: int
    invented: frozenset[str] = frozenset()
    limits: tuple[DetectionLimit, ...] = ()
    blind: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The checks whose gate failed."""
        return tuple(result for result in self.results if result.verdict is Verdict.FAIL)

    @property
    def on(self) -> tuple[CheckResult, ...]:
        """The checks that compared something."""
        return tuple(result for result in self.results if result.verdict is not Verdict.OFF)

    @property
    def passed(self) -> bool:
        """Whether the verdict is PARITY."""
        return self.verdict is Parity.PARITY

    @property
    def expected(self) -> Parity:
        """The verdict that the scenario expects: PARITY, unless it says another."""
        return Parity.PARITY if self.scenario.expect is None else Parity(self.scenario.expect.verdict)

    @property
    def as_expected(self) -> bool:
        """Whether the verdict is the expected one."""
        return self.verdict is self.expected

    @property
    def could_fail(self) -> tuple[CheckResult, ...]:
        """The gates that failed or would have, without those on invented values or that a fair coin mostly passes."""
        return tuple(
            result
            for result in self.on
            if result.verdict is Verdict.FAIL
            or (
                result.check.group != INPUT
                and result.check.name not in self.invented
                and (result.evidence is None or not result.evidence.says_nothing)
            )
        )

    @property
    def different(self) -> tuple[CheckResult, ...]:
        """The gates that passed although their evidence proves a difference."""
        return tuple(result for result in self.results if result.proven_different)

    @property
    def looser(self) -> tuple[str, ...]:
        """The checks whose margins the scenario has made looser than its profile's."""
        return tolerances.looser_margins(self.scenario, BY_NAME)

    @property
    def inconclusive(self) -> tuple[CheckResult, ...]:
        """The checks whose evidence settles nothing."""
        return tuple(result for result in self.results if result.inconclusive)


def compare(
    scenario: Scenario,
    recorded: RunRecord,
    live: RunRecord,
    *,
    scenario_file: Path | str,
    further: tuple[RunRecord, ...] = (),
    strict: bool = False,
    provenances: Sequence[Provenance] = (),
    live_provenances: Sequence[Provenance] = (),
    cached: ContentCache | None = None,
) -> ParityReport:
    """Run every check and give the verdict.

    scenario_file: for errors about its tolerances. further: more recordings of the judge. strict: whether inconclusive
    evidence is a reason for CANNOT TELL. provenances: of the recordings; they say what is missing and what is invented.
    live_provenances: of a live side that is a recording too.
    cached: where noise and wrong mocks are kept by content; None computes them.
    Raises BadInput when the scenario names a check or a limit that is not there.
    """
    validate_tolerances(scenario, scenario_file)
    _require_common_essays(recorded, live)
    case = Case(scenario=scenario, recorded=recorded, live=live, further=further)
    gates, off = gates_on(case)
    exact = exact_results(case)
    expected = expected_of(case.comparison, gates, found_by_values(exact), cached)
    floors = {gate.name: _floor(case, gate) for gate in gates if not math.isinf(_floor(case, gate))}
    results_by_name = _gate_results(case, expected, floors) | off
    results = tuple((results_by_name | exact)[check.name] for check in ALL_CHECKS)
    found = () if _shows_nothing(recorded) else expected.detections
    sides = (("recording", provenances), ("live side", live_provenances))
    missing = (f"the {side} is partial: {part}" for side, ones in sides for part in missing_parts(ones))
    lacks = tuple(Reason(Doubt.PARTIAL, sentence.rstrip(".")) for sentence in missing)
    reasons = lacks + _reasons(case, results, found, strict=strict)
    failed = sum(result.verdict is Verdict.FAIL for result in results)
    return ParityReport(
        scenario=scenario,
        recorded=recorded,
        live=live,
        results=results,
        verdict=verdict_of(failed, reasons),
        reasons=reasons,
        detections=found,
        notes=values.notes(case),
        recordings=len(case.recordings),
        invented=invented_checks((*provenances, *live_provenances)),
        limits=() if cached is None else limits_of(case.comparison, expected.noise, gates, cached, cheap=True) or (),
        blind=blind_spots(case.comparison, gates, expected, cached),
    )


def _require_common_essays(recorded: RunRecord, live: RunRecord) -> None:
    """Raise BadInput where no essay is on both sides: what one side calls a pair the other has never seen."""
    sides = [{essay for event in run.events for essay in event.data.essay_ids()} for run in (recorded, live)]
    if all(sides) and sides[0].isdisjoint(sides[1]):
        here, there = min(sides[1]), min(sides[0])
        raise BadInput(
            f"has no essay in common with '{recorded.document.judge}' ('{here}' here, '{there}' there).",
            path=live.document.judge,
            remedy="An import replaces ids of essays unless it is told --no-redact: import both, or neither.",
        )


def validate_tolerances(scenario: Scenario, path: Path | str) -> None:
    """Check a scenario's `tolerances` and `checks_off` against the checks there are. Raises BadInput."""
    tolerances.validate_tolerances(scenario, path, BY_NAME)


def gates_on(case: Case) -> tuple[dict[Gate, Margin], dict[str, CheckResult]]:
    """Return the gates that apply, with their margins, and the results of those that do not."""
    on: dict[Gate, Margin] = {}
    off: dict[str, CheckResult] = {}
    for gate in GATES:
        check = BY_NAME[gate.name]
        reason = _why_off(check, case) or gate.missing(case.comparison)
        if reason is None:
            on[gate] = gate.margin(case.comparison, _limits(check, case))
        else:
            off[gate.name] = CheckResult(check, Verdict.OFF, None, reason)
    return on, off


def _gate_results(case: Case, expected: Expected, floors: Mapping[str, float]) -> dict[str, CheckResult]:
    comparison, noise = case.comparison, expected.noise
    live = {name: float(one.gate.statistic(comparison, comparison.observed)[0]) for name, one in noise.items()}
    observed = {name: live[name] - one.reference for name, one in noise.items()}
    evidence = evidence_of(comparison, noise, observed, expected.coin)
    results = {}
    for name, one in noise.items():
        gate, difference = one.gate, observed[name]
        below_floor = name in floors and live[name] < floors[name] - 1e-9
        failed = bool(one.beyond(np.array([difference]))[0]) or below_floor
        recorded = None if gate.recorded is None else one.reference
        # A floor of the live value, as a difference like the rest.
        lowest = max(one.tolerance.low, floors.get(name, -math.inf) - one.reference)
        outcome = Outcome(
            passed=not failed,
            recorded=recorded,
            live=live[name],
            value=difference,
            floor=_finite(lowest),
            ceiling=_finite(one.tolerance.high),
            unit=gate.unit,
            tolerance=_tolerance(one, floors.get(name)),
            sentence=_sentence(one, live[name], evidence[name]),
            evidence=evidence[name],
        )
        results[name] = CheckResult(BY_NAME[name], Verdict.FAIL if failed else Verdict.PASS, outcome)
    return results


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _tolerance(noise: Noise, floor: float | None) -> str:
    tolerance = noise.tolerance
    if math.isinf(noise.low) or noise.gate.direction.value == "high":
        words = f"at most {signed(tolerance.high)}"
    elif noise.gate.direction.value == "low":
        words = f"at least {signed(tolerance.low)}"
    else:
        words = f"{signed(tolerance.low)} to {signed(tolerance.high)}"
    return words + ("" if floor is None else f", live at least {floor:g}")


def _sentence(noise: Noise, live: float, evidence: Evidence) -> str:
    gate = noise.gate
    against = "recorded" if gate.recorded is not None else "expected of the recorded judge"
    words = f"{live:.4g} {gate.unit} live, {noise.reference:.4g} {against}"
    width = max(abs(value) for value in (evidence.noise.low, evidence.noise.high) if math.isfinite(value))
    margin = min(abs(value) for value in (evidence.margin.low, evidence.margin.high))
    if width > margin:
        words += f"; the margin of {margin:.3g} is less than the noise of {min(evidence.observations)} ({width:.3g})"
    return words


def exact_results(case: Case) -> dict[str, CheckResult]:
    """Return the results of the exact checks, by name."""
    return {check.name: _exact_result(check, case) for check in ALL_CHECKS if check.function is not None}


def _floor(case: Case, gate: Gate) -> float:
    if gate.floor is None:
        return -math.inf
    return float(_limits(BY_NAME[gate.name], case).get(gate.floor, -math.inf))


def _limits(check: Check, case: Case) -> Limits:
    return check.limits(case.scenario.profile, case.scenario.own_limits(check.name))


def _shows_nothing(recording: RunRecord) -> str | None:
    """Return why a recording shows nothing of its judge; None where it holds an answer."""
    if any(event.data.succeeded for event in recording.events):
        return None
    return NO_ANSWER if recording.events else NOTHING_RECORDED


def _why_off(check: Check, case: Case) -> str | None:
    if check.group != INPUT and (reason := _shows_nothing(case.recorded)):
        return reason
    reason = case.scenario.checks_off.get(check.name)
    if reason is None and case.scenario.profile not in check.floors:
        reason = f"not part of the profile {case.scenario.profile}"
    return reason


def _exact_result(check: Check, case: Case) -> CheckResult:
    reason = _why_off(check, case) or check.not_applicable(case)
    if reason is not None or check.function is None:
        return CheckResult(check=check, verdict=Verdict.OFF, outcome=None, reason=reason or "")
    outcome = check.function(case, _limits(check, case))
    if outcome.passed:
        return CheckResult(check, Verdict.PASS, outcome)
    return CheckResult(check, Verdict.PARTIAL if check.group == INPUT else Verdict.FAIL, outcome)


def found_by_values(exact: Mapping[str, CheckResult]) -> dict[WrongMock, str]:
    """Return the wrong mocks that a check of values finds every time, where it is on."""
    finders = {WrongMock.OTHER_MODEL: "identity", WrongMock.LOST_FIELD: "schema"}
    return {mock: name for mock, name in finders.items() if exact[name].verdict is not Verdict.OFF}


def _reasons(
    case: Case, results: tuple[CheckResult, ...], found: tuple[Detection, ...], *, strict: bool
) -> tuple[Reason, ...]:
    reasons: list[Reason] = []
    empty = dict.fromkeys(filter(None, map(_shows_nothing, case.recordings)))
    reasons += [Reason(Doubt.PARTIAL, sentence) for sentence in empty]
    answered = _shows_nothing(case.recorded) is None
    on = {result.check.name for result in results if result.verdict is not Verdict.OFF and result.check.group != INPUT}
    if answered and not on:
        reasons.append(Reason(Doubt.NO_GATE, "no gate is on, so nothing was compared"))
    elif answered and on.isdisjoint(_OF_ANSWERS):
        why = "no prompt was answered on both sides" if case.comparison.common is None else "their checks are off"
        reasons.append(Reason(Doubt.NO_ANSWERS, f"no answers were compared: {why}"))
    reasons += [Reason(Doubt.PARTIAL, result.sentence) for result in results if result.verdict is Verdict.PARTIAL]
    reasons += [Reason(Doubt.SAME_FILE, sentence) for sentence in _same_files(case)]
    reasons += [Reason(Doubt.PARTIAL, sentence) for sentence in _lost(case)]
    if answered:
        nothing = not on.isdisjoint(_OF_ANSWERS) and says_nothing_about_essays(case.comparison, found)
        reasons += power_reasons(found, nothing_about_essays=nothing)
    unsettled = [result.check.name for result in results if result.inconclusive]
    if strict and unsettled:
        reasons.append(Reason(Doubt.INCONCLUSIVE, f"evidence settles nothing for {', '.join(unsettled)}"))
    return tuple(reasons)


def _lost(case: Case) -> Iterator[str]:
    """Say where a file lacks recorded comparisons and has hardly any other: nobody knows what became of the rest."""
    if case.live.document.asked_batch_ids:
        return  # we asked, and `counts` knows how often
    recorded, live = _comparisons(case.recorded), _comparisons(case.live)
    lost, others = recorded - live, (live - recorded).total()
    if live and lost.total() > others and others <= _FEW_OTHERS * live.total():
        rest = f"only {others} others" if others else "no others"
        first, second = next(iter(lost))
        yield (
            f"the live side lacks {lost.total()} of the {recorded.total()} recorded comparisons and has {rest}; the "
            f"first is '{first}' shown before '{second}'"
        )


def _comparisons(run: RunRecord) -> Counter[tuple[str, str]]:
    """Count how often each comparison was asked. One that was asked again after an error was asked once."""
    asked = Counter(one.essay_ids() for one in run.callbacks)
    errors = Counter(one.essay_ids() for one in run.callbacks if not one.succeeded)
    retries = Counter(one.essay_ids() for one in run.callbacks if asked_of(one).retry)
    return asked - (errors & retries)  # a retry alone is no sign: production calls every later wave one


def _same_files(case: Case) -> Iterator[str]:
    """Say what is there twice: a run that is compared with itself, a recording that is no second one."""
    recordings, live = case.recordings, set(request_ids(case.live))
    for recording in recordings:
        known = set(request_ids(recording))
        # In any order, or in part: a request is answered once, so its id tells.
        if 2 * len(live & known) > min(len(live), len(known)):
            yield "both sides are the same file, or one was made of the other: their request ids are equal"
            break
    if len(recordings) <= len(case.further):
        yield "two recordings are the same file, which is no second recording"
