"""This module writes the tables and pictures of the documents, between their markers, from the code they describe.

python -m cj_pipeline.reports.reference docs
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from cj_pipeline.engine.decisions import TABLE
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.parity.check import Check, Limits
from cj_pipeline.parity.compare import ALL_CHECKS
from cj_pipeline.reports.rooms import room_picture
from cj_pipeline.reports.service_reference import cj_metrics, cj_settings, kafka_settings, lps_metrics, lps_settings
from cj_pipeline.traces.scenario import Profile


def decision_table() -> str:
    """Return the engine's decision table as Markdown."""
    lines = ["| # | decision | first row that holds |", "|---|---|---|"]
    lines += [f"| {number} | `{row.kind}` | {row.when} |" for number, row in enumerate(TABLE, start=1)]
    return "\n".join(lines)


def decision_diagram() -> str:
    """Return the decision table as a Mermaid flow chart."""
    lines = ["```mermaid", "flowchart TD", '    start(["every callback of the wave is in"]) --> q1']
    for number, row in enumerate(TABLE, start=1):
        last = number == len(TABLE)
        lines.append(f'    q{number}{{"{row.when}?"}} -->|yes| a{number}["{row.kind}"]')
        if not last:
            lines.append(f"    q{number} -->|no, or no pair to send| q{number + 1}")
    return "\n".join([*lines, "```"])


def check_list() -> str:
    """Return a table of every parity check with its question and its floors."""
    profiles = tuple(Profile)
    lines = [
        "| check | group | asks | " + " | ".join(f"floor: {profile}" for profile in profiles) + " |",
        "|---|---|---|" + "---|" * len(profiles),
    ]
    for check in ALL_CHECKS:
        floors = " | ".join(_floor(check, profile) for profile in profiles)
        lines.append(f"| `{check.name}` | {check.group} | {check.question} | {floors} |")
    return "\n".join(lines)


TABLES: Mapping[str, Callable[[], str]] = {
    "rooms": room_picture,
    "decision-table": decision_table,
    "decision-diagram": decision_diagram,
    "check-list": check_list,
    "lps-settings": lps_settings,
    "lps-metrics": lps_metrics,
    "cj-settings": cj_settings,
    "cj-metrics": cj_metrics,
    "kafka-settings": kafka_settings,
}


def with_tables(text: str, path: Path) -> str:
    """Return a document with everything between its markers replaced. Raises BadInput for a marker without its end."""
    for name, table in TABLES.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
        if begin not in text:
            continue
        head, rest = text.split(begin, 1)
        if end not in rest:
            raise BadInput(f"has no '{end.strip()}'.", path=path, remedy="Put it where the table ends.")
        text = head + begin + "\n" + table() + "\n\n" + end + rest.split(end, 1)[1]
    return text


def _floor(check: Check, profile: Profile) -> str:
    if profile not in check.floors:
        return "not asked"
    limits: Limits = check.floors[profile]
    return ", ".join(f"{name} {value:g}" for name, value in limits.items()) or "no limit to tighten"


def main(folder: Path) -> None:
    """Write the tables of every document in a folder."""
    for path in sorted(folder.glob("*.md")):
        path.write_text(with_tables(path.read_text(encoding="utf-8"), path), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
