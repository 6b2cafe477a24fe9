"""Reconstruction: the same bytes again, never over a recording, and honest about every field."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.numbers import percentile
from cj_pipeline.traces.provenance import FieldOrigin, TraceOrigin, read_provenance
from cj_pipeline.traces.reconstruct.judgements import balanced_sides, round_robin
from cj_pipeline.traces.reconstruct.published import CannotReconstruct, Figure, read_facts, read_published
from cj_pipeline.traces.reconstruct.samples import sample
from cj_pipeline.traces.reconstruct.trace import reconstruct, reconstruct_trace
from cj_pipeline.traces.scenario import read_scenario
from cj_pipeline.traces.store import TraceStore, read_trace
from tests.traces.folders import (
    ANCHORS,
    BATCH_33,
    BATCH_108,
    GENERIC,
    LADDER,
    LOWER5,
    SCENARIOS,
    SONNET,
    TRACES,
    copy_of,
    edit,
    sources_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST_ROW = "0,vt_011_A,vt_009_B,B,4.0,pair winner confidence sides"
WRITTEN = ("llm_callbacks.jsonl", "summary.json", "provenance.json", "SHA256SUMS")


def test_these_are_the_projects_scenarios() -> None:
    assert set(TraceStore(TRACES).scenario_ids()) >= set(SCENARIOS)


@pytest.mark.parametrize("scenario_id", SCENARIOS)
def test_a_fresh_reconstruction_is_byte_identical_to_the_committed_trace(scenario_id: str, tmp_path: Path) -> None:
    folder = sources_of(scenario_id, tmp_path)
    sources = {path.name for path in folder.iterdir()}
    reconstruct_trace(folder)
    for name in WRITTEN:
        assert (folder / name).read_bytes() == (TRACES / scenario_id / name).read_bytes(), name
    assert {path.name for path in folder.iterdir()} == {*WRITTEN, *sources}


OUTCOMES = {
    "eng5_lower5_148_gpt51_low_20251202": {("vt_003_E-", "vt_002_F+")},
    "eng5_lower5_149_gpt51_none_20251202": {("vt_003_E-", "vt_001_F+")},
    "eng5_lower5_150_gpt51_none_20251202": set(),
    SONNET: {
        *(("vt_010_B", "vt_008_C+"), ("vt_009_B", "vt_008_C+"), ("vt_005_D-", "vt_004_E+")),
        *(("vt_003_E-", "vt_002_F+"), ("vt_003_E-", "vt_001_F+")),
    },
}
"""The published inversions: (better grade, its conqueror)."""


@pytest.mark.parametrize("scenario_id", OUTCOMES)
def test_exactly_the_published_inversions_are_in_the_trace(scenario_id: str) -> None:
    trace = read_trace(TRACES / scenario_id)
    items = {item.id: item for item in trace.scenario.net.items}
    scale = trace.scenario.net.grade_scale or ()
    upsets = set()
    for line in trace.callbacks.events:
        data, pair = line.event.data, line.event.data.request_metadata
        a, b = items[str(pair["essay_a_id"])], items[str(pair["essay_b_id"])]
        winner, loser = (a, b) if data.winner == "Essay A" else (b, a)
        if scale.index(winner.grade or "") > scale.index(loser.grade or ""):
            upsets.add((loser.label, winner.label))
    assert upsets == OUTCOMES[scenario_id]


@pytest.mark.parametrize("scenario_id", SCENARIOS)
def test_any_seed_reproduces_the_published_figures(scenario_id: str) -> None:
    # reconstruct() itself holds its result against every published figure and raises when one fails.
    scenario = read_scenario(TRACES / scenario_id / "scenario.yaml")
    facts = read_facts(TRACES / scenario_id)
    traces = {b"\n".join(reconstruct(scenario, facts, seed)) for seed in range(5)}
    assert len(traces) == 5


@pytest.mark.parametrize("scenario_id", SCENARIOS)
def test_provenance_speaks_of_every_field_and_of_no_other(scenario_id: str) -> None:
    provenance = read_provenance(TRACES / scenario_id)
    lines = (TRACES / scenario_id / "llm_callbacks.jsonl").read_bytes().splitlines()
    assert set(provenance.fields) == {leaf for line in lines for leaf in leaves(json.loads(line))}
    assert provenance.origin is TraceOrigin.RECONSTRUCTED
    assert provenance.statement.startswith("This is a reconstruction, not a recording.")
    assert provenance.sources


def leaves(value: dict[str, Any], above: str = "") -> Iterator[str]:
    for key, child in value.items():
        if isinstance(child, dict):
            yield from leaves(child, f"{above}{key}.")
        else:
            yield f"{above}{key}"


def test_provenance_tells_published_from_fitted_from_drawn() -> None:
    anchors, ladder = read_provenance(TRACES / ANCHORS).fields, read_provenance(TRACES / LADDER).fields
    assert anchors["data.model"].origin is FieldOrigin.PUBLISHED
    assert anchors["data.response_time_ms"].origin is FieldOrigin.FITTED
    assert anchors["data.justification"].origin is FieldOrigin.DRAWN
    assert "no single outcome is published" in anchors["data.winner"].note
    # Of the ladder only the outcomes are known.
    assert ladder["data.model"].origin is FieldOrigin.DRAWN
    assert ladder["data.response_time_ms"].origin is FieldOrigin.DRAWN
    assert "published ladder" in ladder["data.winner"].note


def test_a_captured_trace_is_never_overwritten(tmp_path: Path) -> None:
    folder = copy_of(LOWER5, tmp_path)
    edit(folder / "provenance.json", '"origin": "reconstructed"', '"origin": "captured"')
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(BadInput, match=r"provenance\.json: origin: this trace was captured"):
        reconstruct_trace(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_callbacks_of_unknown_origin_are_not_overwritten(tmp_path: Path) -> None:
    folder = copy_of(LOWER5, tmp_path)
    (folder / "provenance.json").unlink()
    with pytest.raises(BadInput, match=r"llm_callbacks\.jsonl: its origin is unknown"):
        reconstruct_trace(folder)


def test_a_reconstruction_may_be_written_again(tmp_path: Path) -> None:
    folder = copy_of(LOWER5, tmp_path)
    edit(folder / "published.yaml", "seed: 42", "seed: 43")
    reconstruct_trace(folder)
    trace = read_trace(folder)
    assert trace.provenance.seed == 43
    assert trace.sha256 != read_trace(TRACES / LOWER5).sha256


def test_a_reconstruction_keeps_the_other_files_of_its_folder(tmp_path: Path) -> None:
    folder = copy_of(LOWER5, tmp_path)
    (folder / "mode.yaml").write_text("name: mine\n")
    (folder / ".swap").touch()
    reconstruct_trace(folder)
    assert (folder / ".swap").exists()
    assert (folder / "mode.yaml").read_text() == "name: mine\n"
    # People edit a mode, and calibrate writes it again: no checksum holds it.
    assert "mode.yaml" not in (folder / "SHA256SUMS").read_text()
    assert [path.name for path in tmp_path.iterdir()] == [LOWER5]


@pytest.mark.parametrize(
    ("scenario_id", "old", "new", "complaint"),
    [
        (LOWER5, "essay_a: 4, essay_b: 6", "essay_a: 4, essay_b: 5", "do not add up to counts.events"),
        (
            LOWER5,
            "counts: {events: 10, failed: 0}\nwinners: {essay_a: 4, essay_b: 6}",
            "counts: {events: 10, failed: 1}",
            "a run with failed calls needs outcomes and assumed.error",
        ),
        (BATCH_33, "outcomes: outcomes.csv", "", "a run with failed calls needs outcomes"),
        (BATCH_33, "outcomes: outcomes.csv", "outcomes: other.csv", "outcomes"),
        (
            BATCH_33,
            "events: 100, failed: 66}\nwinners: {essay_a: 11, essay_b: 23}",
            "events: 100, failed: 65}",
            "counts: 100 comparisons, 34 of them answered",
        ),
        (
            BATCH_33,
            "essay_a: 11, essay_b: 23",
            "essay_a: 12, essay_b: 22",
            "winners.essay_a: published 12, reconstructed 11",
        ),
        (BATCH_108, "outcomes: outcomes.csv", "outcomes: outcomes.csv\nladder: [[S01]]", "exclude each other"),
        (LOWER5, "    vt_003_E-: 470\n", "", "assumed.essay_tokens.vt_003_E-: missing"),
        (LOWER5, "vt_003_E-: 470", "vt_003_E-: 471", "figures.token_usage.prompt_tokens.max: published 1455"),
        (
            LOWER5,
            "[vt_003_E-]",
            "[vt_003_E]",
            "ladder: 'vt_003_E' is not in the scenario's net. Did you mean 'vt_003_E-'",
        ),
        (LOWER5, "[vt_003_E-], ", "", "ladder: must name each of the scenario's 5 items once"),
        (
            LOWER5,
            "cj_batch_id: 147",
            "cj_batch_id: 148",
            "run.cj_batch_id: published '148', but the scenario has '147'",
        ),
        (LOWER5, "mean_ms: {value: 1588", "mean_ms: {value: 2588", "figures.response_time_ms: a mean that needs"),
        (LOWER5, "p99_ms: {value: 2149", "p99_ms: {value: 2100", "figures.response_time_ms: no whole numbers have"),
        (LOWER5, "response_time_ms.min_ms", "response_time_ms.p95_ms", "is both published and assumed"),
        (LOWER5, "response_time_ms.min_ms", "token_usage.total_tokens.min", "follows from other assumptions"),
        (LOWER5, "p95_ms:", "p96_ms:", "figures.response_time_ms.p96_ms"),
        (
            LOWER5,
            "scenario_id: eng5_lower5",
            "scenario_id: eng5_lower6",
            "published.yaml: scenario_id: is 'eng5_lower6",
        ),
        (GENERIC, "model: mock-model-v1", "label: nothing", "run.model: needed when the scenario overrides no model"),
        (GENERIC, "winners: {essay_a: 4, essay_b: 0}\n", "", "winners: needed when the same pair"),
        (
            GENERIC,
            "same_pair: [essay-a-generic, essay-b-generic]\n",
            "",
            "ladder: needed for a net whose items are not all",
        ),
        (GENERIC, "    response_time_ms.mean_ms: {value: 3.5, rounded_to: 0.1}\n", "", "give (or assume) the mean"),
        (GENERIC, "    response_time_ms.max_ms: {value: 6, rounded_to: 1}\n", "", "the smallest and the largest value"),
    ],
)
def test_facts_that_cannot_hold_are_refused_by_file_and_key(
    scenario_id: str, old: str, new: str, complaint: str, tmp_path: Path
) -> None:
    folder = sources_of(scenario_id, tmp_path)
    edit(folder / "published.yaml", old, new)
    with pytest.raises(BadInput) as caught:
        reconstruct_trace(folder)
    assert caught.value.path == folder / "published.yaml"
    assert complaint in str(caught.value)
    assert not {path.name for path in folder.iterdir()} & set(WRITTEN)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (FIRST_ROW, "0,S12,S07,C,4.0,", "winner: 'C' is not one of A, B, error"),
        (FIRST_ROW, "0,S12,S12,A,4.0,", "shown_b: an essay is not compared with itself"),
        (FIRST_ROW, "0,S12,S77,A,,", "outcomes: 'S77' is not in the scenario's net. Did you mean 'S07'"),
        (FIRST_ROW, "2,S12,S07,A,,", "wave: 2 does not follow"),
        (FIRST_ROW, "-1,S12,S07,A,,", "wave: '-1' is no whole number from 0 on"),
        (FIRST_ROW, "0,S12,S07,A,7,", "confidence: 7 cannot be"),
        (FIRST_ROW, "0,S12,S07,A,,confidence", "confidence: published, but missing"),
        (FIRST_ROW, "0,S12,S07,A,,loser", "published: 'loser' is not one of pair, winner, sides, confidence"),
        ("wave,shown_a,", "wave,shown,", "shown_a"),
    ],
)
def test_a_table_of_outcomes_that_cannot_be_is_refused_by_line(
    old: str, new: str, complaint: str, tmp_path: Path
) -> None:
    folder = sources_of(BATCH_108, tmp_path)
    edit(folder / "outcomes.csv", old, new)
    with pytest.raises(BadInput) as caught:
        reconstruct_trace(folder)
    assert complaint in str(caught.value)
    assert not {path.name for path in folder.iterdir()} & set(WRITTEN)


def test_published_yaml_that_is_missing_or_no_yaml_is_named(tmp_path: Path) -> None:
    folder = sources_of(LOWER5, tmp_path)
    (folder / "published.yaml").write_text("run: [\n", encoding="utf-8")
    with pytest.raises(BadInput, match=r"published\.yaml:2: not YAML"):
        read_published(folder)
    (folder / "published.yaml").unlink()
    with pytest.raises(BadInput, match=r"published\.yaml: no such file"):
        read_published(folder)


@pytest.mark.parametrize(
    ("items", "count", "sizes"), [(12, 66, [6] * 11), (5, 10, [2] * 5), (2, 4, [1] * 4), (4, 7, [2, 2, 2, 1])]
)
def test_round_robin_covers_each_pair_once_in_disjoint_waves(items: int, count: int, sizes: list[int]) -> None:
    waves = round_robin(range(items), count)
    assert [len(wave) for wave in waves] == sizes
    for wave in waves:
        assert len({item for pair in wave for item in pair}) == 2 * len(wave)
    pairs = [frozenset(pair) for wave in waves for pair in wave]
    distinct = items * (items - 1) // 2
    assert len(set(pairs[:distinct])) == min(distinct, count)


@pytest.mark.parametrize("a_wins", [25, 33, 35, 45])
def test_sides_keep_the_split_exactly_and_every_item_balanced(a_wins: int) -> None:
    pairs = [(f"{a}", f"{b}") for a in range(12) for b in range(a + 1, 12)]
    sides = balanced_sides(pairs, a_wins, "a test", a_wins)
    assert sum(sides) == a_wins
    lead = dict.fromkeys(map(str, range(12)), 0)
    for (winner, loser), winner_is_a in zip(pairs, sides, strict=True):
        lead[winner] += 1 if winner_is_a else -1
        lead[loser] -= 1 if winner_is_a else -1
    assert {abs(value) for value in lead.values()} == {1}


@pytest.mark.parametrize("n", [10, 21, 66, 200])
@pytest.mark.parametrize("mean", [1300, 1500, 1700])
def test_a_sample_has_the_figures_asked_for(n: int, mean: int) -> None:
    figures = {p: Figure(value=value, rounded_to=1) for p, value in ((0.0, 1000), (95.0, 2100), (100.0, 2200))}
    values = sample(n, Figure(value=mean, rounded_to=1), figures, "ms", n, mean)
    assert len(values) == n
    assert values == sorted(values)
    assert abs(sum(values) / n - mean) < 0.5
    assert (values[0], values[-1]) == (1000, 2200)
    assert abs(percentile(values, 95) - 2100) < 0.5


def test_a_mean_outside_the_extremes_is_refused() -> None:
    figures = {0.0: Figure(value=1, rounded_to=1), 100.0: Figure(value=9, rounded_to=1)}
    with pytest.raises(CannotReconstruct, match="latency: a mean that needs"):
        sample(10, Figure(value=20, rounded_to=1), figures, "latency")
