"""Checks on what arrived: how many callbacks, of what kind, in what shape, and whether they belong here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.parity.check import Case, Limits, Outcome, check, everywhere
from cj_pipeline.parity.evidence import difference_of_shares
from cj_pipeline.parity.samples import Callbacks, share, within

GROUP = "events"


@check("counts", group=GROUP, floors=everywhere(events=0, errors=0))
def counts(case: Case, limits: Limits) -> Outcome:
    """Are there as many callbacks, successes and errors on both sides?"""
    recorded, live = _tally(case.recorded.callbacks), _tally(case.live.callbacks)
    within = (
        abs(live["total"] - recorded["total"]) <= limits["events"]
        and abs(live["success"] - recorded["success"]) <= limits["events"]
        and abs(live["error"] - recorded["error"]) <= limits["errors"]
    )
    return Outcome(
        passed=within,
        recorded=recorded["total"],
        live=live["total"],
        value=live["total"] - recorded["total"],
        unit="callbacks",
        tolerance=f"events +-{limits['events']:g}, errors +-{limits['errors']:g}",
        sentence=f"recorded {_phrase(recorded)}; live {_phrase(live)}",
    )


@check("recorded_lines", group=GROUP)
def recorded_lines(case: Case, limits: Limits) -> Outcome:
    """Could every line of the recording be used?"""
    lines = case.recorded.document.quarantined_lines
    return Outcome(
        passed=lines == 0,
        value=lines,
        unit="lines",
        tolerance="0 lines in quarantine",
        sentence=f"{lines} of the trace's lines are in quarantine",
    )


@check("error_rate", group=GROUP, floors=everywhere(difference=0.05))
def error_rate(case: Case, limits: Limits) -> Outcome:
    """Do equally many comparisons end in an error?"""
    recorded, live = _errors(case.recorded.callbacks), _errors(case.live.pooled_callbacks)
    rates = share(*recorded), share(*live)
    evidence = difference_of_shares(recorded, live, limits["difference"]) if recorded[1] and live[1] else None
    return Outcome(
        passed=within(rates[1] - rates[0], limits["difference"]),
        recorded=rates[0],
        live=rates[1],
        value=rates[1] - rates[0],
        unit="share",
        tolerance=f"+-{limits['difference']:g}",
        sentence=f"recorded {recorded[0]} of {recorded[1]}, live {live[0]} of {live[1]}",
        evidence=evidence,
    )


@check("error_mix", group=GROUP, floors=everywhere(difference=0.05))
def error_mix(case: Case, limits: Limits) -> Outcome:
    """Are the errors of the same kinds?"""
    recorded, live = _codes(case.recorded.callbacks), _codes(case.live.pooled_callbacks)
    n_recorded, n_live = len(case.recorded.callbacks), len(case.live.pooled_callbacks)
    codes = sorted(recorded.keys() | live.keys())
    apart = {code: share(live[code], n_live) - share(recorded[code], n_recorded) for code in codes}
    worst = max((abs(difference) for difference in apart.values()), default=0.0)
    listed = ", ".join(
        f"{code} {share(recorded[code], n_recorded):.3f} -> {share(live[code], n_live):.3f}" for code in codes
    )
    return Outcome(
        passed=within(worst, limits["difference"]),
        value=worst,
        unit="share",
        tolerance=f"every code +-{limits['difference']:g} of all callbacks",
        sentence=listed or "no errors on either side",
    )


@check("echo", group=GROUP)
def echo(case: Case, limits: Limits) -> Outcome:
    """Does every live callback carry its ids back, and a verdict of its own?"""
    known = {item.id for item in case.scenario.net.items}
    problems: list[str] = []
    for batch in (case.live.events, *case.live.repeats):
        ids = {event.data.request_metadata.get("bos_batch_id") for event in batch}
        if len(ids) > 1:
            problems.append(f"one batch came back under {len(ids)} bos_batch_ids")
        problems += [problem for event in batch if (problem := _echo_problem(event, known))]
    repeated = len(case.live.pooled_callbacks) - len({c.request_id for c in case.live.pooled_callbacks})
    if repeated:
        problems.append(f"{repeated} request ids came back more than once")
    return Outcome(
        passed=not problems,
        value=len(problems),
        unit="problems",
        tolerance="0 problems",
        sentence=problems[0]
        if problems
        else f"all {len(case.live.pooled_callbacks)} carry their ids and a prompt hash",
        details=tuple(problems[:5]),
    )


@check("schema", group=GROUP)
def schema(case: Case, limits: Limits) -> Outcome:
    """Do callbacks have the same JSON shape, per outcome, optional hints included?"""
    live_events = (*case.live.events, *sum(case.live.repeats, ()))
    # An envelope that was made for a bare verdict says nothing about the service that sent it.
    bare = any(event.bare for event in (*case.recorded.events, *live_events))
    recorded, live = _shapes(case.recorded.events, bare), _shapes(live_events, bare)
    common = sorted(recorded.keys() & live.keys())
    differences = [
        f"{outcome}: {line}" for outcome in common for line in _shape_differences(recorded[outcome], live[outcome])
    ]
    if not common:  # error_mix says which outcomes are missing; here it matters that nothing could be compared
        differences.append("no outcome occurs on both sides")
    return Outcome(
        passed=not differences,
        value=len(differences),
        unit="differences",
        tolerance="identical fields, types and nullability",
        sentence=("; ".join(differences[:3]) or f"same shape for {', '.join(common)}")
        + (" (without the envelope, which was not recorded)" if bare else ""),
        details=tuple(differences),
    )


CHECKS = (counts, recorded_lines, error_rate, error_mix, echo, schema)


def _tally(callbacks: Callbacks) -> dict[str, int]:
    success = sum(callback.succeeded for callback in callbacks)
    return {"total": len(callbacks), "success": success, "error": len(callbacks) - success}


def _phrase(tally: Mapping[str, int]) -> str:
    return f"{tally['total']} ({tally['success']} ok, {tally['error']} errors)"


def _errors(callbacks: Callbacks) -> tuple[int, int]:
    return sum(not callback.succeeded for callback in callbacks), len(callbacks)


def _codes(callbacks: Callbacks) -> Counter[str]:
    return Counter(callback.error_detail.error_code for callback in callbacks if callback.error_detail is not None)


def _echo_problem(event: CallbackEvent, known: set[str]) -> str | None:
    """What is wrong with one callback's identity, or None."""
    data = event.data
    if event.correlation_id != data.correlation_id:
        return f"{data.request_id}: envelope and data have different correlation ids"
    strangers = [essay for essay in data.essay_ids() if essay not in known]
    if strangers:
        return f"{data.request_id}: essay '{strangers[0]}' is not in the net"
    prompt_hash = data.request_metadata.get("prompt_sha256")
    if not (isinstance(prompt_hash, str) and len(prompt_hash) == 64 and not set(prompt_hash) - set("0123456789abcdef")):
        return f"{data.request_id}: prompt_sha256 is not 64 hex digits"
    return None


