"""`cj-pipeline replay` and `live`: what they show of a run besides its scale."""

from __future__ import annotations

import pytest

from cj_pipeline.cli.run_tables import sentences
from cj_pipeline.runs.record import RunDocument
from tests.cli.terminal import Terminal, printed_rows
from tests.sides import ANCHORS, GENERIC, LOWER5, recorded, scenario


def shown(document: RunDocument, scenario_id: str) -> str:
    return "\n".join(sentences(document, scenario(scenario_id)))


def test_a_replay_shows_its_waves(cj_pipeline: Terminal) -> None:
    waves = printed_rows(cj_pipeline("replay", ANCHORS).out, "Waves")
    assert len(waves) == 11
    assert waves[0] == ["1", "coverage", "6", "0", "6", "2", "2", "12", "", "0.5"]
    assert waves[-1] == ["11", "coverage", "6", "0", "66", "1.392", "1.662", "0", "0.07059", "1"]


def test_a_replay_shows_how_well_each_essay_and_each_judge_fits(cj_pipeline: Terminal) -> None:
    out = cj_pipeline("replay", ANCHORS).out
    essays = {row[1]: row[-2:] for row in printed_rows(out, "rank")}
    assert essays["vt_002_F+"] == ["1.192", "0.3708"]
    assert printed_rows(out, "Judges") == [["openai", "gpt-5.1", "66", "0.4646", "0.1606"]]


def test_a_replay_says_how_far_its_scale_is_to_be_believed(cj_pipeline: Terminal) -> None:
    out = cj_pipeline("replay", ANCHORS).out
    assert "66 of 66 comparisons judged in 11 waves, 66 of 66 pairs covered." in out
    assert "Reliability 0.84 (scale separation over 12 essays; separation 2.26)." in out
    assert "Position effect +0.06 logits (SE 0.57) for the essay shown first, which won 35 of 66." in out
    assert "Flag bt_se_inflated: no judge could have changed it on these pairs." in out


@pytest.mark.parametrize("command", ["replay", "live"])
def test_the_json_of_either_side_has_waves_and_diagnostics(cj_pipeline: Terminal, command: str) -> None:
    document = cj_pipeline(command, LOWER5, "--json").document
    assert [(wave["kind"], wave["asked"], wave["covered_pairs"]) for wave in document["waves"]] == [
        ("coverage", 2, 2 * number) for number in range(1, 6)
    ]
    assert document["diagnostics"].keys() == {
        "reliability", "position_effect", "essays", "judges", "isolated", "disconnected", "warnings",
    }  # fmt: skip
    assert len(document["diagnostics"]["essays"]) == 5
    assert document["diagnostics"]["reliability"]["reliability"] == pytest.approx(0.4015, abs=1e-4)


def test_a_first_place_that_always_won_has_no_finite_effect(cj_pipeline: Terminal) -> None:
    assert (
        "Position effect: not known; the essay shown first won all or none of 4" in cj_pipeline("replay", GENERIC).out
    )


def test_essays_outside_the_net_are_named_by_their_labels_and_at_most_twelve_of_them() -> None:
    item = next(item for item in scenario(LOWER5).net.items if item.label == "vt_001_F+")
    document = recorded(LOWER5).document
    assert document.diagnostics is not None
    broken = document.diagnostics.model_copy(update={"isolated": (item.id,), "disconnected": (item.id,) * 14})
    text = shown(document.model_copy(update={"diagnostics": broken}), LOWER5)
    assert "Never compared: vt_001_F+." in text
    assert "not linked to the largest part of the net: vt_001_F+, " in text
    assert text.endswith(" and 2 more.")
    assert item.id not in text


def test_a_run_without_answers_says_that_nothing_is_known() -> None:
    document = recorded(LOWER5).document
    assert document.diagnostics is not None
    nothing = document.diagnostics.model_copy(update={"reliability": None, "position_effect": None})
    text = shown(document.model_copy(update={"diagnostics": nothing, "completed": 0}), LOWER5)
    assert "Reliability: not known; fewer than two essays are linked by comparisons." in text
    assert "Position effect: not known; nothing was judged." in text


def test_an_older_document_without_diagnostics_is_shown_with_what_it_has() -> None:
    document = recorded(LOWER5).document.model_copy(update={"diagnostics": None, "waves": ()})
    assert shown(document, LOWER5).splitlines() == [
        "COMPLETE_STABLE: 10 of 10 comparisons judged in 5 waves, 10 of 10 pairs covered.",
        "Flag bt_se_inflated: no judge could have changed it on these pairs.",
    ]
