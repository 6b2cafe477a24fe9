"""This module tests what a grid says, which cells it makes, and what of it is refused, by file, line and key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from cj_pipeline.eng5.experiments.cells import MOST_CELLS, cells_of
from cj_pipeline.eng5.experiments.experiment import experiment_of
from cj_pipeline.eng5.experiments.grid import AXES, Axes, grid_of_options, read_grid
from cj_pipeline.eng5.experiments.plan import plan_of
from cj_pipeline.foundation.errors import BadInput
from tests.eng5.experiments.stand import COMMAND, experiment
from tests.eng5.nets import small_net


def names(**axes: Any) -> list[str]:
    return [cell.name for cell in cells_of(grid_of_options(COMMAND, {"name": "tried", "axes": axes}))]


def test_every_combination_is_a_cell_and_the_last_key_varies_fastest() -> None:
    assert names(prompt=["plain", "rubric"], effort=["none", "low"]) == [
        "effort-none.prompt-plain",
        "effort-none.prompt-rubric",
        "effort-low.prompt-plain",
        "effort-low.prompt-rubric",
    ]


def test_a_cell_keeps_its_name_when_the_grid_grows() -> None:
    few, many = names(model="gpt-5.1", effort=["none", "low"]), names(model=["gpt-5.1", "o9"], effort=["low", "none"])
    assert set(few) < set(many)


def test_a_label_has_what_varies_and_nothing_else() -> None:
    axes = {"model": "gpt-5.1", "effort": ["none", "low"]}
    cells = cells_of(grid_of_options(COMMAND, {"name": "tried", "axes": axes}))
    assert [cell.label for cell in cells] == ["effort=none", "effort=low"]


def test_one_model_of_two_vendors_makes_two_cells() -> None:
    both = names(provider="openrouter", model=["openai/gpt-oss-20b", "azure/gpt-oss-20b"])
    assert both == ["provider-openrouter.model-openai_gpt-oss-20b", "provider-openrouter.model-azure_gpt-oss-20b"]
    assert names(provider="openrouter", model="openai/gpt-oss-20b") == both[:1]


def test_a_long_name_ends_in_a_digest() -> None:
    first, second = names(model=["m" * 150 + "1", "m" * 150 + "2"])
    assert len(first) == len(second) == 120
    assert first != second


def test_axes_are_the_keys_of_a_cell() -> None:
    assert tuple(Axes.model_fields) == AXES


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        ("axes:\n  effort: [none, lo]", "3: axes.effort.1:", "Input should be 'none', 'low', 'medium' or 'high'"),
        ("axes:\n  effrot: [low]", "3: axes.effrot:", "Extra inputs are not permitted"),
        ("axes:\n  prompt: [003, rubric]", "3: axes.prompt.0:", "valid string. The keys are .* Quote a name"),
        ('axes:\n  prompt: ["011"]', "3: axes.prompt:", "no system prompt 011"),
        ('axes:\n  prompt: ["003+009"]', "3: axes.prompt:", "no rubric prompt 009"),
        ("axes:\n  prompt: [plian]", "3: axes.prompt:", "'plian' is no prompt. Did you mean 'plain.v1'"),
        ("axes:\n  prompt: [mine.v1.yaml]", "mine.v1.yaml:", "no such file"),
        ("axes:\n  prompt: [mine.txt]", "mine.txt:", "no such file"),
        ("axes:\n  effort: [low, low]", "3: axes.effort:", "'low' is given twice"),
        ("axes:\n  effort: []", "3: axes.effort:", "is empty"),
        ("axes: {}", "grid.yaml:", "needs axes or cells"),
        ("axes:\n  effort: low\ncells: [{effort: low}]", "4: cells:", "has axes beside it"),
        ("cells:\n- {effort: low}\n- {effort: low}", "4: cells.1:", "cells 1 and 2 have one name"),
        ("axes:\n  effort: [low, none]\nbase: {effort: high}", "4: base:", "no cell has effort=high"),
        ("axes:\n  effort: [low, none]\n  repeat: [1, 2]\nbase: {effort: low}", "5: base:", "2 cells have effort=low"),
        ("axes:\n  provider: mock", "3: axes.provider.0:", "a mock answers under the name of the provider"),
        ("axes:\n  model: gpt-9\n  provider: openai", "3: axes.model:", "'gpt-9' is not a model of openai"),
        ("axes:\n  model: claude-haiku-4-5-20251001\n  verbosity: low", "4: axes.verbosity:", "does not take 'low'"),
        ("axes:\n  mock_mode: nowhere", "3: axes.mock_mode:", "'nowhere' is not a mode"),
        ("axes:\n  effort: low\nmax_usd: 3", "4: max_usd:", "goes with a judge that costs money"),
        (
            "axes:\n  effort: low\njudge: local\nbase_url: http://x",
            "5: base_url:",
            "goes with a judge that costs money",
        ),
        ("axes:\n  mock_mode: default\njudge: provider", "3: axes.mock_mode:", "a real judge is asked"),
        (
            "axes:\n  model: gpt-5.1\n  provider: openai\njudge: provider\nmax_usd: 1",
            "6: max_usd:",
            "nobody knows what",
        ),
        ("axes:\n  effort: low\njudge: provider\nmax_usd: 0.001", "5: max_usd:", "0.001 USD do not allow one call"),
        ("axes:\n  effort: low\ncomparisons: yes", "4: comparisons:", "greater than or equal to 2"),
        ("axes:\n  effort: low\nseed: true", "4: seed:", "true or false; a number is wanted"),
        ("axes:\n  effort: low\nmax_usd: .nan", "4: max_usd:", "finite number"),
        ("axes:\n  effort: low\nname: tried", "4: name:", "given twice"),
        ("axes: [", "grid.yaml:", "not YAML"),
        ("axes:\n  temperature: [0, 3]", "3: axes.temperature.1:", "less than or equal to 2"),
        (f"axes:\n  repeat: {list(range(1, MOST_CELLS + 2))}", "2: axes:", f"at most {MOST_CELLS} fit"),
    ],
)
def test_a_grid_that_cannot_be_meant_is_refused_by_line_and_key(
    text: str, place: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    small_net(tmp_path / "net")
    path = tmp_path / "grid.yaml"
    path.write_text(f"name: tried\n{text}\n" + ("" if "name: tried" in text else "net: net\n"))
    with pytest.raises(BadInput, match=problem) as refused:
        plan_of(experiment_of(read_grid(path), tmp_path / "out"))
    assert place in str(refused.value), str(refused.value)
    assert not (tmp_path / "out").exists()


def test_a_grid_whose_name_is_a_device_of_windows_is_refused_by_line(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text("name: con\naxes:\n  effort: low\n")
    with pytest.raises(BadInput, match=r"1: name: .*is a device of Windows"):
        read_grid(path)


@pytest.mark.parametrize(
    ("given", "field", "problem"),
    [
        ({"axes": {"mock_mode": ["a b"]}}, "--mock-mode", "pattern"),
        ({"axes": {"effort": ["lo"]}}, "--effort", "Input should be"),
        ({"axes": {"effort": ["low"]}, "concurrency": 65}, "--concurrency", "less than or equal to 64"),
        ({"axes": {"effort": ["low"]}, "name": "../x"}, "--name", "it has '.'"),
        ({"axes": {"effort": ["low"]}, "name": "nul"}, "--name", "is a device of Windows"),
        ({"cells": [{"effort": "low"}, {"efort": "low"}]}, "B.efort", "Extra inputs"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused_by_its_name(given: dict[str, Any], field: str, problem: str) -> None:
    with pytest.raises(BadInput, match=problem) as refused:
        grid_of_options(COMMAND, {"name": "tried", **given})
    assert refused.value.field == field


def test_paths_of_a_grid_count_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "there"
    small_net(folder / "net")
    (folder / "mine.v1.yaml").write_text("schema_version: 1\nname: mine.v1\nsystem: Judge.\nquestion: Which?\n")
    (folder / "system.txt").write_text("A system prompt of a file.")
    (folder / "rubric.txt").write_text("A rubric of a file.")
    (folder / "grid.yaml").write_text(
        "name: tried\nnet: net\naxes:\n  prompt: [mine.v1.yaml, system.txt, system.txt+rubric.txt]\n"
    )
    monkeypatch.chdir(tmp_path)
    plans = plan_of(experiment_of(read_grid(Path("there/grid.yaml")), tmp_path / "out"))
    assert len({plan.begun_with["prompt"] for plan in plans}) == 3
    assert [plan.wanted for plan in plans] == [6, 6, 6]


def test_fewer_comparisons_are_the_same_in_every_cell_and_both_orders_double_them(tmp_path: Path) -> None:
    assert [plan.wanted for plan in plan_of(experiment(tmp_path, comparisons=5))] == [5] * 4
    assert [plan.wanted for plan in plan_of(experiment(tmp_path, both_orders=True))] == [12] * 4


def test_the_price_of_a_mocked_cell_is_that_of_its_provider(tmp_path: Path) -> None:
    models = ["gpt-5-2025-08-07", "gpt-5-nano-2025-08-07", "gpt-5.1"]
    dear, cheap, unknown = plan_of(experiment(tmp_path, axes={"provider": ["openai"], "model": models}))
    assert dear.usd is not None
    assert cheap.usd is not None
    assert dear.usd > cheap.usd > 0
    assert unknown.usd is None
    stated = experiment(tmp_path, axes={"provider": ["openai"], "model": models}, price_per_million=(1000.0, 0.0))
    again_dear, _, now_known = plan_of(stated)
    assert again_dear.usd == dear.usd
    assert now_known.usd == pytest.approx(6 * now_known.prompt_tokens * 1000 / 1e6)


def test_a_number_is_system_prompt_and_rubric_and_two_numbers_are_one_of_each(tmp_path: Path) -> None:
    def texts(name: str) -> list[str]:
        (plan,) = plan_of(experiment(tmp_path, axes={"prompt": [name]}))
        files = (plan.options.system_prompt, plan.options.rubric)
        return [f"{path.parent.name}/{path.stem}" for path in files if path is not None]

    assert texts("003") == ["system/003_language_control", "rubric/003_language_control"]
    assert texts("3") == texts("003_language_control") == texts("003")
    assert texts("007+006") == ["system/007_usage_guard", "rubric/006_usage_content_parity_rubric"]
    assert texts("009") == ["system/009_usage_decides_when_weak"]
    assert texts("009+008") == ["system/009_usage_decides_when_weak", "rubric/008_strong_usage_guard"]


def test_the_names_of_prompts_may_be_their_beginnings(tmp_path: Path) -> None:
    short, full = (
        plan_of(experiment(tmp_path, axes={"prompt": [name]}))[0].begun_with["prompt"]
        for name in ("rubric", "rubric.v1")
    )
    assert short == full
    assert re.fullmatch("[0-9a-f]{64}", short)
