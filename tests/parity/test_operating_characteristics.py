"""The operating characteristics as measured: the page says what was counted, and a run goes on where it ended."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from benchmarks.operating_characteristics import BLOCK, JUDGES, tasks
from benchmarks.operating_report import (
    AT_C,
    BEGIN,
    COUNTS,
    DOCS,
    END,
    ESSENTIAL,
    MOST_OF_ONE,
    OTHERS,
    REAL,
    Judge,
    coverage,
    error,
    gathered,
    like,
    others,
    pooled,
    read_judges,
    table,
)
from benchmarks.simulated_judges import point_c


def test_the_page_says_what_was_counted() -> None:
    text = (DOCS / "parity.md").read_text(encoding="utf-8")
    real = json.loads(REAL.read_text(encoding="utf-8"))
    # Out of date? python -m benchmarks.operating_report write
    assert BEGIN + table(read_judges(), real) + END in text
    assert others(read_judges()).join(OTHERS) in (DOCS / "gauntlet.md").read_text(encoding="utf-8")


def test_what_was_counted_keeps_the_promises() -> None:
    judges = [judge for judge in read_judges() if judge.at == "hypercube"]
    cube = pooled(judges)
    assert len(judges) == JUDGES
    assert cube.share("no") + 2 * error(judges, "no") <= 0.01
    assert [judge for judge in judges if judge.share("no") - 2 * error([judge], "no") > MOST_OF_ONE] == []
    assert [(judge, mock) for judge in judges for mock in ESSENTIAL if judge.share(f"past {mock}") > 0.05] == []
    # Wanted: .93 to .97. Runs of one recording go together.
    for name, share in coverage(cube).items():
        reach = 2 * error(judges, f"covered {name}", f"intervals {name}")
        assert 0.93 - reach <= share <= 0.97 + reach, name
    assert cube.share("different", "recordings") <= 0.05
    assert [name for name in cube.counts if name.startswith("equivalent") and cube.share(name) > 0.05] == []


@pytest.mark.parametrize("key", AT_C)
def test_power_that_may_not_be_given_away_is_there(key: tuple[int, float]) -> None:
    here = pooled(like((judge for judge in read_judges() if judge.at == "c"), *key))
    assert here.share("parity") >= 0.90
    assert min(here.share(f"caught {mock}") for mock in ESSENTIAL) >= 0.95


def test_a_real_judge_is_never_told_from_itself_and_mostly_from_others() -> None:
    real = json.loads(REAL.read_text(encoding="utf-8"))
    found = {name: count["found"] / count["of"] for name, count in real.items()}
    assert found["itself, 1 recorded"] == found["itself, 2 recorded"] == 0
    assert found["another judge, 1 recorded"] >= 0.60
    assert found["another judge, 2 recorded"] >= 0.85


def test_every_judge_gets_ten_recordings_before_any_gets_twenty() -> None:
    every = tasks(30)
    judges = JUDGES + len(point_c())
    assert [task.block for task in every] == [0] * judges + [1] * judges + [2] * judges
    assert len({task.key for task in every}) == len(every) == judges * 30 // BLOCK


def test_lines_of_one_judge_add_up() -> None:
    line = {"at": "c", "number": 3, "kind": {"essays": 12}, "counts": {"runs": 100, "no": 1, "parity": 0}}
    other = line | {"counts": {"runs": 100, "no": 2}}
    assert gathered(map(json.dumps, (line, other))) == [
        {"at": "c", "number": 3, "kind": {"essays": 12}, "counts": {"runs": 200, "no": 3}}
    ]


def test_runs_of_one_recording_do_not_make_a_share_surer() -> None:
    """Four recordings, of which one fails all its ten runs: a share of .25, known to .25."""
    counts = Counter({"runs": 40, "recordings": 4, "no": 10, "squared no": 100})
    judge = Judge("hypercube", {}, counts)
    assert error([judge], "no") == pytest.approx(0.25)
    assert error([judge] * 4, "no") == pytest.approx(0.125)


def test_counts_are_small_enough_to_be_read() -> None:
    assert COUNTS.stat().st_size < 150_000
    assert (DOCS / "images" / "operating-characteristics.svg").stat().st_size < 60_000
