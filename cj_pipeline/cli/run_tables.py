"""This module shows one run in the terminal: its scale, its waves, its decisions, and how far to believe it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from cj_pipeline.cli.output import print_csv, print_json, print_table, say_wrapped
from cj_pipeline.runs.diagnostics import RunDiagnostics
from cj_pipeline.runs.record import RunDocument
from cj_pipeline.traces.scenario import Scenario

ESSAY_COLUMNS = (
    "rank", "essay", "grade", "theta (logits)", "SE (logits)", "wins", "losses", "infit", "outfit",
)  # fmt: skip

# Essays that are named in a sentence; a broken net can leave hundreds of them.
NAMED = 12


def show_run(
    document: RunDocument, answers_sha256: Callable[[], str], scenario: Scenario, as_json: bool, as_csv: bool = False
) -> None:
    """Print a run as tables, its document and the digest of its answers as JSON, or its scale as CSV."""
    if as_json:
        print_json({**document.model_dump(mode="json"), "answers_sha256": answers_sha256()})
        return
    if as_csv:
        print_csv(ESSAY_COLUMNS, _essay_rows(document, scenario))
        return
    print_table(
        f"{scenario.title}: {document.side} by {document.judge}", ESSAY_COLUMNS, _essay_rows(document, scenario)
    )
    _show_waves(document)
    print_table(
        "Decisions",
        ("after wave", "callbacks", "decision", "because"),
        [[decision.iteration, decision.callbacks, decision.kind, decision.reason] for decision in document.decisions],
    )
    if document.diagnostics is not None and document.diagnostics.judges:
        print_table(
            "Judges (infit, outfit: 1 expected)",
            ("provider", "model", "comparisons", "infit", "outfit"),
            [
                [judge.provider, judge.model, judge.comparison_count, judge.infit, judge.outfit]
                for judge in document.diagnostics.judges
            ],
        )
    for sentence in sentences(document, scenario):
        say_wrapped(sentence)


def sentences(document: RunDocument, scenario: Scenario) -> Iterator[str]:
    """Return what is printed below the tables: how the run ended, how far to believe its scale, what to look at."""
    coverage = document.coverage
    yield (
        f"{document.upload_status}: {document.completed} of {document.submitted} comparisons judged in "
        f"{document.iterations} waves, "
        f"{coverage.successful_pairs_count} of {coverage.max_possible_pairs} pairs covered."
    )
    found = document.diagnostics
    if found is not None:
        yield _reliability(found)
        yield _position(found, document.completed)
    yield from _flags(document)
    yield from document.fit.warnings
    if found is not None:
        labels = {item.id: item.label for item in scenario.net.items}
        if found.isolated:
            yield f"Never compared: {_named([labels[essay] for essay in found.isolated])}."
        if found.disconnected:
            outside = _named([labels[essay] for essay in found.disconnected])
            yield f"Compared, but not linked to the largest part of the net: {outside}."


def _essay_rows(document: RunDocument, scenario: Scenario) -> list[list[object]]:
    items = {item.id: item for item in scenario.net.items}
    found = document.diagnostics
    fits = {} if found is None else {row.essay_id: (row.infit, row.outfit) for row in found.essays}
    return [
        [
            row.rank,
            items[row.essay_id].label,
            items[row.essay_id].grade,
            row.theta,
            row.standard_error,
            row.wins,
            row.losses,
            *fits.get(row.essay_id, (None, None)),
        ]
        for row in sorted(document.fit.essays, key=lambda row: row.rank)
    ]


def _show_waves(document: RunDocument) -> None:
    pairs = document.coverage.max_possible_pairs
    print_table(
        "Waves: the scale after each (logits; SE 2.0 at most; tau-b against the last)",
        (
            "wave", "kind", "asked", "failed", f"pairs of {pairs}", "mean SE", "max SE", "SE at 2.0",
            "largest change", "tau-b",
        ),
        [
            [
                wave.number, wave.kind.value, wave.asked, wave.failed, wave.covered_pairs, wave.mean_se, wave.max_se,
                wave.items_at_cap, wave.max_score_change, wave.tau_b,
            ]
            for wave in document.waves
        ],
    )  # fmt: skip


def _reliability(found: RunDiagnostics) -> str:
    if found.reliability is None:
        return "Reliability: not known; fewer than two essays are linked by comparisons."
    return (
        f"Reliability {found.reliability.reliability:.2f} (scale separation over {found.reliability.n_items} essays; "
        f"separation {found.reliability.separation:.2f})."
    )


def _position(found: RunDiagnostics, completed: int) -> str:
    effect = found.position_effect
    if effect is None:
        always = f"the essay shown first won all or none of {completed}, so no finite effect is the likeliest"
        return f"Position effect: not known; {always if completed else 'nothing was judged'}."
    return (
        f"Position effect {effect.logits:+.2f} logits (SE {effect.standard_error:.2f}) for the essay shown first, "
        f"which won {effect.first_wins} of {effect.comparisons}."
    )


def _flags(document: RunDocument) -> Iterator[str]:
    for flag, raised in document.fit.quality_flags.items():
        if raised:
            vacuous = flag in document.fit.vacuous_flags
            yield f"Flag {flag}" + (": no judge could have changed it on these pairs." if vacuous else ".")


def _named(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - NAMED} more" if len(labels) > NAMED else ""
    return ", ".join(labels[:NAMED]) + more
