"""This module makes the summary of standard errors and the quality flags of a batch. No flag gates anything."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cj_pipeline.bt.standard_errors import standard_errors
from cj_pipeline.foundation.errors import CjPipelineError

if TYPE_CHECKING:
    from cj_pipeline.bt.comparisons import Comparisons
    from cj_pipeline.bt.pairs import FloatArray

# What production shows for "we do not know": larger standard errors are displayed as this.
DISPLAY_CAP = 2.0


@dataclass(frozen=True, slots=True)
class SeSummary:
    """Displayed standard errors (logits) and comparison counts of one batch; counts are int when whole.

    items_at_cap: displayed at 2.0 or above, isolated ones included. mean_, min_, max_comparisons_per_item: over all
    items. All 0 for a batch without items.
    """

    mean_se: float
    max_se: float
    min_se: float
    item_count: int
    comparison_count: float
    items_at_cap: int
    isolated_items: int
    mean_comparisons_per_item: float
    min_comparisons_per_item: float
    max_comparisons_per_item: float

    def as_dict(self) -> dict[str, float]:
        """Return the figures under production's keys, in production's order."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class FlagThresholds:
    """Where a flag is raised: mean or max standard error above, mean comparisons per item below."""

    mean_se: float = 0.4
    max_se: float = 0.8
    mean_comparisons_per_item: float = 1.0


PRODUCTION_THRESHOLDS = FlagThresholds()


@dataclass(frozen=True, slots=True)
class QualityFlags:
    """Warnings about one batch: scores too uncertain, too few comparisons, items without any."""

    bt_se_inflated: bool
    comparison_coverage_sparse: bool
    has_isolated_items: bool

    def as_dict(self) -> dict[str, bool]:
        """Return the flags under production's keys."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class VacuousFlags:
    """Per flag: would it read the same whatever the judge answered on these pairs?

    best_case: the summary with every comparison at p = 1/2, where each standard error is as small as it can be.
    """

    bt_se_inflated: bool
    comparison_coverage_sparse: bool
    has_isolated_items: bool
    best_case: SeSummary

    @property
    def names(self) -> tuple[str, ...]:
        """Return the flags that no judge could change."""
        flags = ("bt_se_inflated", "comparison_coverage_sparse", "has_isolated_items")
        return tuple(flag for flag in flags if getattr(self, flag))


def displayed(standard_error: npt.ArrayLike) -> FloatArray:
    """Return standard errors as production displays them: 2.0 at most, inf included."""
    return np.minimum(np.asarray(standard_error, dtype=np.float64), DISPLAY_CAP)


def se_summary(standard_error: npt.ArrayLike, comparisons: Comparisons) -> SeSummary:
    """Summarise (n,) standard errors of these comparisons, displayed; an isolated item counts as 2.0 in any gauge."""
    shown = displayed(standard_error)
    if shown.shape != (comparisons.n_items,):
        raise CjPipelineError(f"{shown.shape} standard errors for {comparisons.n_items} items.")
    if comparisons.n_items == 0:
        return SeSummary(0.0, 0.0, 0.0, 0, 0, 0, 0, 0.0, 0, 0)
    per_item = comparisons.comparisons_per_item
    isolated = per_item == 0
    if comparisons.n_items > 1:  # a single item is isolated, and its score of 0 is exact
        shown[isolated] = DISPLAY_CAP
    return SeSummary(
        mean_se=float(shown.mean()),
        max_se=float(shown.max()),
        min_se=float(shown.min()),
        item_count=comparisons.n_items,
        comparison_count=_whole(comparisons.n_comparisons),
        items_at_cap=int((shown >= DISPLAY_CAP).sum()),
        isolated_items=int(isolated.sum()),
        mean_comparisons_per_item=float(per_item.mean()),
        min_comparisons_per_item=_whole(per_item.min()),
        max_comparisons_per_item=_whole(per_item.max()),
    )


def quality_flags(summary: SeSummary, thresholds: FlagThresholds = PRODUCTION_THRESHOLDS) -> QualityFlags:
    """Raise the flags whose threshold the summary passes."""
    return QualityFlags(
        bt_se_inflated=summary.mean_se > thresholds.mean_se or summary.max_se > thresholds.max_se,
        comparison_coverage_sparse=summary.mean_comparisons_per_item < thresholds.mean_comparisons_per_item,
        has_isolated_items=summary.isolated_items > 0,
    )


def flags_are_vacuous(
    comparisons: Comparisons, thresholds: FlagThresholds = PRODUCTION_THRESHOLDS, *, reference: int | None = None
) -> VacuousFlags:
    """Which flags could no judge change on this net, whatever it answered?

    Coverage and isolation count pairs, so none could. bt_se_inflated is vacuous when it is raised with every
    comparison at p = 1/2: no scores give more information, in any gauge, so every judge raises it too. It is also
    vacuous for fewer than two items. reference: the gauge the standard errors are in, centred by default.
    """
    best = se_summary(standard_errors(np.zeros(comparisons.n_items), comparisons, reference=reference), comparisons)
    return VacuousFlags(
        bt_se_inflated=comparisons.n_items < 2 or quality_flags(best, thresholds).bt_se_inflated,
        comparison_coverage_sparse=True,
        has_isolated_items=True,
        best_case=best,
    )


def _whole(count: float) -> float:
    return int(count) if float(count).is_integer() else float(count)
