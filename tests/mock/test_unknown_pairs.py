"""Pairs that a mode does not know: their winners and latencies hold production's limits for any ids."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path
from uuid import UUID

import pytest

from cj_pipeline.contracts.enums import Winner
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.seeding import keyed_uuid, uniform
from cj_pipeline.mock.judge import MockJudge
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.mock.mode.winner import UnknownPairs
from cj_pipeline.mock.unknown_pairs import UnknownPairWinners
from tests.mock.test_course import Asked

LOWER5 = load_mode("eng5_lower5_gpt51_low")
# Of production's suite; the recording has others.
SUITE = tuple(f"eng5-lower5-anchor-{number:02d}" for number in range(1, 6))
RECORDED_MEAN_MS = 1588
FOUR_OF_TEN = UnknownPairs(out_of=10, essay_a=4)


def strangers(number: int) -> tuple[str, ...]:
    return tuple(str(keyed_uuid("stranger", number, essay)) for essay in range(5))


def asked_ten(judge: MockJudge, essays: tuple[str, ...], batch: str) -> tuple[dict[tuple[str, str], Winner], float]:
    """(winner by pair, mean latency) of the ten pairs of five essays."""
    winners, total_ms = {}, 0
    for pair in combinations(essays, 2):
        answer = judge.attempt(Asked(keyed_uuid(batch, *pair), pair), 0).outcome
        winners[pair] = answer.winner  # type: ignore[union-attr]
        total_ms += answer.response_time_ms  # type: ignore[union-attr]
    return winners, total_ms / 10


@pytest.mark.parametrize("calls_before", [0, 3, 5])
def test_three_batches_of_any_five_essays_hold_productions_limits(calls_before: int) -> None:
    judge = MockJudge(LOWER5, seed=42)
    for call in range(calls_before):
        judge.attempt(Asked(UUID(int=call), ("one", "other")), 0)
    for number, essays in enumerate([SUITE, *map(strangers, range(40))]):
        answers = [asked_ten(judge, essays, f"{number}-{batch}") for batch in range(3)]
        for winners, mean_ms in answers:
            assert 3 <= sum(winner is Winner.A for winner in winners.values()) <= 5
            assert mean_ms <= RECORDED_MEAN_MS + 100
        assert answers[0][0] == answers[1][0] == answers[2][0]


def test_a_pair_keeps_its_winner_on_the_other_side() -> None:
    winners = UnknownPairWinners(UnknownPairs(out_of=10, essay_a=4), seed=1)
    for first, second in combinations(strangers(0), 2):
        assert winners.prefers_a(first, second) is not winners.prefers_a(second, first)


@pytest.mark.parametrize(
    ("out_of", "essay_a", "below", "above"), [(10, 4, 2, 1), (66, 35, 2, 1), (7, 0, 0, 0), (3, 3, 0, 0)]
)
@pytest.mark.parametrize("seed", range(5))
def test_a_net_has_the_share_at_any_moment(out_of: int, essay_a: int, below: int, above: int, seed: int) -> None:
    winners = UnknownPairWinners(UnknownPairs(out_of=out_of, essay_a=essay_a), seed)
    won = 0
    for number in range(1, 3 * out_of + 1):
        won += winners.prefers_a(f"a{number}", "b")
        assert -below <= won - essay_a / out_of * number <= above


def test_in_any_order_any_net_has_three_to_five_of_ten() -> None:
    for number in range(200):
        pairs = sorted(combinations(strangers(number), 2), key=lambda pair: uniform("order", number, *pair))
        sides = [pair if uniform("side", number, *pair) < 0.5 else pair[::-1] for pair in pairs]
        winners = UnknownPairWinners(FOUR_OF_TEN, seed=42)
        assert 3 <= sum(winners.prefers_a(*pair) for pair in sides) <= 5


def test_the_suites_winners_depend_on_their_ids_and_on_nothing_that_a_process_has_seen() -> None:
    pairs = list(combinations(SUITE, 2))
    alone = {pair: UnknownPairWinners(FOUR_OF_TEN, seed=42).prefers_a(*pair) for pair in pairs}
    winners = UnknownPairWinners(FOUR_OF_TEN, seed=42)
    for pair in combinations(strangers(7), 2):
        winners.prefers_a(*pair)
    assert {pair: winners.prefers_a(*pair) for pair in pairs} == alone
    assert {pair: not winners.prefers_a(*pair[::-1]) for pair in pairs} == alone


def test_a_restart_changes_no_winner_of_a_net_that_is_asked_in_the_same_order() -> None:
    judge = UnknownPairWinners(FOUR_OF_TEN, seed=42)
    before = [[judge.prefers_a(*pair) for pair in combinations(strangers(number), 2)] for number in range(100)]
    after = [
        [winners.prefers_a(*pair) for pair in combinations(strangers(number), 2)]
        for number in range(100)
        for winners in [UnknownPairWinners(FOUR_OF_TEN, seed=42)]
    ]
    assert after == before


def test_most_winners_depend_on_the_two_ids_alone() -> None:
    kept = [
        judge.prefers_a(*pair) is UnknownPairWinners(FOUR_OF_TEN, seed=42).prefers_a(*pair)
        for number in range(100)
        for judge in [UnknownPairWinners(FOUR_OF_TEN, seed=42)]
        for pair in combinations(strangers(number), 2)
    ]
    assert sum(kept) / len(kept) > 0.85  # 0.88; the others would have left the net's share


def test_nets_that_become_one_are_counted_as_one() -> None:
    winners = UnknownPairWinners(UnknownPairs(out_of=2, essay_a=1), seed=42)
    pairs = [("a", "b"), ("c", "d"), ("e", "f"), ("a", "c"), ("c", "e"), *combinations("abcdef", 2)]
    won = {frozenset(pair): winners.prefers_a(*pair) for pair in pairs}
    assert len(won) == 15
    assert 15 / 2 - 2 <= sum(won.values()) <= 15 / 2 + 1


def test_seeds_begin_elsewhere() -> None:
    begun = {
        tuple(winners.prefers_a(*pair) for pair in pairwise(map(str, range(11))))
        for winners in (UnknownPairWinners(UnknownPairs(out_of=10, essay_a=4), seed) for seed in range(20))
    }
    assert len(begun) > 3


def test_pairs_that_the_mode_knows_are_answered_as_recorded() -> None:
    assert LOWER5.winner.model == "ability"
    judge = MockJudge(LOWER5, seed=42)
    for first, others in LOWER5.winner.answers.items():
        for second, letters in others.items():
            answer = judge.attempt(Asked(keyed_uuid(first, second), (first, second)), 0).outcome
            assert answer.winner is {"A": Winner.A, "B": Winner.B}[letters[0]]  # type: ignore[union-attr]


def test_more_for_essay_a_than_there_are_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mode.yaml"
    text = (Path("cj_pipeline/mock/modes") / f"{LOWER5.name}.yaml").read_text(encoding="utf-8")
    file.write_text(text.replace("essay_a: 4}", "essay_a: 11}"), encoding="utf-8")
    with pytest.raises(BadInput, match="11 is more than out_of 10") as raised:
        load_mode(str(file))
    assert raised.value.field == "winner.unknown_pairs.essay_a"
