"""A report as JSON, JUnit and markdown carries the verdict, its reasons, and the evidence of each check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal
from xml.etree import ElementTree

import pytest

from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.parity.compare import ALL_CHECKS, ParityReport
from cj_pipeline.parity.report_document import report_document, report_of
from cj_pipeline.parity.tables import report_rows, stored_verdict
from cj_pipeline.parity.verdict import Parity
from cj_pipeline.reports.parity_report import as_json, as_junit, as_markdown
from cj_pipeline.reports.results import ParityResult
from cj_pipeline.traces.scenario import ExpectedVerdict
from cj_pipeline.warehouse.schemas import SCHEMAS
from tests.reports.test_headline import PARTIAL, POWER, cannot_tell, inverted, second_run, with_scenario
from tests.sides import LOWER5, live, report


def cases(found: ParityReport, **how: bool) -> dict[str, ElementTree.Element]:
    suite = ElementTree.fromstring(as_junit([found], **how).encode())[0]  # noqa: S314 - our own text
    assert suite.get("tests") == str(len(ALL_CHECKS) + 1)
    assert suite.get("failures") == str(sum(case.find("failure") is not None for case in suite))
    return {str(case.get("name")): case for case in suite}


def failed(found: ParityReport, **how: bool) -> set[str]:
    return {name for name, case in cases(found, **how).items() if case.find("failure") is not None}


def test_json_has_verdict_reasons_power_and_every_check() -> None:
    document = as_json(cannot_tell(POWER))
    assert (document["verdict"], document["exit_code"], document["passed"]) == ("CANNOT TELL", 3, False)
    assert document["reasons"] == [{"doubt": "UNPROVEN", "sentence": POWER.sentence}]
    assert [one["wrong_mock"] for one in document["detections"]][:2] == [
        "fair coin",
        "blind coin with the recorded share of A",
    ]
    assert [check["check"] for check in document["checks"]] == [check.name for check in ALL_CHECKS]
    latency = next(check for check in document["checks"] if check["check"] == "latency_mean")
    assert latency["low"] < latency["difference"] < latency["high"]
    assert (latency["n_recorded"], latency["n_live"]) == (66, 66)
    assert latency["detectable"] > 0
    agreement = next(check for check in document["checks"] if check["check"] == "answer_agreement")
    assert agreement["noise_high"] is None  # only the low side matters, and no reader expects infinity


def test_rows_have_the_declared_columns_and_the_verdict_of_the_run() -> None:
    rows = report_rows(cannot_tell(POWER))
    assert {tuple(row) for row in rows} == {tuple(name for name in SCHEMAS["parity_checks"].names if name != "run_id")}
    stored = stored_verdict("ladder", rows)
    assert (stored.verdict, stored.reasons, stored.as_expected) == (Parity.CANNOT_TELL, (POWER,), False)
    assert stored.checks_on + stored.checks_off == len(ALL_CHECKS)


@pytest.mark.parametrize(
    "made",
    [
        second_run,
        inverted,
        lambda: report(LOWER5, live(LOWER5)),
        lambda: replace(cannot_tell(POWER, PARTIAL), recordings=2, invented=frozenset({"latency_mean", "cost"})),
    ],
    ids=["PARITY", "NO PARITY", "evidence of few", "CANNOT TELL"],
)
def test_a_stored_report_is_the_report(made: Callable[[], ParityReport]) -> None:
    found = made()
    document = report_document(found)
    assert report_of(document, found.scenario, found.recorded, found.live) == found


def test_a_report_of_another_version_is_refused_by_name() -> None:
    found = second_run()
    document = report_document(found).replace('"check": "cost"', '"check": "price"')
    with pytest.raises(CjPipelineError, match=f"'{found.scenario.scenario_id}' was written by another version"):
        report_of(document, found.scenario, found.recorded, found.live)


def test_junit_fails_gates_and_verdict_of_no_parity() -> None:
    assert failed(inverted()) == {"verdict", *(result.check.name for result in inverted().failed)}
    assert failed(second_run()) == set()


def test_junit_fails_the_verdict_alone_where_it_cannot_tell() -> None:
    found = cannot_tell(POWER)
    assert failed(found) == {"verdict"}
    failure = cases(found)["verdict"].find("failure")
    assert failure is not None
    assert failure.get("type") == "CANNOT TELL"
    assert f"Why: {POWER.sentence}." in str(failure.text)


def test_junit_of_a_night_passes_an_expected_verdict_and_fails_a_better_one() -> None:
    expected = ExpectedVerdict(verdict="NO PARITY", reason="the mode is wrong on purpose")
    assert failed(with_scenario(inverted(), expect=expected), by_expectation=True) == set()
    assert failed(with_scenario(second_run(), expect=expected), by_expectation=True) == {"verdict"}


@pytest.mark.parametrize("verdict", ["NO PARITY", "CANNOT TELL"])
def test_junit_of_parity_goes_by_the_verdict_whatever_is_expected(verdict: Literal["NO PARITY", "CANNOT TELL"]) -> None:
    expect = ExpectedVerdict(verdict=verdict, reason="for the sake of this test")
    for found in (inverted(), cannot_tell(POWER), second_run()):
        assert failed(with_scenario(found, expect=expect)) == failed(found)


def test_missing_power_that_is_accepted_fails_neither_json_nor_junit() -> None:
    accepted = cannot_tell(POWER)
    assert (
        failed(accepted, accept_unproven=True) == failed(accepted, accept_unproven=True, by_expectation=True) == set()
    )
    assert as_json(accepted, accept_unproven=True)["exit_code"] == 0
    partial = cannot_tell(POWER, PARTIAL)
    assert failed(partial, accept_unproven=True) == {"verdict"}
    assert as_json(partial, accept_unproven=True)["exit_code"] == 3


def test_markdown_begins_with_the_verdict_and_has_value_tolerance_and_evidence() -> None:
    text = as_markdown(inverted())
    assert text.splitlines()[2].startswith("**NO PARITY: ")
    row = next(line for line in text.splitlines() if line.startswith("| `answer_agreement`"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert (cells[1], cells[4]) == ("fail", "DIFFERENT")
    assert cells[3].startswith("at least -0.")


def test_the_python_result_shows_verdict_reasons_and_evidence() -> None:
    result = ParityResult(cannot_tell(POWER))
    assert (result.verdict, result.reasons, result.passed) == ("CANNOT TELL", [POWER.sentence], False)
    assert repr(result).startswith("ParityResult(eng5_anchor_ladder_20251202) CANNOT TELL: ")
    assert POWER.sentence in repr(result)
    table = result.table()
    assert table.loc["winner_share", ["gate", "value", "evidence"]].tolist() == [
        "pass",
        "0.5 / 0.5 share",
        "EQUIVALENT",
    ]
    assert set(table["evidence"]) <= {"exact", "EQUIVALENT", "DIFFERENT", "INCONCLUSIVE"}
    assert {"low", "high", "margin_low", "noise_low", "p", "detectable"} <= set(result.frame().columns)


def test_a_reason_of_several_lines_stays_one_reason() -> None:
    broken = replace(POWER, sentence="one\ntwo")
    (kept,) = stored_verdict("ladder", report_rows(cannot_tell(broken))).reasons
    assert kept.sentence == r"one\ntwo"
