"""This module checks what the engine made of the answers: coverage, decisions, flags, resampling."""

from __future__ import annotations

from cj_pipeline.contracts.engine_settings import Pairing
from cj_pipeline.contracts.enums import CJRequestType
from cj_pipeline.parity.check import Case, Limits, Outcome, check, needs_asked
from cj_pipeline.parity.divergence import first_divergence_sentence
from cj_pipeline.runs.record import NOT_REPLAYED

GROUP = "engine"


def _answers_differ(case: Case) -> str | None:
    """The engine is deterministic: equal answers must give equal decisions, different ones may give others."""
    if case.recorded.document.answers_sha256 == case.live.document.answers_sha256:
        replayed = all(run.document.upload_status != NOT_REPLAYED for run in (case.recorded, case.live))
        return None if replayed else "so many callbacks are compared without the engine; `replay` runs it on each file"
    return "the two sides' answers differ, and with them what the engine makes of them; see the first divergence"


@check("coverage", group=GROUP, not_applicable=needs_asked)
def coverage(case: Case, limits: Limits) -> Outcome:
    """Were the same pairs asked, with the same essay first?"""
    # A call that is made again is one that failed, and the live side has failures of its own.
    recorded = {
        callback.essay_ids()
        for callback in case.recorded.callbacks
        if callback.request_metadata.get("cj_request_type") != CJRequestType.RETRY
    }
    live = {callback.essay_ids() for callback in case.live.callbacks}
    missing = len(recorded - live)
    budget = case.scenario.engine.max_pairwise_comparisons
    used_up = len(case.recorded.callbacks) > budget == len(case.live.callbacks)
    bound = case.scenario.engine.pairing is Pairing.RECORDED
    return Outcome(
        passed=missing == 0 or used_up or not bound,
        recorded=len(recorded),
        live=len(live),
        value=-missing,
        floor=None if used_up or not bound else 0,
        unit="pairs",
        tolerance="no recorded pair is left out",
        sentence=f"{len(recorded)} pairs asked recorded, {len(live)} live, {missing} left out",
    )


@check("decisions", group=GROUP, not_applicable=_answers_differ)
def decisions(case: Case, limits: Limits) -> Outcome:
    """Does the engine take the same decisions in as many waves?"""
    recorded = [decision.kind for decision in case.recorded.document.decisions]
    live = [decision.kind for decision in case.live.document.decisions]
    ends = case.recorded.document.upload_status, case.live.document.upload_status
    same = (
        recorded == live and case.recorded.document.iterations == case.live.document.iterations and ends[0] == ends[1]
    )
    return Outcome(
        passed=same,
        recorded=case.recorded.document.iterations,
        live=case.live.document.iterations,
        value=case.live.document.iterations - case.recorded.document.iterations,
        floor=0,
        ceiling=0,
        unit="waves",
        tolerance="same kinds in the same order, same end",
        sentence=f"{len(recorded)} decisions, {ends[0]}; {first_divergence_sentence(case)}"
        if same
        else f"{_divergence(recorded, live)}; ends {ends[0]} and {ends[1]}; {first_divergence_sentence(case)}",
    )


@check("bt_flags", group=GROUP, not_applicable=_answers_differ)
def bt_flags(case: Case, limits: Limits) -> Outcome:
    """Are the same quality flags raised?"""
    recorded, live = case.recorded.document.fit, case.live.document.fit
    differing = [name for name, raised in recorded.quality_flags.items() if live.quality_flags.get(name) != raised]
    raised = [name for name, on in recorded.quality_flags.items() if on]
    vacuous = ", ".join(recorded.vacuous_flags)
    return Outcome(
        passed=not differing,
        value=len(differing),
        ceiling=0,
        unit="flags",
        tolerance="equal",
        sentence=(f"{', '.join(differing)} differ" if differing else f"equal; raised: {', '.join(raised) or 'none'}")
        + (f". Vacuous on this net, whatever the judge does: {vacuous}" if vacuous else ""),
    )


@check("small_net", group=GROUP, not_applicable=_answers_differ)
def small_net(case: Case, limits: Limits) -> Outcome:
    """Is the net resampled alike?"""
    sides = [
        (run.document.is_small_net, run.document.resampling_pass_count, run.document.small_net_cap_reached)
        for run in (case.recorded, case.live)
    ]
    return Outcome(
        passed=sides[0] == sides[1],
        recorded=sides[0][1],
        live=sides[1][1],
        value=sides[1][1] - sides[0][1],
        floor=0,
        ceiling=0,
        unit="passes",
        tolerance="equal",
        sentence=f"small net {_yes(sides[0][0])}, {sides[0][1]} passes recorded and {sides[1][1]} live, "
        f"cap reached {_yes(sides[0][2])} and {_yes(sides[1][2])}",
    )


CHECKS = (coverage, decisions, bt_flags, small_net)


def _divergence(recorded: list[str], live: list[str]) -> str:
    for number, (left, right) in enumerate(zip(recorded, live, strict=False), start=1):
        if left != right:
            return f"decision {number} is {left}, live {right}"
    return f"{len(recorded)} decisions, live {len(live)}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
