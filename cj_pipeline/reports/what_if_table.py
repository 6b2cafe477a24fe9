"""This module renders a what-if result as a table and as JSON, with the notes that belong to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from statistics import median
from typing import Any

from cj_pipeline.foundation.text import markdown_text
from cj_pipeline.runs.what_if import Outcome, Trial, WhatIf
from cj_pipeline.runs.what_if_grid import ALIASES

Measure = Callable[[Trial], float | None]

MEASURES: Mapping[str, Measure] = {
    "comparisons": lambda trial: trial.comparisons,
    "waves": lambda trial: trial.waves,
    "tau_b": lambda trial: trial.tau_b,
    "spearman": lambda trial: trial.spearman,
    "mean_se": lambda trial: trial.mean_se,
    "max_se": lambda trial: trial.max_se,
    "success_rate": lambda trial: trial.success_rate,
    "repeated_share": lambda trial: trial.repeated_share,
    "invented_share": lambda trial: trial.invented_share,
}
"""What is summarised over the seeds, by its name in the JSON document."""

HEADINGS: Mapping[str, str] = {
    "tau_b": "tau-b",
    "spearman": "Spearman",
    "mean_se": "mean SE",
    "max_se": "max SE",
    "success_rate": "success",
    "repeated_share": "repeated",
    "invented_share": "invented",
}

ENDS: Mapping[str, str] = {
    "stable": "stable",
    "small_cap_reached": "all passes",
    "reached_cap": "budget",
    "budget_exhausted": "budget",
    "nothing_schedulable": "no pair left",
    "low_success_rate": "low success",
}
"""What ended a batch, in short: the first of these in the reason of its last decision."""

SHORT_NAMES = {name: alias for alias, name in ALIASES.items()}


def columns_of(result: WhatIf) -> tuple[str, ...]:
    """Return the headings: a number, each setting with several values, what ended the batch, and each measure."""
    varied = tuple(_short(name) for name in _varied(result))
    return ("what if", *varied, "ended by", *(HEADINGS.get(measure, measure) for measure in MEASURES))


def rows_of(result: WhatIf) -> list[list[str]]:
    """Return the recording's own row, then one for each combination: the median over the seeds, and their range.

    Standard errors in logits, shares of the answers; `ended by` counts the seeds when they do not end alike.
    """
    labelled = [("as recorded", result.as_recorded)]
    labelled += [(str(number), outcome) for number, outcome in enumerate(result.outcomes, start=1)]
    return [
        [
            label,
            *(str(_settings(outcome)[name]) for name in _varied(result)),
            _ends(outcome),
            *(_shown(outcome, measure) for measure in MEASURES.values()),
        ]
        for label, outcome in labelled
    ]


def caption_of(result: WhatIf) -> str:
    """Return what the rows have in common: the settings with one value, and the number of seeds of each."""
    named = _changed(result.outcomes[0]) if result.outcomes else []
    own = _settings(result.as_recorded)
    common = [
        f"{_short(name)} {_settings(result.outcomes[0])[name]} (as recorded: {own[name]})"
        for name in named
        if name not in _varied(result)
    ]
    seeds = len(result.seeds)
    return ", ".join([*common, "one seed" if seeds == 1 else f"median (and range) of {seeds} seeds"])


def notes_of(result: WhatIf) -> list[str]:
    """Return what a reader of the table has to know; nothing when every answer is the recording's own."""
    trials = [trial for outcome in result.outcomes for trial in outcome.trials]
    notes = []
    if any(trial.invented_share for trial in trials):
        notes.append(
            "invented: the share of answers to pairs that were never recorded, drawn from the recording's own scale. "
            "They are no evidence, and agree with it by construction."
        )
    if any(trial.repeated_share for trial in trials):
        notes.append(
            "repeated: the share of answers that are a recorded verdict once more, because a pair was asked more often "
            "than it was recorded. They say nothing new, so the standard errors of such rows are too small."
        )
    unreachable = [
        outcome.variant.settings for outcome in result.outcomes if "score_stability_threshold" in _changed(outcome)
    ]
    unreachable = [own for own in unreachable if own.min_comparisons_for_stability_check > own.max_pairwise_comparisons]
    if unreachable:
        first = unreachable[0]
        notes.append(
            f"stability: without effect where fewer comparisons are allowed ({first.max_pairwise_comparisons}) than "
            f"have to be in before it is looked at ({first.min_comparisons_for_stability_check}). "
            "Add --what-if floor=12."
        )
    return notes


def as_json(result: WhatIf) -> dict[str, Any]:
    """Return the result as plain values: settings, summaries over the seeds, and every trial (`courses`)."""
    return {
        "scenario_id": result.scenario.scenario_id,
        "seeds": list(result.seeds),
        "engine": _settings(result.as_recorded),
        "as_recorded": _document(result.as_recorded),
        "outcomes": [_document(outcome) for outcome in result.outcomes],
        "notes": notes_of(result),
    }


def as_markdown(result: WhatIf) -> str:
    """Return the table and its notes as markdown."""
    lines = [columns_of(result), *rows_of(result)]
    table = ["| " + " | ".join(map(markdown_text, line)) + " |" for line in lines]
    table.insert(1, "|" + "---|" * len(columns_of(result)))
    return "\n".join([*table, f"\n({caption_of(result)})", *(f"\n{note}" for note in notes_of(result))]) + "\n"


def _varied(result: WhatIf) -> list[str]:
    """Return the settings that were given more than one value."""
    values: dict[str, set[str]] = {}
    for outcome in result.outcomes:
        for name, value in outcome.variant.changes:
            values.setdefault(name, set()).add(value)
    return [name for name, given in values.items() if len(given) > 1]


def _short(name: str) -> str:
    return SHORT_NAMES.get(name, name)


def _changed(outcome: Outcome) -> list[str]:
    return [name for name, _ in outcome.variant.changes]


def _settings(outcome: Outcome) -> dict[str, Any]:
    return outcome.variant.settings.model_dump(mode="json")


def _document(outcome: Outcome) -> dict[str, Any]:
    settings = _settings(outcome)
    return {
        "settings": {name: settings[name] for name in _changed(outcome)},
        "ended_by": _end_counts(outcome),
        **{name: _summary(outcome, measure) for name, measure in MEASURES.items()},
        "courses": [asdict(trial) for trial in outcome.trials],
    }


def _summary(outcome: Outcome, measure: Measure) -> dict[str, float] | None:
    """Return median and range over the seeds; None where no seed has a value."""
    values = [value for value in map(measure, outcome.trials) if value is not None]
    return {"median": median(values), "low": min(values), "high": max(values)} if values else None


def _shown(outcome: Outcome, measure: Measure) -> str:
    summary = _summary(outcome, measure)
    if summary is None:
        return ""
    middle, low, high = (f"{summary[key]:.3g}" for key in ("median", "low", "high"))
    return middle if low == high else f"{middle} ({low} to {high})"


def _end_counts(outcome: Outcome) -> dict[str, int]:
    """Count how the batches ended, the commonest first; the status where there was nothing to decide."""
    ends = Counter(
        f"{trial.decision}: {trial.reason}" if trial.decision else trial.upload_status for trial in outcome.trials
    )
    return dict(ends.most_common())


def _ends(outcome: Outcome) -> str:
    ends = Counter(_end(trial) for trial in outcome.trials).most_common()
    return ends[0][0] if len(ends) == 1 else ", ".join(f"{end} {number}" for end, number in ends)


def _end(trial: Trial) -> str:
    reasons = trial.reason.split(", ")
    return next((short for reason, short in ENDS.items() if reason in reasons), trial.reason or trial.upload_status)
