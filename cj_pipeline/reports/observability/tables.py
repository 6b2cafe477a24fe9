"""This module renders the alerts and the panels as Markdown tables."""

from __future__ import annotations

import re

import yaml

from cj_pipeline.reports.observability.files import alert_rules
from cj_pipeline.reports.observability.panels import ROWS


def alert_list() -> str:
    """Return every alert with how bad it is, how long it waits, what is wrong and what to do."""
    (group,) = yaml.safe_load(alert_rules())["groups"]
    lines = ["| alert | severity | waits for | what is wrong | what to do |", "|---|---|---|---|---|"]
    for rule in group["rules"]:
        if "alert" in rule:
            told = rule["annotations"]
            cells = (f"`{rule['alert']}`", rule["labels"]["severity"], rule.get("for", "-"))
            lines.append(f"| {' | '.join(cells)} | {_without_templates(told['summary'])} | {told['action']} |")
    return "\n".join(lines)


def panel_list() -> str:
    """Return every panel with what it shows, by row."""
    lines = ["| row | panel | shows |", "|---|---|---|"]
    lines += [f"| {row.title} | {panel.title} | {panel.asks} |" for row in ROWS for panel in row.panels]
    return "\n".join(lines)


def _without_templates(text: str) -> str:
    """Return a summary with the names of labels in the place of their values, and N for the number."""
    text = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: found[1].upper(), text)
    return re.sub(r"\{\{ \$value[^}]*\}\}", "N", text)
