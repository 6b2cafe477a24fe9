"""This module looks at the Dagster UI in a real browser: what a person sees of a faithful and of a wrong mock.

`make pictures` runs it with a folder for the pictures in docs.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.dagster_floor.floor import LOWER5, ROUNDTRIP
from tests.dagster_ui.chromium import Page
from tests.dagster_ui.served import Served

# One server and one browser for all; half a minute alone, minutes beside twenty busy processes.
pytestmark = [pytest.mark.servers("browser"), pytest.mark.timeout(900)]

Picture = Callable[[str], None]

CHECKS = "/assets/parity/report?view=checks&checkDetail="


_OFF = """{ assetNodes(assetKeys: [{path: ["parity", "report"]}]) { assetChecksOrError { ... on AssetChecks {
    checks { name partitionStatuses { ... on AssetCheckDefaultPartitionStatuses {
    succeededPartitions failedPartitions } } } } } } }"""


def plots_of(page: Page, one: str) -> list[str]:
    """The lines of a check's plots; they are drawn once they are in view."""
    page.scroll_to("Plots")
    text = page.wait_until(lambda text: one in text.split("\nPlots", 1)[1].splitlines(), f"a plot of {one}")
    return text.split("\nPlots", 1)[1].splitlines()


def test_the_lineage_page_has_four_boxes(ui: Served, page: Page, picture: Picture) -> None:
    text = page.open(f"{ui.url}/asset-groups", "Materialize all", "eng5")
    groups = {"eng5", "live", "parity", "recorded", "judges", "kafka", "warehouse"}
    assert groups & set(text.splitlines()) == {"eng5", "live", "parity", "recorded"}
    picture("lineage")


def test_the_suite_names_each_scenario_and_has_one_check_over_all(ui: Served, page: Page, picture: Picture) -> None:
    text = page.open(f"{ui.url}/assets/parity/suite", "Metadata", LOWER5, ROUNDTRIP, "scenarios_compared")
    assert "Freshness policy" in text
    page.wait_until(lambda _: "https://code.example" in str(page.run("document.body.innerHTML")), "a link to its code")
    picture("suite")
    page.open(f"{ui.url}/assets/parity/suite?view=checks", "all_as_expected", "All of 2 scenarios are as expected.")


def test_the_report_begins_with_its_scenario(ui: Served, page: Page, red_run: str, picture: Picture) -> None:
    text = page.open(f"{ui.url}/assets/parity/report?partition={LOWER5}&view=partitions", "headline", "gates_failed")
    assert f"{LOWER5}: NO PARITY: " in text
    picture("report")


def test_a_gate_shows_value_and_limits_as_numbers_and_each_plot_once(
    ui: Served, page: Page, red_run: str, picture: Picture
) -> None:
    page.open(f"{ui.url}{CHECKS}rank_agreement", "evidence_in_words", "Plots", f"{LOWER5}: -1 tau-b live")
    plots = plots_of(page, "floor")
    assert [plots.count(name) for name in ("value", "floor", "live", "low", "high")] == [1, 1, 1, 1, 1]
    assert not {"difference", "noise_low", "margin_low"} & set(plots)
    picture("gate")
    # An exact check has a limit too.
    page.open(f"{ui.url}{CHECKS}schema", "identical fields", "Plots")
    assert {"value", "ceiling"} <= set(plots_of(page, "ceiling"))


def test_a_check_that_is_off_is_not_green(ui: Served, page: Page, red_run: str) -> None:
    # In a green run the check has no result; in a red one it warns.
    found = ui.ask(_OFF)["assetNodes"][0]["assetChecksOrError"]["checks"]
    (off,) = [check["partitionStatuses"] for check in found if check["name"] == "guardrail_batch_jobs"]
    assert off == {"succeededPartitions": [], "failedPartitions": [LOWER5]}
    page.open(f"{ui.url}{CHECKS}guardrail_batch_jobs", f"{LOWER5}: off: ")


def test_a_red_run_ends_with_a_table(ui: Served, page: Page, red_run: str, picture: Picture) -> None:
    text = page.open(f"{ui.url}/runs/{red_run}", "RUN_FAILURE", "GatesFailed", "rank_agreement")
    end = text.rsplit("RUN_FAILURE", 1)[1]
    assert f"{LOWER5}: NO PARITY: " in end
    assert "  rank_agreement " in end
    assert " -1 tau-b live, 1 expected of the recorded judge (tolerance at least -0.05)" in end
    picture("red-run")


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ("eng5_anchor_align_test", ("autumn_pilot", "reasoning_effort")),
        ("capture_callbacks", ("autumn_pilot_20251205", "bos_batch_id")),
        ("parity_gate", ("rank_agreement",)),
    ],
)
def test_a_launchpad_begins_with_an_example(
    job: str, words: tuple[str, ...], ui: Served, page: Page, picture: Picture
) -> None:
    page.open(f"{ui.url}/locations/cj_pipeline/jobs/{job}/playground", "Launch Run", "No errors", *words)
    if job == "eng5_anchor_align_test":
        picture("launchpad")


def test_one_gate_alone_is_a_result_of_its_check(ui: Served, page: Page) -> None:
    launched = ui.launch("parity_gate", LOWER5, ops={"gate": {"config": {"gate": "counts"}}})
    run_id = str(launched["run"]["runId"])
    assert ui.ended(run_id) == "SUCCESS"
    page.open(f"{ui.url}/runs/{run_id}", "ASSET_CHECK_EVALUATION", f"{LOWER5}: ")


def test_no_page_had_an_error_of_ours(page: Page) -> None:
    """What Dagster's own pages complain of is not ours: a library of theirs warns of an option."""
    assert page.problems == []
