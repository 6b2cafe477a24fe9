"""What a gauntlet says: in the first lines, in the sentence of each blind spot, in Markdown and in JSON."""

from __future__ import annotations

import json
from dataclasses import replace

from cj_pipeline.parity.gauntlet.closing import Closing
from cj_pipeline.parity.gauntlet.gauntlet import Gauntlet
from cj_pipeline.parity.gauntlet.limits import DetectionLimit
from cj_pipeline.parity.gauntlet.tables import gauntlet_rows
from cj_pipeline.parity.gauntlet.tried import Tried
from cj_pipeline.parity.gauntlet.wrong_mock import Group
from cj_pipeline.reports.gauntlet_report import (
    Remedy,
    as_json,
    as_markdown,
    blind_groups,
    blind_lines,
    exit_code,
    left_out_lines,
    next_step,
    rows_of,
    summary_lines,
)
from cj_pipeline.reports.headline import ANOTHER_JUDGE
from cj_pipeline.warehouse.schemas import SCHEMAS

COIN = Tried("fair coin", Group.JUDGEMENTS, "tosses a coin", True, 0.9996, "answer_agreement")
FLIPS = Tried("flips", Group.JUDGEMENTS, "flips a tenth", False, 0.125, "agreement", closing=Closing(66, 1, 0.96, 1.0))
SLOW = Tried("slow", Group.TIME, "takes longer", False, 0.012, "latency_mean", closing=Closing(132, 1, 0.05, 0.0))
DRIFT = Tried("drift", Group.TIME, "drifts", False, 0.3, "latency_drift", closing=Closing(0, 3, 0.9, 1.0))
TOKENS = Tried(
    "tokens", Group.TOKENS, "bills more", False, 0.03, closing=Closing(132, 1, 0.04, 0.0), allowed_by="tokens_total"
)
SOME = Tried(
    "some", Group.JUDGEMENTS, "flips some", False, 0.2, closing=Closing(40, 1, 0.6, 0.0), allowed_by="winner_share"
)
JUNK = Tried("junk", Group.VALUES, "gives letters for reasons", False, 0.0)
FREE = Tried("cost 0", Group.VALUES, "costs nothing", False, None, left_out="the recorded judge does the same")
LIMITS = (DetectionLimit("tokens", "%", 5.0, 4.0, True, 900.0),)
FOUND = Gauntlet("scenario", (COIN, FLIPS, SLOW, DRIFT, JUNK, FREE), LIMITS, ("identity",))


def ADD(comparisons: int) -> str:  # noqa: N802 - a constant to the tests
    return f"cj-pipeline record 'a judge' --more {comparisons}"


def test_the_first_lines_say_what_is_found_and_what_to_record() -> None:
    assert summary_lines(FOUND, ADD) == (
        "1 of 5 wrong mocks are found in at least 80 % of runs.",
        "Would find (in 80 % of runs): tokens from +-5 %.",
        "The live side fails identity as it is, so what these would find is not known.",
        "Next: 66 more recorded comparisons of the same judge would close 1 of 4 blind spots (an estimate). To add "
        "them: cj-pipeline record 'a judge' --more 66",
    )


def test_nothing_can_be_added_to_a_file() -> None:
    step = next_step(FOUND, None)
    assert step is not None
    assert "cj-pipeline" not in step
    assert "66 more recorded comparisons" in step
    assert next_step(Gauntlet("scenario", (COIN, JUNK), (), ()), ADD) is None


def test_each_blind_spot_is_one_sentence_below_what_would_close_it() -> None:
    found = Gauntlet("scenario", (COIN, JUNK, SLOW, TOKENS, SOME, DRIFT, FLIPS), (), ())
    assert blind_groups(found) == (
        (
            Remedy.CLOSES,
            (
                "A mock that drifts is found in 30 % of runs; with 3 times the live batches (live.repeats in "
                "scenario.yaml) in about 90 %.",
                "A mock that flips a tenth is found in 12 % of runs; with 66 more recorded comparisons in about 96 %.",
            ),
        ),
        (
            Remedy.HELPS,
            ("A mock that flips some is found in 20 % of runs; with 40 more recorded comparisons in about 60 %.",),
        ),
        (Remedy.MARGIN, ("A mock that bills more is found in 3 % of runs; nearest margin: tokens_total.",)),
        (Remedy.NOTHING, ("A mock that takes longer is found in 1 % of runs.",)),
        (Remedy.UNSEEN, ("A mock that gives letters for reasons is found in 0 % of runs.",)),
    )
    assert len(blind_lines(found)) == len(found.blind_spots)


def test_what_depends_on_the_judge_is_not_promised() -> None:
    unsure = replace(FLIPS, closing=Closing(66, 1, 0.85, 0.6))
    found = replace(FOUND, tried=(unsure,))
    assert next_step(found, ADD) is None
    assert "in about 85 %, less if the judge sees less difference" in blind_lines(found)[0]


def test_of_a_judge_that_may_never_read_no_answers_are_promised_and_parity_says_the_same() -> None:
    coin = Tried("blind coin", Group.JUDGEMENTS, "tosses a coin", True, 0.03)
    found = replace(FOUND, tried=(coin, SLOW), unread=True)
    assert blind_lines(found)[0] == (
        "A mock that tosses a coin is found in 3 % of runs; more answers like these would not help."
    )
    assert ANOTHER_JUDGE in " ".join(summary_lines(found, ADD))
    assert next_step(found, ADD) is None


def test_a_rate_is_rounded_down_and_a_finder_by_chance_is_not_named() -> None:
    assert rows_of(FOUND)[:3] == [
        ["fair coin *", "judgements", "99 %", "answer_agreement"],
        ["flips", "judgements", "12 %", "agreement"],
        ["slow", "time", "1 %", ""],
    ]
    assert left_out_lines(FOUND) == ("cost 0: the recorded judge does the same.",)


def test_an_essential_mock_that_gets_past_is_named_and_ends_with_3() -> None:
    missed = Gauntlet("scenario", (Tried("fair coin", Group.JUDGEMENTS, "tosses a coin", True, 0.94),), (), ())
    assert (
        "essential ones get past, so `parity` says CANNOT TELL: fair coin (found in 94 %)"
        in summary_lines(missed, ADD)[0]
    )
    assert (exit_code(FOUND), exit_code(missed)) == (0, 3)


def test_markdown_and_json_hold_the_same() -> None:
    document = json.loads(json.dumps(as_json(FOUND, ADD)))
    markdown = as_markdown(FOUND, ADD)
    assert [one["name"] for one in document["wrong_mocks"]] == [one.name for one in FOUND.tried]
    assert document["wrong_mocks"][1]["closing"] == {"recorded": 66, "live": 1, "rate": 0.96, "sure": 1.0}
    assert document["limits"][0]["up"] == 5.0
    assert document["exit_code"] == 0
    assert all(line in markdown.replace("\\", "") for line in document["blind_spots"])
    assert "| flips | judgements | 12 % | agreement |" in markdown


def test_rows_fit_their_dataset() -> None:
    rows = gauntlet_rows(FOUND)
    assert set(rows[0]) == set(SCHEMAS["gauntlet"].names) - {"run_id"}
    assert [row["more_recorded"] for row in rows] == [None, 66, 132, 0, None, None]
