"""`bt fit` uses what a table says, or names what it does not use; and it names items by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.terminal import Terminal

# Citations between four journals of statistics (Stigler 1994), as R prints them.
CITATIONS = """"","winner","loser","{count}"
"1","Comm Statist","Biometrika",33
"2","JASA","Biometrika",320
"3","JRSS-B","Biometrika",284
"4","Biometrika","Comm Statist",730
"5","JASA","Comm Statist",813
"6","JRSS-B","Comm Statist",276
"7","Biometrika","JASA",498
"8","Comm Statist","JASA",68
"9","JRSS-B","JASA",325
"10","Biometrika","JRSS-B",221
"11","Comm Statist","JRSS-B",17
"12","JASA","JRSS-B",142
"""


@pytest.mark.parametrize("count", ["Freq", "weight", "Count"])
def test_counts_under_any_name_give_the_published_estimates(cj_pipeline: Terminal, tmp_path: Path, count: str) -> None:
    (tmp_path / "a.csv").write_text(CITATIONS.format(count=count))
    answer = cj_pipeline("bt", "fit", tmp_path / "a.csv", "--estimator", "mle", "--json")
    theta = {row["item"]: row["theta"] for row in answer.document["items"]}
    relative = {item: theta[item] - theta["Biometrika"] for item in theta if item != "Biometrika"}
    assert relative == pytest.approx({"Comm Statist": -2.949, "JASA": -0.480, "JRSS-B": 0.269}, abs=5e-4)
    assert "not used: the column no. 1 (no heading)" in answer.err


def test_a_draw_is_half_a_win_for_each(cj_pipeline: Terminal, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("winner,loser,result\na,b,win\nb,a,Win\na,b,draw\nb,c,tie\n")
    items = cj_pipeline("bt", "fit", tmp_path / "a.csv", "--json").document["items"]
    assert {row["item"]: (row["wins"], row["losses"]) for row in items} == {
        "a": (1.5, 1.5), "b": (2.0, 2.0), "c": (0.5, 0.5),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("winner,loser,result\na,b,lost\n", "a.csv:2: result: 'lost' is neither a win nor a draw"),
        ("winner,loser,count,weight\na,b,1,2\n", "line 1 has the columns 'count', 'weight'; keep one of them"),
        ("winner,loser,tie\na,b,1\n", "a.csv:1: tie: is not a column that is understood. Give draws in a column"),
        ("winner,loser,count\na,b,\n", "a.csv:2: count: missing"),
        ("winner,loser\na,a\n", "a.csv:2: a: compared with itself"),
        ("winner,loser\n", "a.csv: no rows"),
    ],
)
def test_what_cannot_be_counted_is_refused_by_line_and_column(
    cj_pipeline: Terminal, tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "a.csv").write_text(text)
    answer = cj_pipeline("bt", "fit", tmp_path / "a.csv")
    assert (answer.code, words in answer.err) == (2, True), answer.err


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("winner,loser\na,b\nb,a\na,c\nb,c\n", 2, "a.csv: the maximum-likelihood estimate does not exist: c never won"),
        ("winner,loser\na,b\nb,a\nc,d\nd,c\n", 0, "(a, b) and (c, d) were never compared"),
    ],
)
def test_items_are_called_by_their_names(
    cj_pipeline: Terminal, tmp_path: Path, text: str, code: int, words: str
) -> None:
    (tmp_path / "a.csv").write_text(text)
    answer = cj_pipeline("bt", "fit", tmp_path / "a.csv", "--estimator", "mle")
    assert answer.code == code
    assert words in answer.err + answer.out


def test_names_are_one_item_whatever_form_of_unicode_they_have(cj_pipeline: Terminal, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("winner,loser\nÅsa,b\nb, A\u030asa \n", encoding="utf-8")
    items = cj_pipeline("bt", "fit", tmp_path / "a.csv", "--json").document["items"]
    assert {row["item"]: row["wins"] for row in items} == {"Åsa": 1, "b": 1}
