"""This module finds the children of labelled Prometheus series fast.

`labels()` of the library takes 1.7 us, a dictionary 0.2 us; one comparison writes to a dozen series.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

Child = TypeVar("Child", covariant=True)


class _Metric(Protocol[Child]):
    def labels(self, *labelvalues: str) -> Child: ...


class Series(Generic[Child]):
    """A metric with labels, and its children so far."""

    def __init__(self, metric: _Metric[Child]) -> None:
        self._metric = metric
        self._children: dict[tuple[str, ...], Child] = {}

    def labels(self, *values: str) -> Child:
        """The child with these label values."""
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = self._metric.labels(*values)
        return child
