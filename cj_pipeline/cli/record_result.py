"""This module shows what `cj-pipeline record` is about to ask, and what the judge was like that it recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from cj_pipeline.cli.output import print_table, say, say_wrapped
from cj_pipeline.cli.record_progress import duration
from cj_pipeline.cli.sources import find_source
from cj_pipeline.parity.between import compare_recordings
from cj_pipeline.parity.compare import ParityReport
from cj_pipeline.reports.headline import headline, headline_lines
from cj_pipeline.runs.new_trace_mode import fitted_mode_notes
from cj_pipeline.runs.record import Side
from cj_pipeline.runs.recording.estimate import Estimate
from cj_pipeline.runs.recording.portrait import JudgePortrait, Share, Spread, portrait_of_trace
from cj_pipeline.runs.recording.request import RecordingRequest
from cj_pipeline.traces.provenance import read_provenance
from cj_pipeline.traces.recording_provenance import RecordingProvenance
from cj_pipeline.traces.store import Recording, trace_recordings

# Of the first lines of a parity report: the rest is for those who know the words, and `parity --between` shows it.
_TO_BE_SHOWN = ("Why: ", "Catches in ", "What helps: ")


def show_plan(request: RecordingRequest, estimate: Estimate, *, err: bool, by_cj_service: bool = False) -> None:
    """Print what will be asked, what it costs and how long it takes. by_cj_service: it chooses pairs and prompt."""
    judge, prompt = request.judge, request.prompt
    rows: list[tuple[str, object]] = [
        ("judge", f"{judge.model} ({'on this machine' if request.on_this_machine else judge.provider.value})"),
        ("prompt", "of the CJ service" if by_cj_service else f"{prompt.name} (sha256 {prompt.sha256[:12]})"),
        ("temperature", _temperature(judge.temperature, by_cj_service)),
        ("essays", len(request.essays.texts)),
        ("comparisons", _comparisons(request, by_cj_service)),
        ("answered already", estimate.answered),
        ("a prompt", f"about {estimate.prompt_tokens:.0f} tokens"),
        ("price", _price(request, estimate)),
        ("time", f"about {duration(estimate.seconds)}; the first answers will tell"),
        ("becomes" if request.addition is None else "is added to", request.target),
    ]
    if err:
        for name, value in rows:
            say(f"{name}: {value}", err=True)
    else:
        print_table(f"{request.scenario_id}: to be recorded", ("what", "value"), rows)
    grades = request.choices.grades_file
    left_out = [name for name in request.essays.left_out if grades is None or name != grades.name]
    if left_out:
        say(f"left out of the essays: {', '.join(left_out)}", err=True)
    if request.graded_strangers:
        say_wrapped(
            f"{grades}: has grades of {', '.join(request.graded_strangers)}, and no essay is called so.", err=True
        )


def _temperature(asked: float | None, by_cj_service: bool) -> object:
    if asked is not None:
        return asked
    return "as the CJ service is set" if by_cj_service else "none"


def _comparisons(request: RecordingRequest, by_cj_service: bool) -> str:
    times = f"{request.runs} x {request.comparisons_a_run}"
    if by_cj_service:
        return f"{times} at most (chosen by the CJ service)"
    return f"{times} ({_pairs(request)}), seed {request.seed}"


def _pairs(request: RecordingRequest) -> str:
    if request.addition is not None:
        return request.addition.pairs
    if request.chosen_by_engine:
        return "chosen by the engine"
    return "every pair in both orders" if request.both_orders else "every pair once"


def _price(request: RecordingRequest, estimate: Estimate) -> str:
    limit = "" if request.budget_usd is None else f"; no more than {request.budget_usd:g} USD"
    spent = f"; {estimate.spent_usd:.4f} USD spent before at most" if estimate.spent_usd else ""
    if estimate.usd is None or estimate.most_usd is None:
        return "unknown" + limit + spent
    if estimate.most_usd == 0.0:
        return "nothing"
    return f"about {estimate.usd:.3f} USD, {estimate.most_usd:.3f} with the longest answers{limit}{spent}"


def show_recording(folder: Path) -> None:
    """Print what the recorded judge is like, and whether its runs agree by parity."""
    scenario, recordings = trace_recordings(folder)
    portrait = portrait_of_trace(folder)
    recorded = read_provenance(folder).recorded
    rows = _rows(portrait, here=recorded is not None and recorded.on_this_machine)
    print_table(f"{scenario.scenario_id}: what the judge is like", ("what", "value"), rows)
    if recorded is not None:
        _show_costs(recorded, recordings, portrait.asked)
    for note in fitted_mode_notes(folder):
        say_wrapped(note)
    reports = between(folder)
    for number, report in enumerate(reports, start=2):
        click.echo()
        say_wrapped(f"Run {number}, held against run 1 as if it were the mock:")
        for line in headline_lines(report, (str(folder),)):
            if line.startswith(_TO_BE_SHOWN) or line == f"{headline(report)}.":
                say_wrapped(line, indent="    ")
    click.echo()
    say(f"{folder} is whole: every comparison has its callback.")
    if reports:
        say(f"All about its runs: cj-pipeline parity {folder} --between")
    say(f"Next, the fitted mock held against it: cj-pipeline parity {folder}")


def recording_document(folder: Path) -> dict[str, Any]:
    """Return the same as one JSON document."""
    scenario, recordings = trace_recordings(folder)
    reports = between(folder)
    compared = [{"verdict": one.verdict.value, "failed": [gate.check.name for gate in one.failed]} for one in reports]
    return {
        "scenario_id": scenario.scenario_id,
        "folder": str(folder),
        "recordings": [
            {
                "name": one.name,
                "sha256": one.sha256,
                "recorded": None
                if one.provenance.recorded is None
                else one.provenance.recorded.model_dump(mode="json", exclude_none=True),
            }
            for one in recordings
        ],
        "judge": asdict(portrait_of_trace(folder)),
        "notes": list(fitted_mode_notes(folder)),
        "between_runs": compared,
    }


def between(folder: Path) -> list[ParityReport]:
    """Return parity of each further run with the first, which the judge model is fitted to."""
    first = find_source(str(folder))
    names = [one.name for one in first.recordings]
    runs = dict(zip(names, (first.replayed(Side.RECORDED), *first.further_runs()), strict=True))
    provenances = dict(zip(names, first.provenances, strict=True))
    reports = compare_recordings(first.scenario, runs, provenances, scenario_file=first.scenario_file)
    return [one.report for one in reports if one.fitted == names[0]]


def _rows(portrait: JudgePortrait, *, here: bool) -> list[tuple[str, object]]:
    """Return the table. here: whether the model runs on this machine, and costs nothing."""
    rows: list[tuple[str, object]] = [
        ("runs", portrait.runs),
        ("answered", portrait.answered),
        *((f"error: {reason}", count) for reason, count in portrait.errors.items()),
        ("prefers the essay shown first", portrait.first_shown),
    ]
    if portrait.better_grade.of:
        rows.append(("prefers the better grade", portrait.better_grade))
    if portrait.runs > 1:
        rows.append(("says the same again", portrait.same_answer))
    rows.append(("confidence", ", ".join(f"{value}: {count}" for value, count in portrait.confidences.items())))
    if portrait.latency_s is not None:
        rows.append(("latency of answers, s", _spread(portrait.latency_s, 1)))
    if portrait.prompt_tokens is not None and portrait.completion_tokens is not None:
        rows.append(("prompt tokens", _spread(portrait.prompt_tokens, 0)))
        rows.append(("completion tokens", _spread(portrait.completion_tokens, 0)))
    if portrait.tokens_unknown:
        rows.append(("tokens unknown", Share(portrait.tokens_unknown, portrait.answered.count)))
    cost = "unknown" if portrait.cost_usd is None else f"{portrait.cost_usd:.4f}"
    rows.append(("cost, USD", "nothing, on this machine" if here and not portrait.cost_usd else cost))
    return rows


def _spread(found: Spread, digits: int) -> str:
    shown = (f"{value:.{digits}f}" for value in (found.mean, found.p50, found.p95, found.largest))
    return "mean {}, median {}, 95 % {}, largest {}".format(*shown)


def _show_costs(recorded: RecordingProvenance, recordings: Sequence[Recording], asked: int) -> None:
    every = [one.provenance.recorded for one in recordings if one.provenance.recorded is not None]
    calls = sum(one.provider_calls or 0 for one in every)
    again = sum(one.asked_again for one in every)
    spent = [one.spent_usd for one in every]
    usd = "" if None in spent or recorded.on_this_machine else f", {sum(one or 0.0 for one in spent):.4f} USD at most"
    interrupted = f" {again} comparisons were in flight at an interruption, and were asked again." if again else ""
    # A deployed service makes the calls, and does not say how many.
    counted = (
        f"{calls} calls for {asked} comparisons: an answer without a verdict is asked for once more" if calls else ""
    )
    if counted or usd or interrupted:
        say_wrapped(f"{counted}{usd}.{interrupted}".lstrip(", ."))
