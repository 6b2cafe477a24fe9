"""This module tests that cells are asked once, go on after a kill, and spend from one limit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from cj_pipeline.eng5.artefact.verify import verify
from cj_pipeline.eng5.asking import OUT_OF_MONEY, OnProgress
from cj_pipeline.eng5.experiments.experiment import Experiment, kept_experiment, kept_names
from cj_pipeline.eng5.experiments.ledger import Ledger, SharedPurse
from cj_pipeline.eng5.experiments.plan import CellPlan, plan_of
from cj_pipeline.eng5.experiments.run import OnCell
from cj_pipeline.eng5.experiments.shown import as_markdown, write_results
from cj_pipeline.eng5.experiments.table import as_csv, results_of
from cj_pipeline.foundation.errors import BadInput
from tests.eng5.experiments.stand import MODEL, asked, experiment
from tests.house import REPOSITORY
from tests.runs.recording.local_server import serving

KILLED = """
import os, signal, sys
from pathlib import Path
from tests.eng5.experiments.stand import asked, experiment

answers = 0

def die(progress):
    global answers
    answers += 1
    if answers == 9:
        os.kill(os.getpid(), signal.SIGKILL)

asked(experiment(Path(sys.argv[1])), on_cell=lambda plan: die)
"""


def noted(names: list[str]) -> OnCell:
    """Note the names of the cells that are asked."""

    def on_cell(plan: CellPlan) -> OnProgress:
        names.append(plan.cell.name)
        return lambda _: None

    return on_cell


def test_an_experiment_of_two_by_two_is_asked_once_and_always_gives_the_same_table(tmp_path: Path) -> None:
    one = experiment(tmp_path)
    cells: list[str] = []
    outcomes = asked(one, on_cell=noted(cells))
    assert [outcome.unfinished for outcome in outcomes] == [None] * 4
    assert len(cells) == 4
    assert all(verify(one.artefact(cell)).problems == () for cell in one.cells)
    written = [one.artefact(cell).read_bytes() for cell in one.cells]
    again = asked(one, on_cell=lambda plan: pytest.fail(f"{plan.cell.name} is asked again"))
    assert [outcome.unfinished for outcome in again] == [None] * 4
    assert [one.artefact(cell).read_bytes() for cell in one.cells] == written
    elsewhere = experiment(tmp_path / "elsewhere")
    asked(elsewhere)
    assert as_csv(results_of(elsewhere)) == as_csv(results_of(one))


def test_cells_ask_the_same_pairs_in_the_same_order(tmp_path: Path) -> None:
    one = experiment(tmp_path)
    asked(one)
    shown = {
        tuple((row["essay_a_id"], row["essay_b_id"]) for row in (one.document(cell) or {})["llm_comparisons"])
        for cell in one.cells
    }
    assert len(shown) == 1


def test_a_killed_experiment_goes_on_with_what_is_left(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    killed = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(REPOSITORY)})
    assert killed.returncode == -signal.SIGKILL
    one = experiment(tmp_path)
    assert [(plan.answered, plan.finished) for plan in plan_of(one)] == [(6, True), (3, False), (0, False), (0, False)]
    asked_now: list[str] = []
    outcomes = asked(one, on_cell=lambda plan: lambda _: asked_now.append(plan.cell.name))
    assert all(outcome.unfinished is None for outcome in outcomes)
    assert len(asked_now) == 24 - 9
    whole = experiment(tmp_path / "whole")
    asked(whole)
    assert winners(one) == winners(whole)


def winners(one: Experiment) -> list[list[object]]:
    documents = [one.document(cell) or {} for cell in one.cells]
    return [[row["winner_id"] for row in document["llm_comparisons"]] for document in documents]


def test_a_stopped_experiment_asks_no_further_cell(tmp_path: Path) -> None:
    stop = Event()
    one = experiment(tmp_path)
    outcomes = asked(one, on_cell=lambda plan: lambda _: stop.set(), stop=stop)
    assert [outcome.unfinished for outcome in outcomes] == ["it was stopped"] * 4
    results = results_of(one)
    assert [(row.portrait.asked, row.complete) for row in results.measured] == [(1, False)]
    assert (len(results.waiting), results.complete) == (3, False)


def test_the_first_end_of_all_begins_no_further_cell(tmp_path: Path) -> None:
    stop = Event()

    def on_cell(plan: CellPlan) -> OnProgress:
        stopped.append(plan.cell.name)
        return lambda _: stop.set()

    stopped: list[str] = []
    asked(experiment(tmp_path), on_cell=on_cell, stop=stop)
    assert len(stopped) == 1
    with serving() as server:
        paid: dict[str, Any] = {
            "axes": MODEL | {"temperature": [0.0, 0.5, 1.0]},
            "judge": "provider",
            "base_url": server.url,
        }
        one, begun = experiment(tmp_path / "paid", max_usd=1.0, **paid), list[str]()
        assert one.ledger.claim("a cell of another grid", 1.0, None)
        outcomes = asked(one, on_cell=noted(begun))
    assert [outcome.unfinished for outcome in outcomes] == [OUT_OF_MONEY] * 3
    assert (len(begun), server.prompts) == (1, [])


def test_a_purse_begins_with_what_its_cell_can_have_spent_by_either_book(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "spent.sqlite")
    assert ledger.claim("a", 5.0, None)
    assert SharedPurse(ledger, "a", 10.0, 2.0, lambda _: None).exposure == 5.0
    assert SharedPurse(ledger, "a", 10.0, 7.0, lambda _: None).exposure == 7.0


def test_who_forgets_the_answers_forgets_what_they_cost(tmp_path: Path) -> None:
    one = experiment(tmp_path)
    assert one.ledger.claim("effort-low", 3.0, None)
    one.forget()
    assert one.ledger.total() == 0.0


def test_a_grown_grid_asks_its_new_cells_only(tmp_path: Path) -> None:
    asked(experiment(tmp_path, axes={"effort": ["none", "low"]}))
    new: list[str] = []
    grown = experiment(tmp_path, axes={"effort": ["none", "low", "high"]})
    asked(grown, on_cell=noted(new))
    assert new == ["effort-high"]
    shrunk = experiment(tmp_path, axes={"effort": ["none"]})
    assert shrunk.left_behind() == ("effort-high", "effort-low")


def test_a_finished_cell_is_not_passed_off_as_another(tmp_path: Path) -> None:
    prompt = tmp_path / "mine.v1.yaml"
    prompt.write_text("schema_version: 1\nname: mine.v1\nsystem: Judge.\nquestion: Which?\n")
    one = experiment(tmp_path, axes={"prompt": [str(prompt)]})
    asked(one)
    prompt.write_text("schema_version: 1\nname: mine.v1\nsystem: Judge well.\nquestion: Which?\n")
    with pytest.raises(BadInput, match=r"prompt-mine\.v1: prompt: is not what this cell was asked with"):
        plan_of(one)
    one.forget()
    assert plan_of(one)[0].left == 6


def test_a_mock_and_a_provider_answer_one_grid_beside_each_other(tmp_path: Path) -> None:
    with serving() as server:
        tried = experiment(tmp_path, axes=MODEL)
        asked(tried)
        real = experiment(tmp_path, axes=MODEL, judge="provider", base_url=server.url, max_usd=1.0)
        asked(real)
    assert (tried.folder.name, real.folder.name) == ("tried.mock", "tried")
    assert len(server.prompts) == 6
    assert results_of(tried).complete
    assert results_of(real).complete
    assert "Nothing was spent" in as_markdown(results_of(tried))
    assert "Nothing was spent" not in as_markdown(results_of(real))


def test_an_experiment_is_found_again_by_its_name(tmp_path: Path) -> None:
    one = experiment(tmp_path)
    asked(one)
    assert kept_names(one.folder.parent) == ["tried.mock"]
    kept = kept_experiment("tried.mock", one.folder.parent)
    assert kept.cells == one.cells
    assert all(plan.finished for plan in plan_of(kept))
    with pytest.raises(BadInput, match=r"no such experiment\. There are: tried\.mock"):
        kept_experiment("other", one.folder.parent)
    (one.folder / "experiment.json").write_text("{}")
    with pytest.raises(BadInput, match="is not what an experiment writes"):
        kept_experiment("tried.mock", one.folder.parent)


def test_all_cells_spend_from_one_limit_and_a_higher_one_goes_on(tmp_path: Path) -> None:
    axes = MODEL | {"temperature": [0.0, 0.5, 1.0], "max_tokens": [100]}
    with serving() as server:
        paid: dict[str, Any] = {"axes": axes, "judge": "provider", "base_url": server.url}
        probe = plan_of(experiment(tmp_path, max_usd=1.0, **paid))[0]
        limit = 8 * (probe.most_usd or 0.0) / 6
        one = experiment(tmp_path, max_usd=limit, **paid)
        outcomes = asked(one)
        reasons = [outcome.unfinished for outcome in outcomes]
        assert reasons[-1] == OUT_OF_MONEY
        assert 0 < one.ledger.total() <= limit
        first = len(server.prompts)
        assert 0 < first < 18
        assert not results_of(one).complete
        more = experiment(tmp_path, max_usd=1.0, **paid)
        assert [outcome.unfinished for outcome in asked(more)] == [None] * 3
        # Each pair once in each cell, although the experiment was interrupted.
        assert set(server.asked.values()) == {3}
        assert len(server.prompts) == 18
        results = results_of(more)
    assert results.complete
    costs = [row.portrait.cost_usd or 0.0 for row in results.measured]
    # Callbacks round each price to a millionth.
    assert more.ledger.total() == pytest.approx(sum(costs), abs=18e-6)


def test_a_stated_price_of_a_server_on_this_machine_counts_against_the_limit(tmp_path: Path) -> None:
    with serving() as server:
        paid: dict[str, Any] = {
            "axes": {"provider": ["openai"], "model": ["gpt-5.1"], "max_tokens": [100]},
            "judge": "provider",
            "base_url": server.url,
            "price_per_million": (10.0, 100.0),
        }
        (free,) = plan_of(experiment(tmp_path, **(paid | {"price_per_million": None})))
        assert free.most_usd == 0.0
        (probe,) = plan_of(experiment(tmp_path, max_usd=1.0, **paid))
        limit = 3 * (probe.most_usd or 0.0) / 6
        one = experiment(tmp_path, max_usd=limit, **paid)
        (outcome,) = asked(one)
    assert outcome.unfinished == OUT_OF_MONEY
    assert 0 < len(server.prompts) < 6
    assert 0 < one.ledger.total() <= limit


def test_processes_that_spend_at_the_same_time_do_not_pass_the_limit(tmp_path: Path) -> None:
    def spend(cell: str) -> int:
        ledger = Ledger(tmp_path / "spent.sqlite")
        return sum(ledger.claim(cell, number, 30.0) for number in range(1, 21))

    with ThreadPoolExecutor(4) as pool:
        claims = list(pool.map(spend, ["a", "b", "c", "d"]))
    ledger = Ledger(tmp_path / "spent.sqlite")
    assert ledger.total() == 30.0
    assert sum(claims) == 30
    assert ledger.others("a") + ledger.of("a") == 30.0


def test_a_judge_that_is_away_costs_its_cell_and_not_the_others(tmp_path: Path) -> None:
    one = experiment(
        tmp_path, axes=MODEL | {"temperature": [0.0, 0.5]}, judge="provider", base_url="http://127.0.0.1:9/v1"
    )
    notes: list[str] = []
    outcomes = asked(one, note=notes.append)
    assert all((outcome.unfinished or "").startswith("the judge was away") for outcome in outcomes)
    assert sum("nobody answers at the judge's address" in note for note in notes) == 2
    results = results_of(one)
    assert (results.measured, len(results.waiting)) == ((), 2)
    files = write_results(results)
    assert files[0].read_text() == "cell\n"


def test_a_missing_key_is_found_before_anything_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    one = experiment(tmp_path, axes=MODEL, judge="provider")
    with pytest.raises(BadInput, match="OPENAI_API_KEY: no key is set"):
        asked(one)
    assert not one.folder.exists()


def test_a_real_judge_is_asked_in_bundles_where_the_cell_says_so(tmp_path: Path) -> None:
    with serving() as server:
        one = experiment(
            tmp_path,
            axes=MODEL | {"batching": ["per_request", "serial_bundle"]},
            judge="provider",
            base_url=server.url,
            max_usd=1.0,
        )
        asked(one)
        alone, bundled = results_of(one).measured
    assert (alone.counters["bundles"], alone.counters["callbacks"]) == (0, 6)
    assert (bundled.counters["bundled_comparisons"], bundled.counters["callbacks"]) == (6, 6)
    # Two comparisons a wave of four anchors.
    assert bundled.counters["bundles"] < 6


def test_ids_of_a_mocked_cell_follow_from_the_cell_and_others_do_not(tmp_path: Path) -> None:
    def ids(folder: Path, **given: Any) -> set[str]:
        one = experiment(folder, **given)
        asked(one)
        return {(one.document(cell) or {})["metadata"]["batch_uuid"] for cell in one.cells}

    axes = {"effort": ["low"]}
    assert ids(tmp_path / "a", axes=axes) == ids(tmp_path / "b", axes=axes)
    assert ids(tmp_path / "c", axes=axes, seed=7).isdisjoint(ids(tmp_path / "a", axes=axes))
    with serving() as server:
        real: dict[str, Any] = {"axes": MODEL, "judge": "provider", "base_url": server.url, "max_usd": 1.0}
        assert ids(tmp_path / "d", **real).isdisjoint(ids(tmp_path / "e", **real))
