"""Reading /metrics: Prometheus text into samples.

Here: the parse. Not here: writing the series (lps/metrics.py), judging them (parity/).
"""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from cj_pipeline.runs.record import Sample


def parse_metrics(text: str) -> tuple[Sample, ...]:
    """Every sample of an exposition, sorted by name and labels.

    `_created` samples are left out: they tell when a series was made, by the machine's own clock.
    """
    samples = [
        Sample(name=sample.name, labels=dict(sorted(sample.labels.items())), value=float(sample.value))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]
    return tuple(sorted(samples, key=lambda sample: (sample.name, sorted(sample.labels.items()))))
