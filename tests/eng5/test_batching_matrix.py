"""This module tests what the runbook says of modes, budgets and queries, against batches that both services ran."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache

import pytest

from cj_pipeline.contracts.enums import LLMBatchingMode, QueueProcessingMode
from cj_pipeline.eng5.batching import QUEUE_MODES
from cj_pipeline.eng5.diagnostics.queries import queries
from tests.cli import runbook
from tests.eng5.batching_modes import BUDGET, ROWS, Worked, row_of, worked
from tests.eng5.on_record import on_record
from tests.reports.observability.driven import Prometheus

SINGLE = (LLMBatchingMode.PER_REQUEST, QueueProcessingMode.PER_REQUEST, "disabled")
SERIAL = (LLMBatchingMode.SERIAL_BUNDLE, QueueProcessingMode.SERIAL_BUNDLE, "disabled")
JOBS = (LLMBatchingMode.PROVIDER_BATCH_API, QueueProcessingMode.BATCH_API, "opportunistic")


@cache
def ran(cj: LLMBatchingMode, queue: QueueProcessingMode, batch_api_mode: str) -> Worked:
    return worked(cj, queue, batch_api_mode)


TABLE = [line for line in runbook.PAGE.splitlines() if line.startswith("| `") and line.count("|") == 11]


@pytest.mark.parametrize("number", range(len(ROWS)))
def test_the_matrix_of_modes_is_what_the_services_do(number: int) -> None:
    # Out of date? python -m tests.eng5.batching_modes prints the rows.
    assert len(TABLE) == len(ROWS)
    assert TABLE[number] == row_of(*ROWS[number])


def test_a_nightly_job_outlasts_a_batch_that_may_be_silent_for_four_hours() -> None:
    with pytest.raises(TimeoutError):
        worked(LLMBatchingMode.PROVIDER_BATCH_API, QueueProcessingMode.BATCH_API, "nightly",
               cj_settings={"batch_timeout_hours": 4})  # fmt: skip


@pytest.mark.parametrize("mode", list(LLMBatchingMode))
def test_every_mode_of_the_cj_service_has_its_row_with_the_queue_that_it_needs(mode: LLMBatchingMode) -> None:
    assert any((cj, queue) == (mode, QUEUE_MODES[mode]) for cj, queue, *_ in ROWS)


@pytest.mark.parametrize(
    "pair", [SERIAL, JOBS, (LLMBatchingMode.PER_REQUEST, QueueProcessingMode.PER_REQUEST, "disabled")]
)
def test_a_comparison_that_fails_is_tried_again_by_itself(
    pair: tuple[LLMBatchingMode, QueueProcessingMode, str],
) -> None:
    one = worked(*pair, mock_error_rate=0.2, mock_error_codes="503")
    assert one.judged == BUDGET
    assert one.total("llm_provider_queue_retries_total") > 0
    assert one.total("cj_permanently_failed_comparisons_total") == 0


RECIPES = [
    [cell.strip() for cell in line.strip("| ").split("|")]
    for line in runbook.PAGE.splitlines()
    if re.match(r"\| (stop|spend) ", line)
]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe[0])
@pytest.mark.parametrize(("essays", "column"), [(12, 4), (20, 5)])
def test_a_recipe_for_the_budget_asks_as_many_comparisons_as_the_page_says(
    recipe: list[str], essays: int, column: int
) -> None:
    _, cap, floor, threshold, *_ = recipe
    given = {
        "max_pairwise_comparisons": int(cap),
        "min_comparisons_for_stability_check": int(floor),
        "score_stability_threshold": float(threshold),
    }
    one = worked(*SERIAL, essays=essays, mode="eng5_anchor_gpt51_low", asked=int(cap), cj_settings=given)
    assert one.judged == int(recipe[column])


def test_there_are_three_recipes() -> None:
    assert len(RECIPES) == 3


def test_a_cap_above_the_service_s_own_is_the_service_s_own() -> None:
    assert worked(*SERIAL, essays=20, asked=150, cj_settings={"max_pairwise_comparisons": 120}).judged <= 120


QUERIES = sorted({*runbook.promql(), *queries(), *queries(LLMBatchingMode.PROVIDER_BATCH_API)})
QUIET = {"llm_provider_queue_expiry_total", "huleedu_cj_prompt_fetch_failures_total"}
"""Series that move in trouble only."""


@pytest.fixture(scope="module")
def watching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, Prometheus]]:
    """Prometheus over a batch in bundles, and (True) over one in batch jobs."""
    with ExitStack() as stack:
        yield {
            jobs: stack.enter_context(on_record(ran(*(JOBS if jobs else SERIAL)).samples, tmp_path_factory.mktemp("p")))
            for jobs in (False, True)
        }


@pytest.mark.servers("prometheus")
@pytest.mark.parametrize("query", QUERIES)
def test_every_query_is_one_that_both_services_answer(query: str, watching: dict[bool, Prometheus]) -> None:
    found = watching["batch_api" in query].query(query)
    assert bool(found) is not any(series in query for series in QUIET), found
    assert all(float(sample["value"][1]) >= 0 for sample in found)


def test_the_queries_of_a_summary_are_those_of_the_page() -> None:
    assert set(queries()) <= set(runbook.promql())
    assert {one for one in queries(LLMBatchingMode.PROVIDER_BATCH_API, window="6h") if "batch_api" in one} <= set(
        runbook.promql()
    )


@pytest.mark.servers("prometheus")
def test_the_queries_have_the_values_that_the_matrix_has(watching: dict[bool, Prometheus]) -> None:
    def values(series: str, *labels: str) -> dict[tuple[str, ...], float]:
        query = next(query for query in runbook.promql() if series in query)
        return watching["batch_api" in series].values(query, *labels)

    assert sum(values("serial_bundle_calls_total").values()) == pytest.approx(11)
    assert values("items_per_call_sum") == {(): pytest.approx(BUDGET / 11)}
    by_mode = values("comparison_callbacks_total", "queue_processing_mode")
    assert by_mode == {("serial_bundle",): pytest.approx(BUDGET)}
    by_status = values("batch_api_jobs_total", "status")
    assert by_status == {("scheduled",): pytest.approx(2), ("completed",): pytest.approx(2)}
