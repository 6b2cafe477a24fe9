"""This module holds the section `imported` of provenance.json: the kind of source, what became of it, what is missing.

No file names, no addresses: the one may be a pupil's, the other is nobody's business.
"""

from __future__ import annotations

from pydantic import AwareDatetime

from cj_pipeline.contracts.model import FileModel


class ImportProvenance(FileModel):
    """One import."""

    source: str
    """`JSON files`, `ENG5 artefact` or `CJ database`."""
    imported_at: AwareDatetime
    counts: dict[str, int]
    """What was found, by what became of it."""
    unanswered: int = 0
    """Comparisons that the source knows of and has no outcome for."""
    partial: bool
    missing: tuple[str, ...] = ()
    """A sentence for each thing that was asked for and is not there."""
    expected_count: int | None = None
    held_against: str | None = None
    """What makes it whole; None where no count and no end of the batch was known: then it is as far as was seen."""
