"""This module defines what a panel of the dashboard is, and the PromQL that its queries are made of.

Panels count what is new within `$window` and not by rate(): a counter with labels has no sample before the first event,
so rate() and increase() miss what a first batch does between two scrapes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["stat", "timeseries", "bargauge"]
Unit = Literal["short", "none", "s", "percent", "percentunit", "currencyUSD", "bool_on_off"]


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL query. legend: of its series, with `{{label}}` for a label's value."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    asks: what its reader sees, shown beside the title; unit: Grafana's name of it, `short` for whole numbers; width: of
    24 columns; trouble: it has no data while all is well.
    """

    title: str
    asks: str
    queries: tuple[Query, ...]
    kind: Kind = "timeseries"
    unit: Unit = "short"
    width: int = 8
    trouble: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


def new(selector: str) -> str:
    """Return the PromQL of what a counter counted within `$window`: all of it where it is younger than that.

    >>> new("x_total")
    '((x_total unless x_total offset $window) or increase(x_total[$window]))'
    """
    return f"(({selector} unless {selector} offset $window) or increase({selector}[$window]))"


def new_by(labels: str, selector: str) -> str:
    """Return the same, summed by labels."""
    return f"sum by ({labels}) {new(selector)}"


def quantile(share: float, histogram: str, labels: str = "") -> str:
    """Return the PromQL of a quantile of what a histogram observed within `$window`."""
    by = f"{labels}, le" if labels else "le"
    return f"histogram_quantile({share:g}, {new_by(by, f'{histogram}_bucket')})"


def mean(histogram: str) -> str:
    """Return the PromQL of the mean of what a histogram observed within `$window`."""
    return f"sum{new(f'{histogram}_sum')} / sum{new(f'{histogram}_count')}"
