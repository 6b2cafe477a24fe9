"""The LPS's settings and series as markdown tables.

Here: one row for each, from the code that declares it. Not here: where the tables go (reference.py).
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from cj_pipeline.contracts.enums import QueueProcessingMode
from cj_pipeline.lps.metrics import LpsMetrics
from cj_pipeline.lps.mock_settings import MockSettings
from cj_pipeline.lps.providers.metrics import ProviderMetrics
from cj_pipeline.lps.providers.settings import ProviderSettings
from cj_pipeline.lps.settings import LpsSettings, QueueSettings


def settings_table() -> str:
    """Every setting with its default, in the order: service, queue, providers, mock."""
    groups: list[type[BaseModel]] = [QueueSettings, ProviderSettings, MockSettings]
    elsewhere = {name for group in groups for name in group.model_fields}
    rows = [_setting(name, field) for name, field in LpsSettings.model_fields.items() if name not in elsewhere]
    for group in groups:
        rows += [_setting(name, field) for name, field in group.model_fields.items()]
    return "\n".join(["| variable | default | what it does |", "|---|---|---|", *rows])


def metrics_table() -> str:
    """Every series with its kind and labels."""
    metrics = LpsMetrics(QueueProcessingMode.PER_REQUEST)
    ProviderMetrics(metrics.registry)
    # The registry's own index of what was registered; it has no public list of metrics that have no sample yet.
    collectors = dict.fromkeys(metrics.registry._names_to_collectors.values())
    rows = [_series(collector) for collector in collectors if isinstance(collector, MetricWrapperBase)]
    return "\n".join(["| series | kind | labels | counts |", "|---|---|---|---|", *sorted(rows)])


def _setting(name: str, field: FieldInfo) -> str:
    return f"| `{name.upper()}` | {_shown(field.default)} | {field.description or ''} |".replace("\n", " ")


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value == "":
        return "-"
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        value = str(value).lower()
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _series(collector: MetricWrapperBase) -> str:
    kind = str(collector._type)[0].upper()
    suffix = "_total" if kind == "C" else ""
    labels = ", ".join(collector._labelnames)
    return f"| `{collector._name}{suffix}` | {kind} | {labels} | {collector._documentation} |"
