"""This module reads /metrics: it parses Prometheus text into samples, and subtracts two of them.

The series are written in services/lps/metrics.py and judged in parity/.
"""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client.parser import text_string_to_metric_families

from cj_pipeline.runs.record import Sample

_COUNTED = ("_total", "_count", "_sum", "_bucket")


def parse_metrics(text: str) -> tuple[Sample, ...]:
    """Return every sample of an exposition, sorted by name and labels.

    `_created` samples are left out: they are times of the machine's own clock.
    """
    samples = [
        Sample(name=sample.name, labels=dict(sorted(sample.labels.items())), value=float(sample.value))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]
    return tuple(sorted(samples, key=_identity))


def since(before: Sequence[Sample], after: Sequence[Sample]) -> tuple[Sample, ...]:
    """Return what was counted between two expositions of one process: the growth of counters, the value of gauges.

    A counter that has fallen belongs to a process that was started in between, and counts from 0.
    """
    known = {_identity(sample): sample.value for sample in before if sample.name.endswith(_COUNTED)}
    grown = []
    for sample in after:
        earlier = known.get(_identity(sample), 0.0)
        gone_by = earlier if earlier <= sample.value else 0.0
        grown.append(sample.model_copy(update={"value": sample.value - gone_by}))
    return tuple(grown)


def _identity(sample: Sample) -> tuple[str, tuple[tuple[str, str], ...]]:
    return sample.name, tuple(sorted(sample.labels.items()))