# What a service puts into its own errors is its own affair; its keys are not part of the callback's shape.
_FREE_FORM = frozenset({"data.error_detail.details"})

Shape = dict[str, frozenset[str]]


def _shapes(events: Sequence[CallbackEvent], bare: bool) -> dict[str, tuple[Shape, Shape]]:
    """Return per outcome (`success` or an error code) the types of each path, and the paths that only some have.

    bare: of the verdict alone.
    """
    documents: dict[str, list[dict[str, str]]] = {}
    for event in events:
        error = event.data.error_detail
        outcome = "success" if error is None else error.error_code
        document = event.model_dump(mode="json", exclude_unset=True, include={"data"} if bare else None)
        documents.setdefault(outcome, []).append(dict(_paths(document, "")))
    return {outcome: _merged(paths) for outcome, paths in documents.items()}


def _merged(documents: list[dict[str, str]]) -> tuple[Shape, Shape]:
    paths = {path for document in documents for path in document}
    types = {path: frozenset(document[path] for document in documents if path in document) for path in paths}
    sometimes = {path: types[path] for path in paths if any(path not in document for document in documents)}
    return types, sometimes


def _paths(value: object, path: str) -> list[tuple[str, str]]:
    """(dotted path, JSON type) of everything below a value; numbers are one type, as in JSON."""
    if isinstance(value, dict) and path not in _FREE_FORM:
        here = [(path, "object")] if path else []
        return here + [pair for key, below in value.items() for pair in _paths(below, f"{path}.{key}".lstrip("."))]
    kinds: list[tuple[type, str]] = [(bool, "boolean"), (int, "number"), (float, "number"), (str, "string")]
    kind = next((name for python, name in kinds if isinstance(value, python)), None)
    return [(path, kind or ("null" if value is None else "array" if isinstance(value, list) else "object"))]


def _shape_differences(recorded: tuple[Shape, Shape], live: tuple[Shape, Shape]) -> list[str]:
    types_r, sometimes_r = recorded
    types_l, sometimes_l = live
    lines = [f"{path} is missing in live callbacks" for path in sorted(types_r.keys() - types_l.keys())]
    lines += [f"{path} is in live callbacks only" for path in sorted(types_l.keys() - types_r.keys())]
    for path in sorted(types_r.keys() & types_l.keys()):
        if types_r[path] != types_l[path]:
            lines.append(f"{path} is {'|'.join(sorted(types_r[path]))}, live {'|'.join(sorted(types_l[path]))}")
        if (path in sometimes_r) != (path in sometimes_l):
            lines.append(f"{path} is {'optional' if path in sometimes_r else 'always there'} in the recording only")
    return lines
