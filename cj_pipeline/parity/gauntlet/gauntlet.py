"""This module sends every wrong mock through one comparison, and says which of them would get past it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cj_pipeline.parity.check import Case
from cj_pipeline.parity.compare import Verdict, exact_results, found_by_values, gates_on, validate_tolerances
from cj_pipeline.parity.expected import expected_of
from cj_pipeline.parity.gauntlet import delivery, values
from cj_pipeline.parity.gauntlet.catalogue import DRAWN, ESSENTIAL
from cj_pipeline.parity.gauntlet.drawn import tried_drawn
from cj_pipeline.parity.gauntlet.edits import EditedMock, edited_run
from cj_pipeline.parity.gauntlet.limits import DetectionLimit, limits_of
from cj_pipeline.parity.gauntlet.tried import Tried
from cj_pipeline.parity.gauntlet.wrong_mock import Group, LeftOut
from cj_pipeline.parity.noise import differences
from cj_pipeline.parity.power import says_nothing_about_essays
from cj_pipeline.parity.verdict import power_reasons
from cj_pipeline.warehouse.content_cache import ContentCache

MOST_EDITED = 1_000
"""Callbacks of each side on which edits are tried: a value that is wrong in all of them is wrong in these."""

EDITED: tuple[EditedMock, ...] = (*values.MOCKS, *delivery.MOCKS)
"""The wrong mocks that are edits of callbacks."""

WRONG_MOCKS = len(ESSENTIAL) + len(DRAWN) + len(EDITED)

_FINDS = (Verdict.FAIL, Verdict.PARTIAL)

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Gauntlet:
    """What one comparison finds. failing: exact checks that the live side fails anyway, which find nothing here.

    unread: whether the recorded answers could be a judge's that never reads.
    """

    scenario_id: str
    tried: tuple[Tried, ...]
    limits: tuple[DetectionLimit, ...]
    failing: tuple[str, ...]
    unread: bool = False

    @property
    def looked_for(self) -> tuple[Tried, ...]:
        """The wrong mocks that were not left out."""
        return tuple(one for one in self.tried if one.rate is not None)

    @property
    def missed(self) -> tuple[Tried, ...]:
        """The essential wrong mocks that get past."""
        return tuple(one for one in self.tried if one.missed)

    @property
    def blind_spots(self) -> tuple[Tried, ...]:
        """The wrong mocks that are found in less than 80 % of runs."""
        return tuple(one for one in self.tried if one.blind)


def run_gauntlet(
    case: Case, *, scenario_file: Path | str, cached: ContentCache | None = None, on_progress: Progress | None = None
) -> Gauntlet:
    """Send every wrong mock through a comparison.

    scenario_file: for errors about its tolerances. on_progress: called with the number of wrong mocks just tried.
    Raises BadInput when the scenario names a check or a limit that is not there.
    """
    validate_tolerances(case.scenario, scenario_file)
    gates, _ = gates_on(case)
    exact = exact_results(case)
    expected = expected_of(case.comparison, gates, found_by_values(exact), cached)
    drawn = tried_drawn(case.comparison, gates, expected, cached)
    limits = limits_of(case.comparison, expected.noise, gates, cached)
    if on_progress is not None:
        on_progress(len(drawn))
    edited = _edited(_cut(case), cached, on_progress)
    order = list(Group)
    tried = sorted((*drawn, *edited), key=lambda one: (order.index(one.group), not one.essential))
    failing = tuple(name for name, result in exact.items() if result.verdict in _FINDS)
    unread = says_nothing_about_essays(case.comparison, expected.detections)
    return Gauntlet(case.scenario.scenario_id, tuple(tried), limits or (), failing, unread)


def _edited(case: Case, cached: ContentCache | None, on_progress: Progress | None) -> list[Tried]:
    """Try the wrong mocks that are edits of callbacks: each is one run, and is found or is not."""
    failing_anyway = _failing(case)
    not_parity_anyway = _not_parity(case, cached)
    found = []
    for mock in EDITED:
        live = edited_run(case, mock)
        if isinstance(live, LeftOut):
            found.append(Tried(mock.name, mock.group, mock.change, False, None, left_out=live.reason))
        else:
            edited = Case(case.scenario, case.recorded, live, case.further)
            finders = [name for name in _failing(edited) if name not in failing_anyway]
            if not finders and mock.delivers:
                # No exact check finds it: the whole comparison is asked.
                finders = [name for name in _not_parity(edited, cached) if name not in not_parity_anyway]
            found.append(_found(mock, finders))
        if on_progress is not None:
            on_progress(1)
    return found


def _found(mock: EditedMock, finders: list[str]) -> Tried:
    return Tried(mock.name, mock.group, mock.change, False, float(bool(finders)), finders[0] if finders else "")


def _failing(case: Case) -> list[str]:
    return [name for name, result in exact_results(case).items() if result.verdict in _FINDS]


def _not_parity(case: Case, cached: ContentCache | None) -> list[str]:
    """Return what keeps a comparison from PARITY beside exact checks: the gates that fail, then the kinds of doubt."""
    comparison = case.comparison
    gates, _ = gates_on(case)
    expected = expected_of(comparison, gates, found_by_values(exact_results(case)), cached)
    failed = [
        name
        for name, noise in expected.noise.items()
        if noise.beyond(differences(comparison, noise, comparison.observed))[0]
    ]
    found = expected.detections
    doubts = power_reasons(found, nothing_about_essays=says_nothing_about_essays(comparison, found))
    return [*failed, *(reason.doubt.value for reason in doubts)]


def _cut(case: Case) -> Case:
    """Return a case with the first callbacks of each side alone, where there are many."""
    if max(len(case.recorded.events), len(case.live.pooled_callbacks)) <= MOST_EDITED:
        return case
    recorded, live = (
        run.model_copy(update={"events": run.events[:MOST_EDITED], "repeats": ()}) for run in (case.recorded, case.live)
    )
    return Case(case.scenario, recorded, live)
