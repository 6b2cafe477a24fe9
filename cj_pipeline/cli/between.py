"""This module is `cj-pipeline parity SCENARIO --between`: the recordings of a scenario against each other."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cj_pipeline.cli.output import print_csv, print_json, print_table, say_wrapped
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.warehouse.files import write_output

if TYPE_CHECKING:
    from cj_pipeline.cli.sources import Source
    from cj_pipeline.parity.between import BetweenReport


@dataclass(frozen=True, slots=True)
class Shown:
    """How reports are shown. diverges: with the first divergence of each; markdown, junit, html: files beside."""

    diverges: bool
    markdown: Path | None
    junit: Path | None
    html: Path | None
    as_json: bool
    as_csv: bool


def compare_between(source: str, found: Source, shown: Shown, *, strict: bool, accept_unproven: bool) -> None:
    """Compare the recordings of a scenario, show it, and end the program with the exit code of the worst verdict."""
    from cj_pipeline.parity.between import joint_verdict
    from cj_pipeline.parity.tables import report_rows
    from cj_pipeline.parity.verdict import exit_code, worst_code
    from cj_pipeline.reports.parity_report import as_junit, as_markdown

    reports = _reports(source, found, strict=strict)
    arguments = (source, "--between")
    if shown.markdown is not None:
        text = "\n".join(as_markdown(one.report, arguments) for one in reports)
        write_output(shown.markdown, text)
    if shown.junit is not None:
        write_output(shown.junit, as_junit([one.report for one in reports], accept_unproven=accept_unproven))
    if shown.html is not None:
        from cj_pipeline.reports.page.page import Compared, parity_page  # here: most commands write no page

        pages = [Compared(one.report, (), arguments, f"{one.judged} by {one.fitted}") for one in reports]
        write_output(shown.html, parity_page(pages))
    code = worst_code(
        exit_code(one.report.verdict, one.report.reasons, accept_unproven=accept_unproven) for one in reports
    )
    if shown.as_json:
        print_json(
            {
                "scenario_id": found.scenario.scenario_id,
                "recordings": [recording.name for recording in found.recordings],
                "verdict": joint_verdict(reports).value,
                "exit_code": code,
                "comparisons": [
                    _document(one, arguments, diverges=shown.diverges, accept_unproven=accept_unproven)
                    for one in reports
                ],
            }
        )
    elif shown.as_csv:
        rows = [
            {"fitted": one.fitted, "judged": one.judged, **row} for one in reports for row in report_rows(one.report)
        ]
        print_csv(list(rows[0]), [list(row.values()) for row in rows])
    else:
        _show(found, reports, diverges=shown.diverges)
    sys.exit(code)


def _reports(source: str, found: Source, *, strict: bool) -> tuple[BetweenReport, ...]:
    from cj_pipeline.parity.between import compare_recordings
    from cj_pipeline.reports.more import command_for_more
    from cj_pipeline.runs.record import Side

    if not found.recordings:
        raise click.UsageError(f"{source} is a file; --between compares the recordings of a scenario.")
    names = [recording.name for recording in found.recordings]
    if len(names) < 2:
        raise BadInput(
            "has one recording, and --between compares two.",
            path=found.recordings[0].folder,
            remedy=f"Add one: {command_for_more(found.scenario, source)}",
        )
    runs = (found.replayed(Side.RECORDED), *found.further_runs())
    return compare_recordings(
        found.scenario,
        dict(zip(names, runs, strict=True)),
        dict(zip(names, found.provenances, strict=True)),
        scenario_file=found.scenario_file,
        strict=strict,
    )


def _document(
    one: BetweenReport, arguments: tuple[str, ...], *, diverges: bool, accept_unproven: bool
) -> dict[str, object]:
    from cj_pipeline.parity.check import Case
    from cj_pipeline.parity.divergence import first_divergence
    from cj_pipeline.reports.parity_report import as_json as report_json

    document: dict[str, object] = {"fitted": one.fitted, "judged": one.judged}
    document |= report_json(one.report, arguments, accept_unproven=accept_unproven)
    if not diverges:
        return document
    first = first_divergence(Case(one.report.scenario, one.report.recorded, one.report.live))
    return document | {"first_divergence": None if first is None else asdict(first)}


def _show(found: Source, reports: tuple[BetweenReport, ...], *, diverges: bool) -> None:
    from cj_pipeline.parity.between import joint_verdict
    from cj_pipeline.parity.check import Case
    from cj_pipeline.parity.divergence import first_divergence
    from cj_pipeline.reports.headline import headline

    say_wrapped(f"{found.scenario.title}: {len(found.recordings)} recordings against each other")
    say_wrapped(f"{joint_verdict(reports)}. The judge model is fitted to one recording, and judges the other.")
    click.echo()
    print_table(
        "Recordings",
        ("fitted to", "judged", "verdict", "gates failed", "inconclusive", "same answers"),
        [_row(one) for one in reports],
    )
    for one in reports:
        say_wrapped(f"{one.judged} by {one.fitted}: {headline(one.report)}.", indent="    ")
        for result in one.report.failed:
            say_wrapped(f"    {result.check.name}: {result.sentence}", indent="        ")
        for reason in one.report.reasons:
            say_wrapped(f"    {reason.sentence}", indent="        ")
        if diverges:
            first = first_divergence(Case(one.report.scenario, one.report.recorded, one.report.live))
            words = "every common comparison has the same answer." if first is None else first.sentence
            say_wrapped(f"    {words}", indent="        ")
    say_wrapped("fitted to: which recording is the judge's; judged: which one is held against it, as a mock would be.")


def _row(one: BetweenReport) -> list[object]:
    report = one.report
    agreement = next(result for result in report.results if result.check.name == "answer_agreement").outcome
    return [
        one.fitted,
        one.judged,
        report.verdict.value,
        f"{len(report.failed)} of {len(report.on)}",
        len(report.inconclusive),
        None if agreement is None else agreement.live,
    ]
