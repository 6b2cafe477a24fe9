"""Every number published about the three runs with a table of outcomes, written out here, on the committed traces."""

from __future__ import annotations

import csv
from collections import Counter
from itertools import combinations, pairwise

import pytest

from cj_pipeline.contracts.callback import LLMComparisonResultV1
from cj_pipeline.engine.state import DecisionKind
from cj_pipeline.runs.record import RunRecord, Side
from cj_pipeline.runs.scenario_run import JudgeIdentity, replay
from cj_pipeline.traces.store import Trace, read_trace
from tests.traces.folders import BATCH_33, BATCH_108, THREE_PASSES, TRACES

# Wins and losses of each essay of batch 108, in the published order.
TOTALS = (
    "S01:16-0 S02:15-1 S03:14-2 vt_012_A:14-3 vt_010_B:12-5 vt_009_B:12-5 vt_011_A:12-5 S04:11-6 S05:11-6 S06:9-7 "
    "S07:9-8 S08:7-9 S09:8-9 S10:9-8 vt_008_C+:7-10 S11:7-10 S12:7-10 vt_006_D+:6-10 vt_007_C-:4-12 vt_004_E+:4-12 "
    "vt_005_D-:3-14 vt_002_F+:2-15 vt_001_F+:1-16 vt_003_E-:0-17"
)
# The 67 printed outcomes: all of four essays, and three more.
BEAT = {
    "vt_007_C-": "vt_001_F+ vt_004_E+ vt_005_D- vt_006_D+",
    "vt_006_D+": "S11 vt_001_F+ vt_002_F+ vt_003_E- vt_004_E+ vt_005_D-",
    "vt_003_E-": "",
    "S04": "S06 S07 S08 S09 S11 vt_001_F+ vt_002_F+ vt_004_E+ vt_005_D- vt_008_C+ vt_011_A",
}
LOST_TO = {
    "vt_007_C-": "S01 S02 S05 S06 S07 S08 S09 S10 S11 S12 vt_008_C+ vt_010_B",
    "vt_006_D+": "S05 S08 S10 S12 vt_007_C- vt_008_C+ vt_009_B vt_010_B vt_011_A vt_012_A",
    "vt_003_E-": "S01 S02 S03 S05 S07 S09 S10 S11 S12 vt_001_F+ vt_002_F+ vt_004_E+ vt_005_D- vt_006_D+ vt_008_C+ "
    "vt_009_B vt_010_B",
    "S04": "S01 S03 S05 vt_009_B vt_010_B vt_012_A",
}
OTHERS = {("vt_010_B", "vt_011_A"), ("vt_009_B", "vt_011_A"), ("vt_004_E+", "vt_005_D-")}
INVERSIONS = {
    ("vt_010_B", "vt_011_A", 3.5),
    ("vt_009_B", "vt_011_A", 4.0),
    ("vt_004_E+", "vt_005_D-", 3.5),
    ("vt_001_F+", "vt_003_E-", 3.5),
    ("vt_002_F+", "vt_003_E-", 3.5),
}


def trace_of(scenario_id: str) -> Trace:
    return read_trace(TRACES / scenario_id)


def replayed(trace: Trace) -> RunRecord:
    events = [line.event for line in trace.callbacks.events]
    return replay(trace.scenario, events, side=Side.RECORDED, judge=JudgeIdentity("recorded", trace.sha256))


def answers(trace: Trace) -> list[LLMComparisonResultV1]:
    return [line.event.data for line in trace.callbacks.events if line.event.data.succeeded]


def won(trace: Trace) -> list[tuple[str, str, float]]:
    """Winner, loser, confidence of each answer."""
    label = {item.id: item.label for item in trace.scenario.net.items}
    found = []
    for data in answers(trace):
        winner = str(data.winning_essay())
        (loser,) = set(data.essay_ids()) - {winner}
        found.append((label[winner], label[loser], float(data.confidence or 0)))
    return found


def marked(part: str) -> list[dict[str, str]]:
    """The rows of batch 108 of which a part is marked as published."""
    with (TRACES / BATCH_108 / "outcomes.csv").open() as file:
        return [row for row in csv.DictReader(file) if part in row["published"].split()]


def test_batch_108_gives_each_essay_its_published_wins_and_losses() -> None:
    outcomes = won(trace_of(BATCH_108))
    wins, losses = Counter(one for one, _, _ in outcomes), Counter(other for _, other, _ in outcomes)
    published = dict(one.split(":") for one in TOTALS.split())
    assert {label: f"{wins[label]}-{losses[label]}" for label in published} == published
    assert len({frozenset(pair[:2]) for pair in outcomes}) == len(outcomes) == 200


