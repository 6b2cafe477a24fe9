"""This module tests the check `trace: complete`, for each origin of a recording."""

from __future__ import annotations

from datetime import UTC, datetime

from assets.trace import completeness, recording_metadata
from cj_pipeline.traces.import_provenance import ImportProvenance
from cj_pipeline.traces.provenance import Provenance, TraceOrigin, read_provenance
from tests.dagster_floor.floor import LOWER5, TRACES


def imported(*missing: str) -> Provenance:
    return Provenance(
        scenario_id="autumn",
        origin=TraceOrigin.IMPORTED,
        statement="An import.",
        sources=("a CJ database",),
        generated_by="a test",
        fields={},
        imported=ImportProvenance(
            source="CJ database",
            imported_at=datetime(2026, 1, 1, tzinfo=UTC),
            counts={"taken": 9, "malformed": len(missing)},
            partial=bool(missing),
            missing=missing,
        ),
    )


def test_an_import_that_lacks_something_warns_of_it() -> None:
    verdict = completeness("a", imported("1 comparison without an outcome."))
    assert (verdict.passed, verdict.severity.value) == (False, "WARN")
    assert verdict.description == "a: Partial: 1 comparison without an outcome."


def test_a_whole_import_passes_and_so_does_a_reconstruction() -> None:
    whole = completeness("a", imported())
    assert whole.passed
    assert str(whole.description).startswith("a: As far as seen: no count and no end of the batch was known")
    assert completeness("a", read_provenance(TRACES / LOWER5)).passed


def test_what_a_recording_was_held_against_is_shown_for_each() -> None:
    counted = imported()
    counted = counted.model_copy(
        update={"imported": counted.sections[0].model_copy(update={"held_against": "the expected count"})}
    )
    one = completeness("a", counted)
    assert one.description == "a: Whole, held against the expected count."
    two = completeness("a", counted, imported("1 comparison without an outcome."))
    assert not two.passed
    assert two.description == (
        "a: Recording 1: Whole, held against the expected count. Recording 2: Partial: 1 comparison without an outcome."
    )
    assert two.metadata is not None
    assert two.metadata["held_against"].value == "the expected count, nothing"


def test_an_import_shows_its_source_and_its_counts() -> None:
    shown = recording_metadata(TRACES / LOWER5, imported("1 comparison without an outcome."))
    assert (shown["source"], shown["messages_taken"], shown["messages_malformed"]) == ("CJ database", 9, 1)
    assert (shown["partial"], shown["missing"].value) == (True, "- 1 comparison without an outcome.")
