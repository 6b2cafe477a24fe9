"""Which wrong mocks a comparison finds: the list is whole, each mock is wrong in its own respect, limits are limits."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks.operating_characteristics import Kind, comparison, judge_of, noise_by_gate
from cj_pipeline.mock.model.winner import draw_wins
from cj_pipeline.parity.check import Case
from cj_pipeline.parity.compare import Verdict, exact_results
from cj_pipeline.parity.comparison import Comparison
from cj_pipeline.parity.expected import Expected
from cj_pipeline.parity.gates import GATES, Gate, Margin
from cj_pipeline.parity.gauntlet import drawn, gauntlet, judgements
from cj_pipeline.parity.gauntlet.catalogue import DRAWN, ESSENTIAL
from cj_pipeline.parity.gauntlet.closing import Closing, closings
from cj_pipeline.parity.gauntlet.drawn import tried_drawn
from cj_pipeline.parity.gauntlet.edits import edited_run
from cj_pipeline.parity.gauntlet.errors import failing_more
from cj_pipeline.parity.gauntlet.faithful import Faithful
from cj_pipeline.parity.gauntlet.gauntlet import EDITED, Gauntlet, run_gauntlet
from cj_pipeline.parity.gauntlet.limits import DetectionLimit, in_words, is_cheap, limits_of
from cj_pipeline.parity.gauntlet.measures import scaled, with_latency
from cj_pipeline.parity.gauntlet.stand_in import stand_in
from cj_pipeline.parity.gauntlet.tried import Tried
from cj_pipeline.parity.gauntlet.wrong_mock import Group, LeftOut
from cj_pipeline.parity.noise import Noise
from cj_pipeline.parity.power import WrongMock, detection_rate
from cj_pipeline.traces.scenario import Profile
from cj_pipeline.warehouse.content_cache import ContentCache
from tests.sides import LOWER5, live, recorded, scenario

KIND = Kind(8, 24, 0.5, 0.6, 3.0, 0.2, False, 0.3, 3, 1)

# Section by section, what the gauntlet is to hold.
WANTED = {
    Group.JUDGEMENTS: "fair coin; blind coin with the recorded share of A; inverted judge; first shown always wins; "
    "always A on close pairs; position +1.5; position +3; neighbours swapped; best at the median; "
    "a middle essay loses all; lower third inverted; second half a coin; 10 % flipped; 20 % flipped; scale only; "
    "recorded answers only; noise x3; noise x6; no noise; 3 closest pairs flipped; 3 farthest pairs flipped; "
    "sides swapped; ids swapped",
    Group.TIME: "instant answers; no tail; clipped at p75; latency x1.5; latency x.6; latency x.8; latency x.9; "
    "latency x1.05; latency x1.1; bimodal latency; slowest 2 % doubled; one answer of 60 s; latency drifts; "
    "link to tokens lost",
    Group.TOKENS: "tokens x1.4; tokens +10 %; tokens +20 %; tokens swapped; tokens constant; tokens shuffled; "
    "token sum wrong",
    Group.ERRORS: "independent errors; one burst of errors; no retry succeeds; wrong error code; error codes rotated; "
    "5 % more errors; errors arrive as answers; one error for an answer",
    Group.VALUES: "another model; a lost field; other provider; cost 0; cost x100; one prompt hash; "
    "prompt hash missing; times reversed; times of 1970; times of 2099; sent in 2099; wrong batch id; "
    "wrong service; effort changed; "
    "effort where none was; justification empty; justification identical; justification junk; confidence constant; "
    "confidence +.4; confidence reversed; confidence 0 to 1; extra key on all; extra key on one; queue label; "
    "bundle size 1,000",
    Group.DELIVERY: "duplicate; duplicate under a new id; one lost; one after completion; order shuffled",
}

# On LOWER5: its scenario names an effort, so `effort where none was` is left out.
FINDERS = {
    "token sum wrong": "cost",
    "other provider": "identity",
    "cost 0": "cost",
    "cost x100": "cost",
    "one prompt hash": "ids",
    "prompt hash missing": "schema",
    "times reversed": "times",
    "times of 1970": "times",
    "times of 2099": "times",
    "sent in 2099": "times",
    "wrong batch id": "ids",
    "wrong service": "identity",
    "effort changed": "identity",
    "effort where none was": None,
    "justification empty": "justification",
    "justification identical": "justification",
    "justification junk": "",
    "extra key on all": "schema",
    "extra key on one": "schema",
    "queue label": "labels",
    "bundle size 1,000": "labels",
    "ids swapped": "coverage",
    "one error for an answer": "",
    "duplicate": "counts",
    "duplicate under a new id": "counts",
    "one lost": "counts",
    "one after completion": "counts",
    "order shuffled": "",
}


@cache
def case() -> Comparison:
    rng = np.random.default_rng(5)
    judge = judge_of(KIND, rng)
    sides = [judge.answers(1, rng), judge.answers(KIND.batches, rng)]
    marked = [replace(side, retry=np.arange(len(side)) % 4 == 0) for side in sides]
    return comparison(judge, (marked[0],), marked[1])


@cache
def noise() -> dict[str, Noise]:
    return noise_by_gate(case())


def margins() -> dict[Gate, Margin]:
    return {gate: gate.margin(case(), gate.limits[Profile.JUDGE]) for gate in GATES if gate.missing(case()) is None}


def lower5() -> Case:
    return Case(scenario(LOWER5), recorded(LOWER5), live(LOWER5))


def failing(found: Case) -> list[str]:
    wrong = (Verdict.FAIL, Verdict.PARTIAL)
    return [name for name, result in exact_results(found).items() if result.verdict in wrong]


def test_every_wrong_mock_is_there_once() -> None:
    listed = [(one.group, one.name) for one in (*DRAWN, *EDITED)]
    listed += [(group, mock.value) for mock, (group, _) in ESSENTIAL.items()]
    assert sorted(listed) == sorted((group, name) for group, names in WANTED.items() for name in names.split("; "))
    assert set(ESSENTIAL) == set(WrongMock)


def test_a_drift_of_nothing_is_the_faithful_side() -> None:
    faithful = Faithful(case())
    judge = faithful.judge
    same = judge.answers()
    assert np.array_equal(judgements.shifted(judge, 0.0), same)
    assert np.array_equal(judgements.flipped(faithful, judge, 0.0), same)
    assert np.array_equal(judgements.forgetful(faithful, judge, 0.0), same)


def test_the_detailed_draws_are_those_of_the_noise() -> None:
    judge = Faithful(case(), 1_000).judge
    wins = draw_wins(case().draws.part(slice(0, 1_000)), case().asked, np.random.default_rng(1))
    detailed = judge.wins(judge.answers())
    assert detailed.mean(axis=0) == pytest.approx(wins.mean(axis=0), abs=0.25)
    assert float(detailed.std(axis=1).mean()) == pytest.approx(float(wins.std(axis=1).mean()), rel=0.03)
    assert np.abs(detailed.mean() - wins.mean()) < 0.03


def test_a_fixed_answer_is_the_recorded_one() -> None:
    judge = Faithful(case()).judge
    recorded_a = judge.asked.recorded_wins > 0
    once = judge.asked.recorded == 1
    same = (judge.answers() == recorded_a[judge.prompt]) | ~judge.fixed[:, judge.prompt] | ~once[judge.prompt]
    assert same.all()
    assert judge.fixed.any()


def test_more_position_makes_no_a_a_b() -> None:
    judge = Faithful(case()).judge
    assert (judgements.shifted(judge, 1.5) >= judge.answers()).all()


@pytest.mark.parametrize("mock", DRAWN, ids=lambda mock: mock.name)
def test_a_drawn_mock_changes_its_own_parts_or_says_why_it_is_left_out(mock: drawn.DrawnMock) -> None:
    parts = {
        Group.JUDGEMENTS: {"wins"},
        Group.TIME: {"latency_ms", "completion_tokens"},
        Group.TOKENS: {"prompt_tokens", "completion_tokens"},
        Group.ERRORS: {"errors", "retries"},
        Group.VALUES: {"confidence"},
    }
    sample = mock.draw(Faithful(case(), 50))
    if mock.name in ("error codes rotated", "no retry succeeds"):
        assert isinstance(sample, LeftOut) == (mock.name == "error codes rotated")
    if not isinstance(sample, LeftOut):
        given = {name for name in sample.__dataclass_fields__ if getattr(sample, name) is not None}
        assert given == parts[mock.group]


def test_each_edit_is_found_by_its_check_and_by_no_chance() -> None:
    assert failing(lower5()) == []
    found = {}
    for mock in EDITED:
        run = edited_run(lower5(), mock)
        if isinstance(run, LeftOut):
            found[mock.name] = None
        else:
            failed = failing(Case(scenario(LOWER5), recorded(LOWER5), run))
            found[mock.name] = failed[0] if failed else ""
    assert found == FINDERS


def test_a_callback_that_cannot_be_read_is_in_quarantine() -> None:
    def unreadable(batches: list[list[dict[str, object]]]) -> None:
        batches[0][0]["data"]["confidence"] = 0.5

    mock = gauntlet.EditedMock("out of range", Group.VALUES, "is never sure", unreadable)
    run = edited_run(lower5(), mock)
    assert run.document.quarantined_lines == 1
    assert "live_lines" in failing(Case(scenario(LOWER5), recorded(LOWER5), run))


def test_more_errors_are_more_than_were_recorded_and_not_than_may_be() -> None:
    """Ten answers without an error leave a judge that fails in a tenth of its calls possible; its mock never fails."""
    rng = np.random.default_rng(5)
    judge = judge_of(replace(KIND, essays=5, pairs=10, error_rate=0.0), rng)
    few = Faithful(comparison(judge, (judge.answers(1, rng),), judge.answers(KIND.batches, rng)))
    drawn_errors = few.measures.errors
    assert (drawn_errors >= 0).mean() > 0.02
    assert (failing_more(few, drawn_errors, 0.0) >= 0).sum() == 0
    assert (failing_more(few, drawn_errors, 0.4) >= 0).mean() == pytest.approx(0.4, abs=0.02)


def test_a_limit_is_where_80_percent_begin() -> None:
    (latency,) = [limit for limit in limits_of(case(), noise(), margins()) if limit.kind == "latency"]
    faithful = Faithful(case(), 250)

    def rate(percent: float) -> float:
        return detection_rate(case(), noise(), [with_latency(faithful, scaled(1 + percent / 100))])[0]

    assert rate(latency.up) >= 0.8 > rate(latency.up / 1.05)
    assert rate(-latency.down) >= 0.8 > rate(-latency.down / 1.05)


def test_limits_come_from_the_cache_or_are_cheap_or_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = ContentCache(tmp_path)
    monkeypatch.setattr("cj_pipeline.parity.gauntlet.limits.CHEAP", len(case().live) - 1)
    assert not is_cheap(case())
    assert limits_of(case(), noise(), margins(), cached, cheap=True) is None
    computed = limits_of(case(), noise(), margins(), cached)
    monkeypatch.setattr("cj_pipeline.parity.gauntlet.limits._limit", lambda *arguments: pytest.fail("it is known"))
    assert limits_of(case(), noise(), margins(), cached, cheap=True) == computed


@pytest.mark.parametrize(
    ("up", "down", "both_ways", "words"),
    [
        (8.01, 7.0, True, "latency from +-8.1 %"),
        (23.4, 50.0, True, "latency from +-50 %"),
        (123.4, 50.0, True, "latency from +130 % or -50 %"),
        (None, 50.0, True, "latency from -50 % (never where it is higher)"),
        (3.0, None, True, "latency from +3 % (never where it is lower)"),
        (0.081, None, False, "latency from 0.081 %"),
        (None, None, True, "latency: none up to 900 %"),
    ],
)
def test_a_limit_in_words_promises_nothing_smaller(
    up: float | None, down: float | None, both_ways: bool, words: str
) -> None:
    assert DetectionLimit("latency", "%", up, down, both_ways, 900.0).sentence == words


def test_limits_in_one_line() -> None:
    known = DetectionLimit("tokens", "%", 5.0, 5.0, True, 900.0)
    never = DetectionLimit("errors", "% of calls", None, None, False, 100.0)
    assert (
        in_words((known, never)) == "Would find (in 80 % of runs): tokens from +-5 %; errors: none up to 100 % of calls"
    )
    assert in_words((never,)).startswith("Would find no drift")


def test_a_second_recording_finds_more_flips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cj_pipeline.parity.gauntlet.closing.FUTURES", 1)
    monkeypatch.setattr("cj_pipeline.parity.comparison.DRAWS", 1_000)
    (mock,) = [mock for mock in DRAWN if mock.name == "20 % flipped"]
    now = detection_rate(case(), noise(), [mock.draw(Faithful(case()))])[0]
    found = closings(case(), margins(), [mock])["20 % flipped"]
    assert found.recorded > 0
    assert found.rate > now


def test_a_drift_within_every_margin_is_allowed_by_the_nearest() -> None:
    faithful = Faithful(case())

    def by(percent: float) -> str:
        return drawn._allowed_by(case(), noise(), with_latency(faithful, scaled(1 + percent / 100)))

    assert by(4.0) in ("latency_mean", "latency_p95", "latency_shape")
    assert by(60.0) == ""


def test_what_is_drawn_is_kept_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = Closing(40, 1, 0.9, 1.0)
    monkeypatch.setattr(drawn, "closings", lambda case, gates, mocks, more: {mock.name: closed for mock in mocks})
    expected, cached = Expected(noise(), {}, ()), ContentCache(tmp_path)
    assert drawn.blind_spots(case(), margins(), expected, cached) == ()
    tried = tried_drawn(case(), margins(), expected, cached)
    monkeypatch.setattr(drawn, "Faithful", lambda case: pytest.fail("it is known"))
    assert tried_drawn(case(), margins(), expected, cached) == tried
    blind = [one for one in tried if one.blind]
    assert {one.closing for one in blind} == {closed}
    assert drawn.blind_spots(case(), margins(), expected, cached) == tuple(one.name for one in blind)


def test_the_recording_as_a_live_side_passes_every_exact_check() -> None:
    side = stand_in(scenario(LOWER5), recorded(LOWER5).events)
    assert failing(Case(scenario(LOWER5), recorded(LOWER5), side)) == []
    ids = {callback.request_id for callback in side.pooled_callbacks}
    assert len(ids) == len(side.pooled_callbacks) == 110
    assert ids.isdisjoint(callback.request_id for callback in recorded(LOWER5).callbacks)


def test_long_sides_are_cut_for_edits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauntlet, "MOST_EDITED", 4)
    short = gauntlet._cut(lower5())
    assert (len(short.recorded.events), len(short.live.pooled_callbacks)) == (4, 4)


def test_a_gauntlet_says_what_gets_past(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn, "closings", lambda *arguments: {})
    seen: list[int] = []
    found = run_gauntlet(lower5(), scenario_file="scenario.yaml", on_progress=seen.append)
    by_name = {one.name: one for one in found.tried}
    assert len(by_name) == gauntlet.WRONG_MOCKS == sum(seen)
    assert found.missed == ()
    assert by_name["inverted judge"].rate == 1.0
    assert by_name["ids swapped"].first == "coverage"
    assert {"order shuffled", "latency x1.05"} <= {one.name for one in found.blind_spots}
    assert [limit.kind for limit in found.limits][:2] == ["latency", "tokens"]


def test_a_missed_essential_mock_is_one_that_gets_past_in_more_than_5_percent() -> None:
    tried = [Tried("coin", Group.JUDGEMENTS, "tosses", True, rate) for rate in (0.949, 0.951, None)]
    others = [Tried("flips", Group.JUDGEMENTS, "flips", False, rate) for rate in (0.79, 0.81)]
    found = Gauntlet("a", (*tried, *others), (), ())
    assert [one.rate for one in found.missed] == [0.949]
    assert [one.rate for one in found.blind_spots] == [0.79]
    assert len(found.looked_for) == 4
