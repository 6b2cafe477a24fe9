"""A redacted copy of a trace: all at once, and refused where it would be half a redaction.

Here: reading one folder and writing another. Not here: what is taken out of a callback (redaction.py) and of a scenario
(scenario.py), the terminal.

A line that is no usable callback cannot be redacted, since nobody knows what stands where in it. In its place comes a
line that says so and is no callback either: the copy has as many unusable lines as the original, and parity sees them.
Not carried over: quarantined messages, published figures, and what people wrote in provenance.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from cj_pipeline.contracts.callback import Rejection
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.captured_scenario import scenario_text
from cj_pipeline.traces.intake import Foreign, read_message
from cj_pipeline.traces.provenance import (
    CHECKSUM_FILE,
    PROVENANCE_FILE,
    Provenance,
    RedactionProvenance,
    checksum_lines,
    read_provenance,
    verify_checksums,
)
from cj_pipeline.traces.redaction.policy import REDACTED
from cj_pipeline.traces.redaction.provenance import copied_provenance
from cj_pipeline.traces.redaction.redaction import Redaction
from cj_pipeline.traces.redaction.scenario import redacted_scenario
from cj_pipeline.traces.redaction.tally import Tally
from cj_pipeline.traces.scenario import SCENARIO_FILE, Scenario, read_scenario
from cj_pipeline.traces.store import CALLBACKS_FILE, SUMMARY_FILE
from cj_pipeline.traces.wire_callback import (
    WireCallback,
)

MODE_FILE = "mode.yaml"


@dataclass(frozen=True, slots=True)
class RedactedTrace:
    """What was written. callbacks: lines that are one; unusable: lines that are none; sha256: of the callbacks."""

    folder: Path
    callbacks: int
    unusable: int
    sha256: str
    redaction: RedactionProvenance


def redact_trace(source: Path, target: Path, redaction: Redaction, mode: str | None = None) -> RedactedTrace:
    """Write a redacted copy of the trace folder `source` to the new folder `target`, whose name is its scenario id.

    mode: text of a mode file that the copy is to run under, as `mode.yaml` beside its scenario; None leaves the
    scenario's own mode. Raises BadInput, and writes nothing: the source was edited, is redacted already or speaks of
    essays that its scenario does not have; the target exists. Raises SamePseudonym.
    """
    scenario = read_scenario(source / SCENARIO_FILE)
    verify_checksums(source)
    provenance = read_provenance(source)
    _require_unredacted(source, provenance)
    require_new(target)
    own = scenario.mode if mode is None else MODE_FILE
    copy = redacted_scenario(scenario, target.name, redaction, own)
    _require_usable(copy, target)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        tally = Tally()
        with (temporary / CALLBACKS_FILE).open("wb") as file:
            digest = _write_lines(source / CALLBACKS_FILE, file, redaction, scenario, tally)
        section = RedactionProvenance(
            policy=redaction.policy,
            key_id=redaction.pseudonyms.key_id,
            dropped={kind: count for kind, count in sorted(redaction.dropped.items()) if count},
        )
        described = copied_provenance(provenance, target.name, section)
        texts = {
            SUMMARY_FILE: tally.summary(target.name).to_json(),
            PROVENANCE_FILE: described.model_dump_json(indent=2, exclude_none=True) + "\n",
            **({} if mode is None else {MODE_FILE: mode}),
        }
        for name, text in texts.items():
            (temporary / name).write_text(text, encoding="utf-8")
        sums = checksum_lines(temporary, (CALLBACKS_FILE, *texts))
        (temporary / CHECKSUM_FILE).write_text(sums, encoding="utf-8")
        (temporary / SCENARIO_FILE).write_text(scenario_text(copy, "Redacted."), encoding="utf-8")
        _make_last(temporary)
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return RedactedTrace(target, tally.callbacks, tally.unusable, digest, section)


def require_new(target: Path) -> None:
    """Raise BadInput when a trace cannot be made there."""
    if target.exists():
        raise BadInput("is there already.", path=target, remedy="Name a folder that is not.")
    if not target.parent.is_dir():
        raise BadInput("no such folder.", path=target.parent, remedy="Make it first.")


def _require_unredacted(source: Path, provenance: Provenance) -> None:
    if provenance.redaction is not None:
        raise BadInput(
            f"this trace is redacted already, under the key {provenance.redaction.key_id}.",
            path=source / PROVENANCE_FILE,
            field="redaction",
            remedy="Redact the original; pseudonyms of pseudonyms would not be comparable with anything.",
        )


def _require_usable(scenario: Scenario, target: Path) -> None:
    """Held against the schema before anything is written: `model_copy` checks nothing."""
    try:
        Scenario.model_validate_json(scenario.model_dump_json())
    except ValueError:
        raise BadInput(
            "is not the name of a scenario.", path=target, remedy="Use lower case, digits and underscores."
        ) from None


def _write_lines(path: Path, file: BinaryIO, redaction: Redaction, scenario: Scenario, tally: Tally) -> str:
    known = {item.id for item in scenario.net.items}
    digest = sha256()
    for number, raw in _lines(path):
        message = read_message(raw)
        if isinstance(message, WireCallback):
            metadata = message.data.request_metadata
            if metadata.essay_a_id not in known or metadata.essay_b_id not in known:
                # Without the id: a trace that is to be redacted says nothing of it in an error either.
                raise BadInput(
                    "speaks of an essay that is not in the scenario's net.",
                    path=path,
                    line=number,
                    field="data.request_metadata",
                    remedy=f"Add it to net.items in {SCENARIO_FILE}.",
                )
            line = redaction.line(message)
            tally.add(message, redaction.error_code(message))
        else:
            line = _placeholder(message)
            tally.unusable += 1
        file.write(line + b"\n")
        digest.update(line + b"\n")
    return digest.hexdigest()


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(1-based number, line) of every line that is not blank."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if raw.strip():
                yield number, raw


def _placeholder(message: Foreign | Rejection) -> bytes:
    kind = "event of another type" if isinstance(message, Foreign) else "unusable line"
    return json.dumps({REDACTED: kind}).encode()


def _make_last(folder: Path) -> None:
    """Put the files on disk before the folder gets its name; readable by all, as other traces are."""
    for path in (*folder.iterdir(), folder):
        path.chmod(0o755 if path is folder else 0o644)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
