"""This module renders the settings and metrics of the services as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from cj_pipeline.bus.kafka.settings import KafkaSettings
from cj_pipeline.contracts.enums import QueueProcessingMode
from cj_pipeline.contracts.forgiven import MEANINGS
from cj_pipeline.contracts.reasons import EXPLANATIONS
from cj_pipeline.mock.settings import MockSettings
from cj_pipeline.services.cj.metrics import CjMetrics
from cj_pipeline.services.cj.settings import CjSettings
from cj_pipeline.services.lps.metrics import LpsMetrics
from cj_pipeline.services.lps.providers.metrics import ProviderMetrics
from cj_pipeline.services.lps.providers.model import Model
from cj_pipeline.services.lps.providers.settings import ProviderSettings
from cj_pipeline.services.lps.settings import LpsSettings, QueueSettings


def lps_settings() -> str:
    """Return every setting of the LPS with its default, in the order: service, queue, providers, mock."""
    groups: list[type[BaseModel]] = [QueueSettings, ProviderSettings, MockSettings]
    elsewhere = {name for group in groups for name in group.model_fields}
    fields = [(name, field) for name, field in LpsSettings.model_fields.items() if name not in elsewhere]
    return _settings([*fields, *(item for group in groups for item in group.model_fields.items())])


def cj_settings() -> str:
    """Return every setting of the CJ service with its default."""
    return _settings(CjSettings.model_fields.items())


def kafka_settings() -> str:
    """Return every setting of the Kafka client with its default."""
    return _settings(KafkaSettings.model_fields.items())


def model_keys() -> str:
    """Return every key of a model in a manifest, with its default."""
    rows = [
        f"| `{name}` | {_shown(field.default)} | {field.description or ''} |".replace("\n", " ")
        for name, field in Model.model_fields.items()
    ]
    return "\n".join(["| key | default | what it does |", "|---|---|---|", *rows])


def lps_metrics() -> str:
    """Return every series of the LPS with its kind and labels."""
    metrics = LpsMetrics(QueueProcessingMode.PER_REQUEST)
    ProviderMetrics(metrics.registry)
    return _series(metrics.registry)


def failure_reasons() -> str:
    """Return every reason of a failure with its codes and what comes next."""
    rows = [
        f"| `{reason}` | {', '.join(one.codes)} | {one.meaning} | {one.what_next} |"
        for reason, one in EXPLANATIONS.items()
    ]
    return "\n".join(["| reason | code | what it means | then |", "|---|---|---|---|", *rows])


def forgiven_marks() -> str:
    """Return everything that is forgiven in an answer."""
    rows = [f"| `{mark}` | {meaning} |" for mark, meaning in MEANINGS.items()]
    return "\n".join(["| mark | what was forgiven |", "|---|---|", *rows])


def cj_metrics() -> str:
    """Return every series of the CJ service with its kind and labels."""
    return _series(CjMetrics().registry)


def _settings(fields: Iterable[tuple[str, FieldInfo]]) -> str:
    rows = [
        f"| `{name.upper()}` | {_shown(field.default)} | {field.description or ''} |".replace("\n", " ")
        for name, field in fields
    ]
    return "\n".join(["| variable | default | what it does |", "|---|---|---|", *rows])


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value is PydanticUndefined or value in ("", {}):
        return "-"
    if isinstance(value, tuple):
        return f"`{', '.join(str(element) for element in value)}`"
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        value = str(value).lower()
    if isinstance(value, str) and len(value) > 60:
        return "built in"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _series(registry: CollectorRegistry) -> str:
    # The registry's own index of what was registered; it has no public list of metrics that have no sample yet.
    collectors = dict.fromkeys(registry._names_to_collectors.values())
    rows = [_row(collector) for collector in collectors if isinstance(collector, MetricWrapperBase)]
    return "\n".join(["| series | kind | labels | counts |", "|---|---|---|---|", *sorted(rows)])


def _row(collector: MetricWrapperBase) -> str:
    kind = str(collector._type)[0].upper()
    suffix = "_total" if kind == "C" else ""
    labels = ", ".join(collector._labelnames)
    return f"| `{collector._name}{suffix}` | {kind} | {labels} | {collector._documentation} |"
