"""`bt converge`: what a budget buys, before anything is recorded."""

from __future__ import annotations

import json

from click.testing import CliRunner

from cj_pipeline.cli.bt import bt


def test_more_comparisons_find_more_of_the_order() -> None:
    arguments = ["converge", "--essays", "12", "--budget", "30", "--budget", "240", "--seeds", "5", "--json"]
    result = CliRunner().invoke(bt, arguments)
    assert result.exit_code == 0, result.output
    few, many = json.loads(result.output)["budgets"]
    assert (few["comparisons"], few["ended_by"]) == (30, "budget 5")
    assert many["tau_b"] > few["tau_b"]
    assert many["mean_se"] < few["mean_se"]


def test_a_judge_without_noise_finds_the_whole_order_and_may_be_stable() -> None:
    result = CliRunner().invoke(
        bt, ["converge", "--essays", "6", "--temperature", "0", "--budget", "500", "--stability", "0.2", "--json"]
    )
    (row,) = json.loads(result.output)["budgets"]
    assert row["lowest_tau_b"] == 1.0
    assert row["ended_by"] == "stability 10"
    assert row["comparisons"] < 500
