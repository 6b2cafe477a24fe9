"""This module writes the extract of a batch as text, under the headings that its readers know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from cj_pipeline.cli.text_table import table_lines, wrapped
from cj_pipeline.foundation.text import plain

HEADINGS = (
    "BATCH STATE",
    "PAIRWISE COMPARISON RESULTS",
    "BRADLEY-TERRY RANKING & STATISTICS",
    "STUDENT GRADE PROJECTIONS",
    "SUMMARY",
)
"""In their order; the fourth only where there are some."""

RANKING = ("rank", "id", "score", "SE", "W", "L", "total", "anchor", "known_grade")

Document = dict[str, Any]


def extract_lines(document: Document, report: Document, width: int) -> list[str]:
    """Return the lines of an extract. report: of the same batch's state; width: in columns."""
    info = document["batch_info"]
    lines = wrapped(plain(f"CJ BATCH {info['id']}: {info['bos_batch_id']}"), width)
    lines.append("=" * len(lines[0]))
    lines += _section(HEADINGS[0], _pairs(_state(document, report), width))
    lines += _section(HEADINGS[1], table_lines(("#", "essay A", "essay B", "winner", "confidence", "error"),
                                               list(_comparisons(document)), width))  # fmt: skip
    lines += _section(HEADINGS[2], table_lines(RANKING, list(_ranking(document)), width))
    if document["grade_projections"]:
        columns = ("id", "grade", "confidence", "label")
        lines += _section(HEADINGS[3], table_lines(columns, list(_projections(document)), width))
    return lines + _section(HEADINGS[4], _pairs(_summary(document, report), width))


def _section(heading: str, lines: Sequence[str]) -> list[str]:
    return ["", heading, "-" * len(heading), *lines]


def _pairs(rows: Iterable[tuple[str, object]], width: int) -> list[str]:
    lines: list[str] = []
    for name, value in rows:
        first, *rest = wrapped(plain(f"{name}: {'-' if value is None else value}"), width)
        lines += [first, *(piece for part in rest for piece in wrapped(f"    {part}", width))]
    return lines


def _state(document: Document, report: Document) -> Iterable[tuple[str, object]]:
    info, counters, progress = document["batch_info"], report["counters"], report["progress"]
    yield "status", info["status"]
    yield "state", report["state"]["state"]
    yield "assignment", info.get("assignment_id")
    yield "created, completed (UTC)", f"{info['created_at']}, {info.get('completed_at') or '-'}"
    yield "budget", counters["total_budget"]
    yield (
        "submitted, completed, failed",
        ", ".join(
            "-" if counters[name] is None else str(counters[name])
            for name in ("submitted_comparisons", "completed_comparisons", "failed_comparisons")
        ),
    )
    yield "iteration", counters["current_iteration"]
    yield "nC2 (possible pairs)", f"{progress['nc2']} of {progress['essays']} essays"
    yield "successful pairs", progress["successful_pairs_count"]
    yield "resampling passes", progress["resampling_pass_count"]


def _comparisons(document: Document) -> Iterable[Sequence[object]]:
    for number, pair in enumerate(document["comparisons"], start=1):
        winner = {"essay_a": "A", "essay_b": "B", None: "waiting"}.get(pair["winner"], "none")
        yield number, pair["essay_a_els_id"], pair["essay_b_els_id"], winner, pair["confidence"], pair["error_code"]


def _ranking(document: Document) -> Iterable[Sequence[object]]:
    for row in document["bradley_terry_stats"]:
        yield (
            row["rank"], row["els_essay_id"], row["current_bt_score"], row.get("current_bt_se"), row["wins"],
            row["losses"], row["total"], bool(row["is_anchor"]), row["known_grade"],
        )  # fmt: skip


def _projections(document: Document) -> Iterable[Sequence[object]]:
    for row in document["grade_projections"]:
        yield row["els_essay_id"], row["primary_grade"], row["confidence_score"], row["confidence_label"]


def _summary(document: Document, report: Document) -> Iterable[tuple[str, object]]:
    counters, stats = report["counters"], document["bradley_terry_stats"]
    asked, won = len(document["comparisons"]), counters["won"]
    share = f" ({100 * won / asked:.0f} %)" if asked else ""
    yield (
        "comparisons",
        f"{asked}: {won} with a winner{share}, {counters['failed']} failed, {counters['waiting']} waiting",
    )
    anchors = sum(bool(row["is_anchor"]) for row in stats)
    yield "essays", f"{len(stats)}: {anchors} anchors, {len(stats) - anchors} students"
    batching = report["batching"]
    yield "batching", f"{batching['effective'] or 'not stated'}, override {batching['override'] or 'none'}"
    yield "overrides", ", ".join(
        f"{name.removesuffix('_override')} {value}" for name, value in report["overrides"].items()
    ) or "none"  # fmt: skip
    errors = report["standard_errors"]
    if errors:
        yield (
            "standard errors",
            (
                f"mean {errors['mean_se']:.3f}, largest {errors['max_se']:.3f}; "
                f"{errors['mean_comparisons_per_item']:.1f} comparisons an essay, {errors['isolated_items']} isolated"
            ),
        )
    grades = Counter(str(row["primary_grade"]) for row in document["grade_projections"])
    if grades:
        yield "projected grades", ", ".join(f"{grade} ({count})" for grade, count in sorted(grades.items()))
    for problem in report["problems"]:
        yield "note", problem
