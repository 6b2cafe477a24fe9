"""This module writes the tables and pictures of the documents, between their markers, from the code they describe.

python -m cj_pipeline.reports.reference docs
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from cj_pipeline.engine.decisions import TABLE
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.parity.check import Check
from cj_pipeline.parity.compare import ALL_CHECKS
from cj_pipeline.parity.gates import GATES, Direction
from cj_pipeline.parity.gauntlet.catalogue import DRAWN, ESSENTIAL
from cj_pipeline.parity.gauntlet.gauntlet import EDITED
from cj_pipeline.parity.gauntlet.wrong_mock import Group
from cj_pipeline.parity.margins import REASONS, limits_in_words
from cj_pipeline.parity.power import WrongMock
from cj_pipeline.parity.verdict import ACCEPTABLE, Doubt, Parity, exit_code
from cj_pipeline.reports.advice import advice_rows
from cj_pipeline.reports.format_list import format_list
from cj_pipeline.reports.licences import licence_list
from cj_pipeline.reports.mode_reference import mode_keys
from cj_pipeline.reports.observability.tables import alert_list, panel_list
from cj_pipeline.reports.rooms import REPOSITORY, room_picture
from cj_pipeline.reports.service_reference import (
    cj_metrics,
    cj_settings,
    failure_reasons,
    forgiven_marks,
    kafka_settings,
    lps_metrics,
    lps_settings,
    model_keys,
)
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


def gate_list() -> str:
    """Return every statistical gate with its margin by profile, unit, direction, and the reason of the margin."""
    profiles = tuple(Profile)
    lines = [
        "| gate | family | measures | unit | fails when live is | " + " | ".join(profiles) + " | why this margin |",
        "|---|---|---|---|---|" + "---|" * (len(profiles) + 1),
    ]
    directions = {Direction.LOW: "lower", Direction.HIGH: "higher", Direction.BOTH: "lower or higher"}
    for gate in GATES:
        margins = " | ".join(
            limits_in_words(gate.limits[profile], gate.unit) if profile in gate.limits else "not asked"
            for profile in profiles
        )
        direction = directions[gate.direction]
        cells = (f"`{gate.name}`", gate.family, gate.question, gate.unit, direction, margins, REASONS[gate.name])
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def exact_check_list() -> str:
    """Return every exact check with its question and its limits by profile."""
    profiles = tuple(Profile)
    lines = [
        "| check | group | asks | " + " | ".join(profiles) + " |",
        "|---|---|---|" + "---|" * len(profiles),
    ]
    for check in ALL_CHECKS:
        if check.function is not None:
            limits = " | ".join(_limits(check, profile) for profile in profiles)
            lines.append(f"| `{check.name}` | {check.group} | {check.question} | {limits} |")
    return "\n".join(lines)


def verdict_list() -> str:
    """Return the three verdicts with when, exit code and what Dagster shows."""
    rows = (
        (Parity.PARITY, "no gate fails, and the comparison could have found a wrong mock", "passed"),
        (Parity.NO_PARITY, "a gate fails", "failed, ERROR"),
        (Parity.CANNOT_TELL, "no gate fails, and the comparison proves nothing", "`verdict` failed, WARN"),
    )
    lines = ["| verdict | when | exit code | Dagster |", "|---|---|---|---|"]
    lines += [f"| {verdict} | {when} | {exit_code(verdict, ())} | {shown} |" for verdict, when, shown in rows]
    return "\n".join(lines)


def doubt_list() -> str:
    """Return the reasons for CANNOT TELL, and whether `--accept-unproven` takes each."""
    lines = ["| reason for CANNOT TELL | `--accept-unproven` takes it |", "|---|---|"]
    lines += [f"| {doubt} | {'yes' if doubt in ACCEPTABLE else 'no'} |" for doubt in Doubt]
    return "\n".join(lines)


def wrong_mock_list() -> str:
    """Return the wrong mocks that a proof must be able to find."""
    return "\n".join(f"- {mock}" for mock in WrongMock)


def gauntlet_list() -> str:
    """Return every wrong mock of the gauntlet: group, what it does, whether a proof must find it."""
    listed = [(group, mock.value, change, "yes") for mock, (group, change) in ESSENTIAL.items()]
    listed += [(drawn.group, drawn.name, drawn.change, "") for drawn in DRAWN]
    listed += [(edited.group, edited.name, edited.change, "") for edited in EDITED]
    lines = ["| group | wrong mock | a mock that ... | must be found |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for group in Group for row in listed if row[0] is group]
    return "\n".join(lines)


def check_advice() -> str:
    """Return every check with what it asks, what it measures, what red means, and what to do."""
    lines = ["| check | asks | measured as | red means | what to do |", "|---|---|---|---|---|"]
    lines += [f"| `{name}` | {' | '.join(cells)} |" for name, *cells in advice_rows()]
    return "\n".join(lines)


def simulated_claims() -> str:
    """Return what simulations say, from the figures that they left behind."""
    document = json.loads((REPOSITORY / "benchmarks" / "figures" / "plain_words.json").read_text(encoding="utf-8"))
    lines = ["| claim | simulated |", "|---|---|"]
    lines += [f"| {row['claim']} | {row['words']} |" for row in document["claims"]]
    return "\n".join(lines)


def fresh_import_counts() -> str:
    """Return how fresh imports came out, from the figures."""
    rows = json.loads((REPOSITORY / "benchmarks" / "figures" / "fresh_imports.json").read_text(encoding="utf-8"))
    counts = Counter(row["verdict"] for row in rows)
    lines = ["| verdict of a fresh import under its calibrated mode | of " + str(len(rows)) + " |", "|---|---|"]
    return "\n".join([*lines, *(f"| {verdict} | {counts[verdict.value]} |" for verdict in Parity)])


def detection_limit_counts() -> str:
    """Return how often a drift of just the printed limit was found, from the figures."""
    lines = [
        "| scenario | printed limit | drift | found in runs of its mock | found in other draws |",
        "|---|---|---:|---:|---:|",
    ]
    for entry in json.loads(
        (REPOSITORY / "benchmarks" / "figures" / "detection_limits.json").read_text(encoding="utf-8")
    ):
        scenario, runs = entry["scenario"], entry["runs"]
        lines.append(f"| `{scenario}` | none needed | 0 | {entry['no_drift']} of {runs} | |")
        for limit in entry["limits"]:
            if not limit["tried"]:
                lines.append(f"| | {limit['sentence']} | | | |")
            for number, tried in enumerate(limit["tried"]):
                sentence = "" if number else limit["sentence"]
                drift = f"{tried['size']:+g} {limit['unit']}"
                lines.append(f"| | {sentence} | {drift} | {tried['found']} of {runs} | {tried['drawn']:.0%} |")
    return "\n".join(lines)


TABLES: Mapping[str, Callable[[], str]] = {
    "rooms": room_picture,
    "decision-table": decision_table,
    "decision-diagram": decision_diagram,
    "gate-list": gate_list,
    "exact-check-list": exact_check_list,
    "verdict-list": verdict_list,
    "doubt-list": doubt_list,
    "wrong-mock-list": wrong_mock_list,
    "check-advice": check_advice,
    "simulated-claims": simulated_claims,
    "fresh-imports": fresh_import_counts,
    "detection-limits": detection_limit_counts,
    "mode-keys": mode_keys,
    "gauntlet-list": gauntlet_list,
    "lps-settings": lps_settings,
    "lps-metrics": lps_metrics,
    "failure-reasons": failure_reasons,
    "forgiven-marks": forgiven_marks,
    "model-keys": model_keys,
    "cj-settings": cj_settings,
    "cj-metrics": cj_metrics,
    "kafka-settings": kafka_settings,
    "licence-list": licence_list,
    "format-list": format_list,
    "alert-list": alert_list,
    "panel-list": panel_list,
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


def _limits(check: Check, profile: Profile) -> str:
    if profile not in check.floors:
        return "not asked"
    return ", ".join(f"{name} {value:g}" for name, value in check.floors[profile].items()) or "exact"


def main(folder: Path) -> None:
    """Write the tables of every document in a folder."""
    for path in sorted(folder.glob("*.md")):
        path.write_text(with_tables(path.read_text(encoding="utf-8"), path), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
