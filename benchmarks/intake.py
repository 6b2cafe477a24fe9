"""How fast is a callback read for capture, and redacted?

    python -m benchmarks.intake

Beside it the model's own reading (`parse_callback`). One core, one callback of 1.1 KB and one of 1.4 KB at a time; the
lines repeat, so that what is cached (pseudonyms, models) is, as it is in a batch.
"""

from __future__ import annotations

import json
from time import perf_counter
from typing import TYPE_CHECKING

from cj_pipeline.contracts.callback import parse_callback
from cj_pipeline.traces.intake import read_message
from cj_pipeline.traces.redaction.policy import Justifications, RedactionPolicy
from cj_pipeline.traces.redaction.pseudonyms import Pseudonyms
from cj_pipeline.traces.redaction.redaction import Redaction
from cj_pipeline.traces.wire_callback import WireCallback
from tests.sides import ANCHORS, GENERIC, trace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROUNDS = 7
CALLS = 40_000


def microseconds(call: Callable[[bytes], object], lines: Sequence[bytes]) -> float:
    """The least of some rounds, a call: what disturbs a round only makes it longer."""
    rounds = []
    for _ in range(ROUNDS):
        begin = perf_counter()
        for line in lines:
            call(line)
        rounds.append(perf_counter() - begin)
    return min(rounds) / len(lines) * 1e6


def with_unknown_key(line: bytes) -> bytes:
    return line.replace(b'"cj_source":', b'"wave_label":"first","cj_source":')


def with_number_as_text(line: bytes) -> bytes:
    event = json.loads(line)
    event["data"]["response_time_ms"] = str(event["data"]["response_time_ms"])
    return json.dumps(event, separators=(",", ":")).encode()


def redacting(justifications: Justifications) -> Callable[[bytes], object]:
    redaction = Redaction(RedactionPolicy(justifications=justifications), Pseudonyms(bytes(32)))

    def read_and_redact(line: bytes) -> bytes:
        callback = read_message(line)
        return redaction.line(callback) if isinstance(callback, WireCallback) else b""

    return read_and_redact


def main() -> None:
    originals = [line.raw for name in (GENERIC, ANCHORS) for line in trace(name).callbacks.events]
    lines = [originals[n % len(originals)] for n in range(CALLS)]
    few = lines[:4_000]
    print(f"| {sum(map(len, originals)) / len(originals):,.0f} bytes a callback | us |")
    print("|---|---|")
    rows = [
        ("read, fast lane", read_message, lines),
        ("read and redact, justifications dropped", redacting(Justifications.DROP), lines),
        ("read and redact, justifications hashed", redacting(Justifications.HASH), lines),
        ("read, wide lane (a key that nobody knows)", read_message, [with_unknown_key(line) for line in few]),
        ("read, slow lane (a number as text)", read_message, [with_number_as_text(line) for line in few]),
        ("parse_callback", parse_callback, few),
    ]
    for name, call, among in rows:
        print(f"| {name} | {microseconds(call, among):.2f} |")


if __name__ == "__main__":
    main()
