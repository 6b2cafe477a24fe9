"""This module checks what arrived: how many callbacks, in what shape, and whether every line could be used."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from cj_pipeline.contracts.callback import CallbackEvent, callback_json
from cj_pipeline.contracts.engine_settings import Pairing
from cj_pipeline.contracts.enums import Provider, Winner
from cj_pipeline.contracts.model import WireModel
from cj_pipeline.contracts.reasons import ANSWER_MARKS, CONFIDENCE_KNOWN, TOKENS_KNOWN, is_measured
from cj_pipeline.parity.check import INPUT, Case, Limits, Outcome, check, needs_asked

GROUP = "events"


@check("counts", group=GROUP, not_applicable=needs_asked)
def counts(case: Case, limits: Limits) -> Outcome:
    """Did as many callbacks come as comparisons were asked?"""
    asked = min(len(case.recorded.callbacks), case.scenario.engine.max_pairwise_comparisons)
    came = len(case.live.callbacks)
    bound = case.scenario.engine.pairing is Pairing.RECORDED
    return Outcome(
        passed=came == asked or not bound,
        recorded=asked,
        live=came,
        value=came - asked,
        floor=0 if bound else None,
        ceiling=0 if bound else None,
        unit="callbacks",
        tolerance="equal",
        sentence=f"{asked} comparisons asked, {came} callbacks came",
    )


@check("recorded_lines", group=INPUT)
def recorded_lines(case: Case, limits: Limits) -> Outcome:
    """Could every line of the recording be used?"""
    return _lines(sum(run.document.quarantined_lines for run in (case.recorded, *case.further)), "recording")


@check("live_lines", group=INPUT)
def live_lines(case: Case, limits: Limits) -> Outcome:
    """Could every line of the live side be used?"""
    return _lines(case.live.document.quarantined_lines, "live side")


def _lines(lines: int, side: str) -> Outcome:
    return Outcome(
        passed=lines == 0,
        value=lines,
        ceiling=0,
        unit="lines",
        tolerance="0 lines in quarantine",
        sentence=f"{lines} lines of the {side} could not be used and are in quarantine"
        if lines
        else f"every line of the {side} is used",
    )


@check("schema", group=GROUP)
def schema(case: Case, limits: Limits) -> Outcome:
    """Do callbacks have the same JSON shape, per outcome, optional hints included?"""
    # An envelope that was made for a bare verdict says nothing about the service that sent it.
    bare = any(event.bare for events in case.events for event in events)
    recorded, live = (_shapes(events, bare) for events in case.events)
    common = sorted(recorded.keys() & live.keys())
    differences = [
        f"{outcome}: {line}" for outcome in common for line in _shape_differences(recorded[outcome], live[outcome])
    ]
    differences += _marked_apart(*case.events)
    if not common:  # error_mix says which outcomes are missing; here it matters that nothing could be compared
        differences.append("no outcome occurs on both sides")
    return Outcome(
        passed=not differences,
        value=len(differences),
        ceiling=0,
        unit="differences",
        tolerance="identical fields, types and nullability",
        sentence=("; ".join(differences[:3]) or f"same shape for {', '.join(common)}")
        + (" (without the envelope, which was not recorded)" if bare else ""),
        details=tuple(differences),
    )


def _marked_apart(recorded: Sequence[CallbackEvent], live: Sequence[CallbackEvent]) -> Iterator[str]:
    """Say where many more answers of one side than of the other lack a confidence or tokens.

    Single ones are a matter of luck; the checks on values leave them out, and must not be left without the rest.
    """
    sides = [[event.data for event in side if event.data.succeeded] for side in (recorded, live)]
    if not all(sides):
        return
    for mark in (CONFIDENCE_KNOWN, TOKENS_KNOWN):
        shares = [sum(data.request_metadata.get(mark) is False for data in side) / len(side) for side in sides]
        error = math.sqrt(sum(0.25 / len(side) for side in sides))
        if abs(shares[1] - shares[0]) > max(0.1, 3 * error):
            yield f"{mark} is false in {shares[0]:.0%} of the recorded answers, {shares[1]:.0%} of the live ones"


CHECKS = (counts, recorded_lines, live_lines, schema)


# What a service puts into its own errors is its own affair; its keys are not part of the callback's shape.
_FREE_FORM = frozenset({"data.error_detail.details"})
# Nor are marks on single answers that did not come as asked for.
_MARKS = frozenset(f"data.request_metadata.{mark}" for mark in ANSWER_MARKS)
# The number of a wave has another name on a retry, and what is asked again depends on which calls failed.
_OF_RETRIES = {"data.request_metadata.retry_iteration": "data.request_metadata.comparison_iteration"}

Shape = dict[str, frozenset[str]]


def _shapes(events: Sequence[CallbackEvent], bare: bool) -> dict[str, tuple[Shape, Shape]]:
    """Return per outcome (`success` or an error code) the types of each path, and the paths that only some have.

    bare: of the verdict alone.
    """
    # Each shape once: a callback has 30 paths, and of 100,000 nearly all have the same.
    shapes: dict[object, tuple[tuple[str, str], ...]] = {}
    documents: dict[str, set[tuple[tuple[str, str], ...]]] = {}
    unknown: dict[str, set[tuple[tuple[str, str], ...]]] = {}
    for event in events:
        error = event.data.error_detail
        outcome = "success" if error is None else error.error_code
        key = _python_types(event)
        shape = shapes.get(key)
        if shape is None:
            shape = shapes[key] = _shape_of(event, bare)
        # An answer whose tokens are not known lacks what says how many they were.
        known = documents if is_measured(event.data.request_metadata) else unknown
        known.setdefault(outcome, set()).add(shape)
    return {outcome: _merged([dict(shape) for shape in shapes]) for outcome, shapes in (unknown | documents).items()}


def _python_types(value: WireModel | dict[str, Any]) -> object:
    """Return a key of the names and Python types of everything in a value: events with the same key have one shape.

    It takes a tenth of the time of `_shape_of`.
    """
    if isinstance(value, WireModel):
        others = value.model_extra
        return (
            type(value),
            frozenset(value.model_fields_set),
            _python_types(value.__dict__),
            _python_types(others) if others else None,
        )
    types = tuple(map(type, value.values()))
    if _LEAVES.issuperset(types):
        return (*value, types)
    below = [_python_types(each) for each in value.values() if isinstance(each, (WireModel, dict))]
    return (*value, types, *below)


_LEAVES = frozenset({str, int, float, bool, type(None), list, UUID, datetime, Winner, Provider})


def _shape_of(event: CallbackEvent, bare: bool) -> tuple[tuple[str, str], ...]:
    document = json.loads(callback_json(event))
    if bare:
        document = {"data": document if event.bare else document["data"]}
    kinds = dict(_paths(document, ""))
    for path, value in event.mistyped.items():
        name = ".".join(map(str, path))
        if isinstance(value, float) and name in kinds:
            kinds[name] = "number with a decimal point"
    return tuple((_OF_RETRIES.get(path, path), kind) for path, kind in kinds.items() if path not in _MARKS)


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
