"""This module tries the wrong mocks that are drawn from the judge model, and keeps what became of them by content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from pydantic import TypeAdapter, ValidationError

from cj_pipeline.parity.comparison import Comparison, Sample
from cj_pipeline.parity.expected import Expected, content_key
from cj_pipeline.parity.gate import Family
from cj_pipeline.parity.gates import Gate, Margin
from cj_pipeline.parity.gauntlet.catalogue import DRAWN, ESSENTIAL
from cj_pipeline.parity.gauntlet.closing import closings
from cj_pipeline.parity.gauntlet.faithful import Faithful
from cj_pipeline.parity.gauntlet.tried import Tried
from cj_pipeline.parity.gauntlet.wrong_mock import SAME, DrawnMock, Group, LeftOut
from cj_pipeline.parity.noise import Noise, differences
from cj_pipeline.parity.power import Detection, detection_rate, says_nothing_about_essays
from cj_pipeline.warehouse.content_cache import ContentCache

_RESULTS = TypeAdapter(tuple[Tried, ...])
_ENTRY = "tried"


def tried_drawn(
    case: Comparison, gates: Mapping[Gate, Margin], expected: Expected, cached: ContentCache | None = None
) -> tuple[Tried, ...]:
    """Try the wrong mocks that are drawn, the essential ones first, and what would close the blind spots among them.

    gates: those that are on, with their margins.
    """
    if (known := known_drawn(case, gates, expected, cached)) is not None:
        return known
    faithful = Faithful(case)
    others = [_tried(mock, faithful, expected.noise) for mock in DRAWN]
    essential = [_essential(one) for one in expected.detections]
    blind = {one.name for one in others if one.blind}
    missed = [one.name for one in essential if one.missed and one.group is not Group.VALUES]
    if says_nothing_about_essays(case, expected.detections):
        # More answers of a judge that may never read tell it from a coin no better, as the headline of parity says.
        missed = [one.name for one in essential if one.missed and one.group in (Group.TIME, Group.TOKENS)]
    closed = closings(case, gates, [mock for mock in DRAWN if mock.name in blind], missed)
    found = tuple(one.with_closing(closed.get(one.name)) for one in (*essential, *others))
    if cached is not None:
        cached.put(_key(case, gates, expected), {_ENTRY: np.frombuffer(_RESULTS.dump_json(found), np.uint8)})
    return found


def known_drawn(
    case: Comparison, gates: Mapping[Gate, Margin], expected: Expected, cached: ContentCache | None
) -> tuple[Tried, ...] | None:
    """Return what tried_drawn found earlier; None where it is not in the cache."""
    entry = None if cached is None else cached.get(_key(case, gates, expected))
    if entry is None:
        return None
    try:
        return _RESULTS.validate_json(entry[_ENTRY].tobytes())
    except (KeyError, ValidationError):
        return None


def blind_spots(
    case: Comparison, gates: Mapping[Gate, Margin], expected: Expected, cached: ContentCache | None
) -> tuple[str, ...]:
    """Return the names of the wrong mocks that are found too seldom, as far as that is in the cache."""
    return tuple(one.name for one in known_drawn(case, gates, expected, cached) or () if one.blind)


def _key(case: Comparison, gates: Mapping[Gate, Margin], expected: Expected) -> str:
    return content_key(case, "gauntlet", gates, [(one.mock.name, one.first) for one in expected.detections])


def _essential(found: Detection) -> Tried:
    group, change = ESSENTIAL[found.mock]
    if found.same_as_recorded:
        return Tried(found.mock.value, group, change, True, None, left_out=SAME.reason)
    return Tried(found.mock.value, group, change, True, found.rate, found.first)


def _tried(mock: DrawnMock, faithful: Faithful, noise: Mapping[str, Noise]) -> Tried:
    sample = mock.draw(faithful)
    if isinstance(sample, LeftOut):
        return Tried(mock.name, mock.group, mock.change, False, None, left_out=sample.reason)
    rate, first = detection_rate(faithful.case, noise, [sample])
    tried = Tried(mock.name, mock.group, mock.change, False, rate, first)
    return replace(tried, allowed_by=_allowed_by(faithful.case, noise, sample)) if tried.blind else tried


def _allowed_by(case: Comparison, noise: Mapping[str, Noise], sample: Sample) -> str:
    """Return the gate whose margin a wrong mock comes nearest to; empty where its middle run is beyond a margin."""
    used = {}
    for name, one in noise.items():
        if one.gate.reads(sample) and one.gate.family is not Family.ENGINE:
            middle = float(np.median(differences(case, one, sample)))
            allowed = one.margin.high if middle > 0 else one.margin.low
            used[name] = middle / allowed if allowed else np.inf if middle else 0.0
    nearest = max(used, key=lambda name: used[name], default="")
    return nearest if nearest and used[nearest] <= 1 else ""
