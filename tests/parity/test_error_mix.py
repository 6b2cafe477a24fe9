"""Errors with other codes than recorded are found among few errors, and what cannot be found is not claimed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cj_pipeline.mock.model.errors import ErrorFit, draw_errors
from cj_pipeline.parity.compare import CheckResult, Verdict
from tests.parity.files import changed_copy, compared
from tests.sides import ANCHORS, TRACES

RECORDING = TRACES / ANCHORS / "llm_callbacks.jsonl"


def failing(path: Path, *codes: str) -> Path:
    """Write the recording with its first eight calls failed, with these codes by turns; "" is an answer."""

    def failed(number: int, event: dict) -> None:
        data = event["data"]
        code = codes[number % len(codes)]
        if number >= 8 or not code:
            return
        data["error_detail"] = {
            "error_code": code,
            "message": "failed",
            "correlation_id": data["correlation_id"],
            "timestamp": data["completed_at"],
            "service": "llm_provider_service",
            "operation": "compare",
        }
        data.update(winner=None, justification=None, confidence=None)

    return changed_copy(RECORDING, path, failed)


def error_mix(recorded: Path, live: Path) -> CheckResult:
    return next(one for one in compared(recorded, live).results if one.check.name == "error_mix")


def test_eight_errors_of_another_code_are_found_and_a_limit_below_1_is_claimed(tmp_path: Path) -> None:
    recorded = failing(tmp_path / "a.jsonl", "TIMEOUT")
    other = error_mix(recorded, failing(tmp_path / "b.jsonl", "RATE_LIMIT"))
    assert (other.verdict, other.outcome.live) == (Verdict.FAIL, 1.0)
    assert other.evidence.detectable < 1.0
    assert error_mix(recorded, failing(tmp_path / "c.jsonl", "TIMEOUT")).verdict is Verdict.PASS


def test_two_errors_of_another_code_prove_nothing_and_no_drift_is_claimed_to_be_found(tmp_path: Path) -> None:
    recorded = failing(tmp_path / "a.jsonl", "TIMEOUT")
    two = error_mix(recorded, failing(tmp_path / "b.jsonl", "RATE_LIMIT", "", "", ""))
    assert two.verdict is Verdict.PASS
    assert two.evidence.detectable == np.inf
    assert "; no drift would be found in 80 % of runs" in two.evidence.sentence("share of errors")


@pytest.mark.parametrize(("counts", "unseen"), [((8,), 0.5 / 8.5), ((1,) * 8, 8.5 / 16.5), ((6, 1, 1), 2.5 / 10.5)])
def test_codes_that_came_once_say_how_many_are_still_unseen(counts: tuple[int, ...], unseen: float) -> None:
    fit = ErrorFit(tuple(map(str, range(len(counts)))), np.array(counts), (8, 60), (0, 8))
    drawn = draw_errors(fit, 4_000, 60, np.random.default_rng(1))
    failed = drawn >= 0
    assert (drawn[failed] == len(counts)).mean() == pytest.approx(unseen, abs=0.02)
