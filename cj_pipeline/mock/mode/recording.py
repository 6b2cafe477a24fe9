"""This module reads what a mode replays: the answers of a recorded trace, without their words.

Justifications stay in the file: a mode is printed, stored and compared, and a justification may quote an essay.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from cj_pipeline.contracts.callback import LLMComparisonResultV1, Rejection, parse_result
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.contracts.essay_ids import essay_rejection
from cj_pipeline.contracts.model import FileModel
from cj_pipeline.contracts.reasons import REASON, TOOK
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.json_lines import read_lines


class RecordedAnswer(FileModel):
    """One callback, as far as it can be given again."""

    essay_a: str
    essay_b: str
    winner: Winner | None
    """None for a failure, which then has an `error_code`."""
    error_code: str | None
    status_code: int | None
    """Of a failure that names one."""
    # Left out of a mode's digest where there is none: older recordings have none, and their modes are the same.
    reason: Annotated[str | None, Field(exclude_if=lambda reason: reason is None)] = None
    """Of a failure that names one, in its details."""
    confidence: float
    """1 to 5; 0 for a failure."""
    response_time_ms: int
    """Of a failure, what its details say that it took; 0 where they say nothing, as on the wire."""
    prompt_tokens: int
    completion_tokens: int


class Recording(FileModel):
    """Recorded answers in the order of their file, at least one of them with a winner.

    In a mode file this is the path of a JSONL file, relative to the mode file; reading the mode puts the answers here.
    """

    answers: Annotated[tuple[RecordedAnswer, ...], Field(min_length=1)]


def read_recording(path: Path) -> Recording:
    """Read one callback per line; blank lines and repeated deliveries of a callback do not count.

    Raises BadInput naming the line: no callback, no essay ids; or the file: without a single winner. OSError.
    """
    # A bus delivers at least once; a callback that came twice is one answer.
    answers: dict[str, RecordedAnswer] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        result = parse_result(line)
        if isinstance(result, Rejection):
            raise _unusable(result, path, number)
        if (rejection := essay_rejection(result.request_metadata)) is not None:
            raise _unusable(rejection, path, number)
        answers.setdefault(str(result.correlation_id), _answer(result))
    if all(answer.winner is None for answer in answers.values()):
        raise BadInput("no callback here has a winner.", path=path, remedy="Replay a trace with answers in it.")
    return Recording(answers=tuple(answers.values()))


def _unusable(rejection: Rejection, path: Path, number: int) -> BadInput:
    remedy = "A line that is no callback, or does not say which essays it compared, cannot be replayed; remove it."
    return BadInput(f"{rejection.reason}.", path=path, line=number, field=rejection.field or None, remedy=remedy)


def _answer(result: LLMComparisonResultV1) -> RecordedAnswer:
    failure = result.error_detail
    details = {} if failure is None else failure.details
    status, reason, took = details.get("status_code"), details.get(REASON), details.get(TOOK)
    return RecordedAnswer(
        essay_a=result.request_metadata["essay_a_id"],
        essay_b=result.request_metadata["essay_b_id"],
        winner=result.winner,
        error_code=None if failure is None else failure.error_code,
        status_code=status if type(status) is int else None,
        reason=reason if isinstance(reason, str) and reason else None,
        confidence=result.confidence or 0.0,
        response_time_ms=took if failure is not None and type(took) is int and took >= 0 else result.response_time_ms,
        prompt_tokens=result.token_usage.prompt_tokens,
        completion_tokens=result.token_usage.completion_tokens,
    )