def test_batch_108_has_the_67_printed_outcomes_and_marks_no_others() -> None:
    printed = {(one, other) for one, others in BEAT.items() for other in others.split()}
    printed |= {(one, other) for other, ones in LOST_TO.items() for one in ones.split()} | OTHERS
    assert len(printed) == 67
    assert printed <= {pair[:2] for pair in won(trace_of(BATCH_108))}
    rows = marked("winner")
    shown = [
        (row["shown_a"], row["shown_b"]) if row["winner"] == "A" else (row["shown_b"], row["shown_a"]) for row in rows
    ]
    assert sorted(shown) == sorted(printed)
    assert Counter(row["confidence"] for row in marked("confidence")) == {
        "4.0": 45, "3.5": 12, "3.0": 6, "5.0": 2, "4.5": 2,
    }  # fmt: skip
    sides = marked("sides")
    assert (len(sides), sum(row["winner"] == "A" for row in sides)) == (50, 28)


def test_batch_108_has_the_published_inversions_between_anchors_and_no_other() -> None:
    trace = trace_of(BATCH_108)
    scale = trace.scenario.net.grade_scale or ()
    grade = {item.label: scale.index(item.grade) for item in trace.scenario.net.items if item.grade is not None}
    assert {one for one in won(trace) if one[0] in grade and one[1] in grade and grade[one[0]] > grade[one[1]]} == (
        INVERSIONS
    )


def test_batch_108_takes_17_iterations_and_ends_when_its_budget_is_spent() -> None:
    document = replayed(trace_of(BATCH_108)).document
    assert len(document.decisions) == 17
    assert {decision.kind for decision in document.decisions[:-1]} == {DecisionKind.REQUEST_MORE_COMPARISONS}
    assert document.decisions[-1].kind == DecisionKind.FINALIZE_SCORING
    published = [one.split(":")[0] for one in TOTALS.split()]
    label = {item.id: item.label for item in trace_of(BATCH_108).scenario.net.items}
    rank = {label[row.essay_id]: row.rank for row in document.fit.essays}
    swapped = [pair for pair in combinations(published, 2) if rank[pair[0]] > rank[pair[1]]]
    # The scores are near the published ones: neighbours may change places, nothing farther apart.
    assert len(swapped) <= 5
    assert all(published.index(other) - published.index(one) <= 2 for one, other in swapped)


def test_three_passes_show_each_essay_eight_times_on_either_side_and_each_pair_both_ways_round() -> None:
    trace = trace_of(THREE_PASSES)
    shown = [data.essay_ids() for data in answers(trace)]
    essays = [item.id for item in trace.scenario.net.items]
    assert Counter(a for a, _ in shown) == Counter(b for _, b in shown) == dict.fromkeys(essays, 8)
    assert Counter(shown) == {(a, b): 2 for a in essays for b in essays if a != b}
    kinds = [decision.kind for decision in replayed(trace).document.decisions]
    assert kinds == [*[DecisionKind.REQUEST_MORE_COMPARISONS] * 4, *[DecisionKind.RESAMPLE] * 3,
                     DecisionKind.FINALIZE_SCORING]  # fmt: skip


def test_batch_33_has_the_published_counts() -> None:
    trace = trace_of(BATCH_33)
    callbacks = [line.event.data for line in trace.callbacks.events]
    winners = Counter("error" if data.winner is None else data.winner.value for data in callbacks)
    assert winners == {"error": 66, "Essay A": 11, "Essay B": 23}
    assert Counter(data.essay_ids()[0].startswith("ANCHOR") for data in callbacks) == {True: 86, False: 14}
    assert {data.provider.value for data in callbacks} == {"anthropic"}


def test_batch_33_fails_in_bursts_and_asks_again_until_some_succeed() -> None:
    trace = trace_of(BATCH_33)
    failed = [not line.event.data.succeeded for line in trace.callbacks.events]
    after = sum(now for before, now in pairwise(failed) if before) / sum(failed[:-1])
    assert after == pytest.approx(55 / 65)
    document = replayed(trace).document
    kinds = Counter(decision.kind for decision in document.decisions)
    assert (kinds[DecisionKind.RETRY_FAILED], kinds[DecisionKind.FINALIZE_SCORING]) == (4, 1)
    again = [
        line.event.data for line in trace.callbacks.events if "retry_iteration" in line.event.data.request_metadata
    ]
    assert (len(again), sum(data.succeeded for data in again)) == (40, 16)
    assert {data.request_metadata["cj_request_type"] for data in again} == {"cj_retry"}
