"""This module writes the files with which Prometheus and Grafana watch an LPS and a CJ service."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

import yaml

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.reports.observability.dashboard import dashboard
from cj_pipeline.warehouse.files import write_output

PROMETHEUS, ALERTS, DASHBOARD = "prometheus.yml", "alerts.yml", "dashboard.json"

SCRAPE_INTERVAL_S = 15
"""How often Prometheus asks by default; alerts and panels hold for anything up to 30 s."""


def alert_rules() -> str:
    """Return the alert rules, as Prometheus reads them."""
    return (resources.files(__package__) / ALERTS).read_text(encoding="utf-8")


def prometheus_config(targets: Mapping[str, Sequence[str]], scrape_interval_s: int = SCRAPE_INTERVAL_S) -> str:
    """Return a configuration of Prometheus. targets: HOST:PORTs by job, which alerts and panels know as lps and cj."""
    every = f"{scrape_interval_s}s"
    config = {
        "global": {"scrape_interval": every, "evaluation_interval": every},
        "rule_files": [ALERTS],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": list(places)}]} for job, places in targets.items()
        ],
    }
    return yaml.safe_dump(config, sort_keys=False)


def write_files(
    folder: Path,
    targets: Mapping[str, Sequence[str]],
    scrape_interval_s: int = SCRAPE_INTERVAL_S,
    *,
    replace: bool = False,
) -> tuple[Path, ...]:
    """Write the three files into a folder; return their paths.

    targets: as for `prometheus_config`; replace: whether files of these names may be lost that say something else.
    Raises BadInput for a folder that cannot be written to, and, before anything is written, for a file that is there.
    """
    texts = {
        PROMETHEUS: prometheus_config(targets, scrape_interval_s),
        ALERTS: alert_rules(),
        DASHBOARD: json.dumps(dashboard(), indent=2) + "\n",
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            if not replace and (folder / name).exists() and (folder / name).read_bytes() != text.encode():
                raise BadInput(
                    "is there already, and says something else.",
                    path=folder / name,
                    remedy="Name another folder, or replace it with --force.",
                )
        for name, text in texts.items():
            write_output(folder / name, text)
    except OSError as error:
        raise BadInput(
            f"cannot be written to: {error.strerror}.", path=folder, remedy="Name a folder of your own."
        ) from None
    return tuple(folder / name for name in texts)
