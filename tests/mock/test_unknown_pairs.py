"""Pairs that a mode does not know: their winners and latencies hold production's limits for any ids."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path
from uuid import UUID

import pytest

from cj_pipeline.contracts.enums import Winner
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.seeding import keyed_uuid
from cj_pipeline.mock.judge import MockJudge
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.mock.mode.winner import UnknownPairs
from cj_pipeline.mock.unknown_pairs import UnknownPairWinners
from tests.mock.test_course import Asked

LOWER5 = load_mode("eng5_lower5_gpt51_low")
# Of production's suite; the recording has others.
SUITE = tuple(f"eng5-lower5-anchor-{number:02d}" for number in range(1, 6))
RECORDED_MEAN_MS = 1588


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
            assert sum(winner is Winner.A for winner in winners.values()) == 4  # 2 to 5 pass
            assert mean_ms <= RECORDED_MEAN_MS + 100
        assert answers[0][0] == answers[1][0] == answers[2][0]


def test_a_pair_keeps_its_winner_on_the_other_side() -> None:
    winners = UnknownPairWinners(UnknownPairs(out_of=10, essay_a=4), seed=1)
    for first, second in combinations(strangers(0), 2):
        assert winners.prefers_a(first, second) is not winners.prefers_a(second, first)


@pytest.mark.parametrize(("out_of", "essay_a"), [(10, 4), (66, 35), (7, 0), (3, 3)])
@pytest.mark.parametrize("seed", range(5))
def test_any_so_many_pairs_in_a_row_have_exactly_the_share(out_of: int, essay_a: int, seed: int) -> None:
    winners = UnknownPairWinners(UnknownPairs(out_of=out_of, essay_a=essay_a), seed)
    told = [winners.prefers_a(f"a{number}", "b") for number in range(3 * out_of)]
    assert {sum(told[first : first + out_of]) for first in range(2 * out_of)} == {essay_a}


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
