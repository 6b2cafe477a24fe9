"""This module writes the provenance of a redacted copy.

Figures of the original's are said again. Its sentences are not: a person may have written them.
"""

from __future__ import annotations

from cj_pipeline.traces.capture_provenance import CaptureProvenance
from cj_pipeline.traces.import_provenance import ImportProvenance
from cj_pipeline.traces.provenance import FieldProvenance, Provenance, RedactionProvenance, TraceOrigin
from cj_pipeline.traces.recording_provenance import RecordingProvenance
from cj_pipeline.traces.redaction.wire import ALL_KEYS
from cj_pipeline.traces.redaction_policy import REDACTED, Justifications

_STATEMENTS = {
    TraceOrigin.CAPTURED: "A redacted copy of a captured trace: a recording, without what it says about persons.",
    TraceOrigin.IMPORTED: "A redacted copy of an imported trace; what its source did not hold was derived or left out.",
    TraceOrigin.RECORDED: "A redacted copy of a recording of a real judge.",
    TraceOrigin.RECONSTRUCTED: (
        "A redacted copy of a reconstruction, which is not a recording: its callbacks were computed from published "
        "figures and a seed."
    ),
}
_RENAMED = (
    "Essays, batches and unknown models have pseudonyms; messages of errors and unknown keys are gone; justifications "
    "are {}."
)
_JUSTIFICATIONS = {
    Justifications.DROP: "gone",
    Justifications.HASH: "keyed digests",
    Justifications.KEEP: "as they were",
}
_NOTE = "as in the trace that this one was redacted from"


def copied_provenance(original: Provenance, scenario_id: str, section: RedactionProvenance) -> Provenance:
    """Describe the copy: the original's origin and figures; none of its sentences, which a person may have written."""
    known = {field: stated.origin for field, stated in original.fields.items() if _is_of_the_wire(field)}
    return Provenance(
        scenario_id=scenario_id,
        origin=original.origin,
        statement=f"{_STATEMENTS[original.origin]} {_RENAMED.format(_JUSTIFICATIONS[section.policy.justifications])}",
        sources=("the unredacted trace",),
        generated_by="cj-pipeline traces redact",
        seed=original.seed,
        recorded_at=original.recorded_at,
        fields={field: FieldProvenance(origin=origin, note=_NOTE) for field, origin in known.items()},
        redaction=section,
        capture=None if original.capture is None else _capture(original.capture),
        imported=None if original.imported is None else _imported(original.imported),
        recorded=None if original.recorded is None else _recorded(original.recorded),
    )


def _is_of_the_wire(field: str) -> bool:
    """Return whether a dotted path has no part that only a message names."""
    return set(field.split(".")) <= ALL_KEYS


def _capture(capture: CaptureProvenance) -> CaptureProvenance:
    """Return how much was read and whether that is all of it; not from where, nor what was asked for."""
    return capture.model_copy(
        update={
            "cluster_id": REDACTED,
            "topic": REDACTED,
            "selection": {},
            "missing": _missing(capture.missing),
            "ending": REDACTED,
        }
    )


def _imported(imported: ImportProvenance) -> ImportProvenance:
    """Return how much was found and whether that is all of it."""
    return imported.model_copy(update={"missing": _missing(imported.missing)})


def _recorded(recorded: RecordingProvenance) -> RecordingProvenance:
    """Keep who was asked and what it took; not the prompt's words, nor a digest that would confirm a guess at texts."""
    prompt = recorded.prompt.model_copy(update={"texts": None})
    return recorded.model_copy(update={"prompt": prompt, "texts_sha256": REDACTED})


def _missing(sentences: tuple[str, ...]) -> tuple[str, ...]:
    return ("something that was asked for; the unredacted trace says what",) if sentences else ()
