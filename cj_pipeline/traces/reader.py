"""This module reads JSONL files of callbacks, enveloped or bare: whole events, or columns in bounded memory.

A line that does not parse, breaks a rule of the callback, does not name two essays or repeats a request id goes to
quarantine, with its number, its bytes and the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from cj_pipeline.contracts.callback import (
    CallbackEvent,
    LLMComparisonResultV1,
    Rejection,
    is_bare,
    parse_callback,
    parse_result,
)
from cj_pipeline.contracts.enums import Winner
from cj_pipeline.contracts.essay_ids import essay_rejection
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.json_lines import is_utf8, not_utf8, read_lines
from cj_pipeline.traces.request_ids import RequestIds

# A chunk and what is made of it take some 40 MB; with fewer lines the request ids are sorted too often.
CHUNK_LINES = 8192

IntColumn = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """One callback with the bytes it was read from, where they are kept."""

    line: int
    raw: bytes
    event: CallbackEvent


@dataclass(frozen=True, slots=True)
class QuarantinedLine:
    """One line that is not a usable callback, kept whole."""

    line: int
    raw: bytes
    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class CallbackFile:
    """Everything one JSONL file holds: each non-empty line is either an event or in quarantine, in file order."""

    path: Path
    events: tuple[RecordedEvent, ...]
    quarantined: tuple[QuarantinedLine, ...]


@dataclass(frozen=True, slots=True)
class CallbackColumns:
    """Some consecutive callbacks of a file, and the lines between them that are none.

    lines: their numbers. winners: None for an error. error_codes: None for a winner.
    """

    lines: tuple[int, ...]
    essays_a: tuple[str, ...]
    essays_b: tuple[str, ...]
    winners: tuple[Winner | None, ...]
    error_codes: tuple[str | None, ...]
    response_time_ms: IntColumn
    prompt_tokens: IntColumn
    completion_tokens: IntColumn
    total_tokens: IntColumn
    quarantined: tuple[QuarantinedLine, ...]


def read_callbacks(path: Path, *, keep_bytes: bool = True) -> CallbackFile:
    """Read a file whole. Raises BadInput when it is missing or holds no line, or is in another encoding.

    keep_bytes: whether each event keeps its line, of 1 KB; those in quarantine always do.
    """
    events: list[RecordedEvent] = []
    quarantined: list[QuarantinedLine] = []
    for chunk in _chunks(path, _event, lambda event: event.data.request_id):
        events += [RecordedEvent(line, raw if keep_bytes else b"", event) for line, raw, event in chunk.usable]
        quarantined += chunk.quarantined
    return CallbackFile(path=path, events=tuple(events), quarantined=tuple(quarantined))


def read_events(path: Path) -> Iterator[CallbackEvent]:
    """Read the usable callbacks of a file one by one. Raises what read_callbacks raises."""
    for chunk in _chunks(path, _event, lambda event: event.data.request_id):
        yield from (event for _, _, event in chunk.usable)


def read_results(
    path: Path, on_quarantined: Callable[[QuarantinedLine], object]
) -> Iterator[tuple[int, LLMComparisonResultV1]]:
    """Read the verdicts of a file one by one with their lines, four times as fast as read_callbacks.

    They have the attributes of the model, but not its methods. on_quarantined: is given each other line.
    Raises what read_callbacks raises.
    """
    for chunk in _chunks(path, _result, lambda data: data.request_id):
        for line in chunk.quarantined:
            on_quarantined(line)
        yield from ((line, data) for line, _, data in chunk.usable)


def read_columns(path: Path) -> Iterator[CallbackColumns]:
    """Read a file chunk by chunk, twice as fast as read_callbacks; raises what it raises."""
    for chunk in _chunks(path, _row, lambda row: row[0]):
        yield _columns([row for _, _, row in chunk.usable], [line for line, _, _ in chunk.usable], chunk.quarantined)


def columns_of(callbacks: Iterable[LLMComparisonResultV1]) -> CallbackColumns:
    """Put callbacks that name their essays into columns."""
    rows = [_row_of(callback) for callback in callbacks]
    return _columns(rows, range(1, len(rows) + 1), [])


# request id, essay A, essay B, winner, error code, response time, prompt, completion and total tokens
Row = tuple[str, str, str, Winner | None, str | None, int, int, int, int]


def _row_of(data: LLMComparisonResultV1) -> Row:
    metadata, error, tokens = data.request_metadata, data.error_detail, data.token_usage
    return (
        data.request_id,
        metadata["essay_a_id"],
        metadata["essay_b_id"],
        data.winner,
        None if error is None else error.error_code,
        data.response_time_ms,
        tokens.prompt_tokens,
        tokens.completion_tokens,
        tokens.total_tokens,
    )


def _columns(rows: list[Row], lines: Iterable[int], quarantined: list[QuarantinedLine]) -> CallbackColumns:
    columns: list[Any] = list(zip(*rows, strict=True)) or [()] * 9
    _, essays_a, essays_b, winners, codes, *counts = columns
    response_time_ms, prompt_tokens, completion_tokens, total_tokens = (np.array(c, np.int64) for c in counts)
    return CallbackColumns(
        lines=tuple(lines),
        essays_a=essays_a,
        essays_b=essays_b,
        winners=winners,
        error_codes=codes,
        response_time_ms=response_time_ms,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        total_tokens=total_tokens,
        quarantined=tuple(quarantined),
    )


def _event(raw: bytes) -> CallbackEvent | Rejection:
    event = parse_callback(raw)
    return event if isinstance(event, Rejection) else essay_rejection(event.data.request_metadata) or event


def _result(raw: bytes) -> LLMComparisonResultV1 | Rejection:
    data = parse_result(raw)
    return data if isinstance(data, Rejection) else essay_rejection(data.request_metadata) or data


def _row(raw: bytes) -> Row | Rejection:
    data = parse_result(raw)
    return data if isinstance(data, Rejection) else essay_rejection(data.request_metadata) or _row_of(data)


Parsed = TypeVar("Parsed")


@dataclass(frozen=True, slots=True)
class _Chunk(Generic[Parsed]):
    """Consecutive lines: the usable ones with their number and bytes, and the others."""

    usable: list[tuple[int, bytes, Parsed]]
    quarantined: list[QuarantinedLine]


def _chunks(
    path: Path, parse: Callable[[bytes], Parsed | Rejection], request_id: Callable[[Parsed], str]
) -> Iterator[_Chunk[Parsed]]:
    seen = RequestIds()
    empty = True
    numbered = enumerate(read_lines(path, utf8=False), start=1)
    while lines := list(islice(numbered, CHUNK_LINES)):
        found: list[tuple[int, bytes, Parsed]] = []
        refused: list[QuarantinedLine] = []
        for line, raw in lines:
            if raw and not raw.isspace():
                parsed = parse(raw)
                if isinstance(parsed, Rejection):
                    _refuse_other_encoding(raw, path, line)
                    refused.append(_quarantined(line, raw, parsed))
                else:
                    found.append((line, raw, parsed))
        usable: list[tuple[int, bytes, Parsed]] = []
        firsts = seen.first_lines([request_id(parsed) for _, _, parsed in found], [line for line, _, _ in found])
        for first, (line, raw, parsed) in zip(firsts, found, strict=True):
            if first == line:
                usable.append((line, raw, parsed))
            else:
                again = Rejection(field="data.request_id", reason=f"already seen on line {first}")
                refused.append(_quarantined(line, raw, again))
        empty = empty and not usable and not refused
        yield _Chunk(usable, sorted(refused, key=lambda quarantined: quarantined.line))
    if empty:
        raise BadInput("is empty.", path=path, remedy="A trace holds one callback per line.")


def _quarantined(line: int, raw: bytes, rejection: Rejection) -> QuarantinedLine:
    """Set a line aside; its field is named as in the line, and a bare verdict has no `data`."""
    field = rejection.field.removeprefix("data.") if is_bare(raw) else rejection.field
    return QuarantinedLine(line, raw, field, rejection.reason)


def _refuse_other_encoding(raw: bytes, path: Path, line: int) -> None:
    """Raise BadInput for a line that would be a callback if it were read as Windows wrote it."""
    if not is_utf8(raw) and not isinstance(parse_callback(raw.decode("cp1252", "replace").encode()), Rejection):
        raise not_utf8(path, line)
