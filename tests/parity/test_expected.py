"""Noise and wrong mocks come from the cache exactly where everything that they follow from is the same."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks.operating_characteristics import Kind, comparison, judge_of
from cj_pipeline.parity import expected
from cj_pipeline.parity.compare import compare
from cj_pipeline.parity.comparison import Comparison
from cj_pipeline.parity.expected import content_key, expected_of
from cj_pipeline.parity.gates import GATES, Gate, Margin
from cj_pipeline.parity.noise import noise_of
from cj_pipeline.parity.report_document import report_document
from cj_pipeline.traces.scenario import Profile
from cj_pipeline.warehouse.content_cache import ContentCache
from tests.sides import GENERIC, live, recorded, scenario

KIND = Kind(6, 12, 0.5, 0.0, 1.0, 0.2, True, 0.3, 2, 1)


@cache
def sides() -> tuple[Comparison, Comparison]:
    """One recording, and two live sides that answer the same prompts and fail at the same ones."""
    rng = np.random.default_rng(11)
    judge = judge_of(KIND, rng)
    recordings = (judge.answers(1, rng),)
    return tuple(comparison(judge, recordings, judge.answers(KIND.batches, rng)) for _ in range(2))


def margins(case: Comparison) -> dict[Gate, Margin]:
    return {gate: gate.margin(case, gate.limits[Profile.JUDGE]) for gate in GATES if gate.missing(case) is None}


def document(cached: ContentCache | None) -> str:
    sides = recorded(GENERIC), live(GENERIC)
    report = compare(scenario(GENERIC), *sides, scenario_file="scenario.yaml", cached=cached)
    assert bool(report.limits) == (cached is not None)
    return report_document(replace(report, limits=()))


def test_a_report_is_the_same_with_an_empty_cache_a_full_one_and_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled = ContentCache(tmp_path)
    cold = document(filled)
    assert cold == document(None)
    monkeypatch.setattr(expected, "noise_of", lambda *arguments: pytest.fail("the noise is in the cache"))
    assert document(filled) == cold


def test_a_damaged_entry_is_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case, computed = sides()[0], []
    monkeypatch.setattr(expected, "essential_rates", lambda *arguments: computed.append(arguments) or ((), {}))
    arguments = case, margins(case), {}, ContentCache(tmp_path)
    before = expected_of(*arguments)
    (entry,) = tmp_path.iterdir()
    entry.write_bytes(entry.read_bytes()[:500])
    again = expected_of(*arguments)
    np.savez(entry, something=np.arange(3))
    once_more = expected_of(*arguments)
    assert expected_of(*arguments).coin == before.coin
    assert len(computed) == 3
    assert before.coin == again.coin == once_more.coin
    assert {name: one.tolerance for name, one in before.noise.items()} == {
        name: one.tolerance for name, one in again.noise.items()
    }


def test_other_answers_to_the_same_prompts_have_the_same_noise_and_find_it() -> None:
    one, other = sides()
    assert one.live.winner.tolist() != other.live.winner.tolist()
    assert one.live.latency_ms.tolist() != other.live.latency_ms.tolist()
    found = [noise_of(case, margins(case)) for case in sides()]
    assert all(
        np.array_equal(found[0][name].differences, found[1][name].differences)
        and found[0][name].reference == found[1][name].reference
        for name in found[0]
    )
    assert content_key(one, "expected", margins(one)) == content_key(other, "expected", margins(other))


def first_prompt_by_another_hash(case: Comparison) -> Comparison:
    live = case.live
    return replace(case, live=replace(live, prompt_sha256=("f" * 64, *live.prompt_sha256[1:])))


def one_more_error(case: Comparison) -> Comparison:
    winner = case.live.winner.copy()
    winner[np.flatnonzero(winner >= 0)[0]] = -1
    return replace(case, live=replace(case.live, winner=winner))


def another_recorded_answer(case: Comparison) -> Comparison:
    recording = case.recordings[0]
    latency = recording.latency_ms.copy()
    latency[0] += 1
    return replace(case, recordings=(replace(recording, latency_ms=latency),))


@pytest.mark.parametrize(
    "change",
    [
        first_prompt_by_another_hash,
        one_more_error,
        another_recorded_answer,
        lambda case: replace(case, recordings=case.recordings * 2),
        lambda case: replace(case, repeatability=1.0),
        lambda case: replace(case, host_latency=True),
        lambda case: replace(case, grades={case.items[0]: 0}),
        lambda case: replace(case, seed=case.seed + 1),
        lambda case: replace(case, items=(*case.items, "one more")),
    ],
)
def test_whatever_the_noise_follows_from_is_part_of_the_key(change: object) -> None:
    case = sides()[0]
    gates = margins(case)
    assert content_key(change(case), "expected", gates) != content_key(case, "expected", gates)


def test_margins_purpose_and_code_are_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    case = sides()[0]
    gates = margins(case)
    wider = {gate: Margin(margin.low * 2, margin.high) for gate, margin in gates.items()}
    key = content_key(case, "expected", gates)
    others = {content_key(case, "expected", wider), content_key(case, "limits", gates), content_key(case, "", gates, 1)}
    monkeypatch.setattr(expected, "code_digest", lambda: "another version")
    others.add(content_key(case, "expected", gates))
    assert len(others) == 4
    assert key not in others
