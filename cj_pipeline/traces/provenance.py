"""This module holds where a trace comes from, field by field, and the proof that nobody edited it since.

`SHA256SUMS` has the format of the sha256sum program, so that `sha256sum -c SHA256SUMS` works without us. It covers
everything in the folder but `scenario.yaml` and a mode file, which people edit: the recording does not change. A
recording that was added later has a `SHA256SUMS` of its own, so that one rename adds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from hashlib import file_digest, sha256
from pathlib import Path, PurePath

from pydantic import AwareDatetime, Field, ValidationError

from cj_pipeline.contracts.model import FileModel, VersionOne
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.input_file import open_input, read_input
from cj_pipeline.traces.capture_provenance import CaptureProvenance
from cj_pipeline.traces.import_provenance import ImportProvenance
from cj_pipeline.traces.recording_provenance import RecordingProvenance
from cj_pipeline.traces.redaction_policy import RedactionPolicy
from cj_pipeline.traces.scenario_folders import RECORDINGS_FOLDER

PROVENANCE_FILE = "provenance.json"
CHECKSUM_FILE = "SHA256SUMS"
PUBLISHED_FILE = "published.yaml"


class TraceOrigin(StrEnum):
    """How the callbacks of a trace came to be."""

    CAPTURED = "captured"
    RECONSTRUCTED = "reconstructed"
    IMPORTED = "imported"
    RECORDED = "recorded"
    """Asked of a real judge by this project itself."""


class FieldOrigin(StrEnum):
    """What the values of one field rest on."""

    PUBLISHED = "published"
    """The value itself was published."""
    FITTED = "fitted"
    """Drawn so that its published aggregates come out exactly."""
    DRAWN = "drawn"
    """Plausible, and nothing more."""
    RECORDED = "recorded"
    """Taken over as it was recorded."""
    DERIVED = "derived"
    """Follows from what was recorded, by the rule that the note names."""
    ABSENT = "absent"
    """Not on record: the value fills a place that the wire demands and says nothing. No check may look at it."""


class FieldProvenance(FileModel):
    """What one field of the callbacks rests on."""

    origin: FieldOrigin
    note: str


class RedactionProvenance(FileModel):
    """What was taken out of a trace, and under which key its names were changed."""

    policy: RedactionPolicy
    key_id: str
    """Traces with the same one call the same essay by the same name. It says nothing about the key."""
    dropped: dict[str, int] = Field(default_factory=dict)
    """How much went, by kind; never what."""
    raw_quarantine_kept: bool = False
    """Whether messages that are no callbacks were kept whole, unredacted."""


class Provenance(FileModel):
    """`provenance.json`."""

    schema_version: VersionOne = 1
    scenario_id: str
    origin: TraceOrigin
    statement: str
    """One paragraph for somebody who is about to mistake this trace for something it is not."""
    sources: tuple[str, ...]
    generated_by: str
    seed: int | None = None
    recorded_at: AwareDatetime | None = None
    fields: dict[str, FieldProvenance]
    redaction: RedactionProvenance | None = None
    """None: ids and texts are as they were recorded."""
    capture: CaptureProvenance | None = None
    imported: ImportProvenance | None = None
    recorded: RecordingProvenance | None = None

    @property
    def sections(self) -> tuple[CaptureProvenance | ImportProvenance, ...]:
        """Return what a capture or an import says of itself; nothing for a reconstruction."""
        return tuple(section for section in (self.capture, self.imported) if section is not None)


def read_provenance(folder: Path) -> Provenance:
    """Read `provenance.json`; raises BadInput naming file and field."""
    path = folder / PROVENANCE_FILE
    try:
        return Provenance.model_validate_json(read_input(path))
    except FileNotFoundError:
        raise BadInput(
            "no such file.", path=path, remedy="A trace without provenance proves nothing; capture or reconstruct it."
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise BadInput(f"{first['msg']}.", path=path, field=".".join(str(part) for part in first["loc"])) from None


def file_sha256(path: Path) -> str:
    """Return lower-case hex SHA-256 of a file's bytes."""
    with open_input(path) as file:
        return file_digest(file, "sha256").hexdigest()


def joint_sha256(digests: Mapping[str, str]) -> str:
    """Return one digest for the callbacks of all recordings of a scenario; that of the only one where there is one.

    digests: of the callbacks, by the recording's name.
    """
    if len(digests) == 1:
        return next(iter(digests.values()))
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    return sha256(lines.encode()).hexdigest()


def _may_be_uncovered(inside: PurePath) -> bool:
    """Return whether people may edit a file: scenario.yaml, and a mode file beside it, by whatever name."""
    if any(part.startswith(".") for part in inside.parts):
        return True
    return len(inside.parts) == 1 and inside.suffix == ".yaml" and inside.name != PUBLISHED_FILE


def verify_checksums(folder: Path) -> dict[str, str]:
    """Check every file that `SHA256SUMS` names, there and in added recordings; the digests by file name.

    Raises BadInput naming the first file that is missing, whose bytes differ or that is not listed, or the line that
    cannot be read.
    """
    digests: dict[str, str] = {}
    parts = (folder, *added_recordings(folder))
    for part in parts:
        inside = part.relative_to(folder)
        digests |= {(inside / name).as_posix(): digest for name, digest in _verified_files(part)}
    known = {folder / name for name in digests} | {part / CHECKSUM_FILE for part in parts}
    for path in sorted(path for path in folder.rglob("*") if not path.is_dir()):
        if path not in known and not _may_be_uncovered(path.relative_to(folder)):
            raise BadInput(
                "is not listed in SHA256SUMS.",
                path=path,
                remedy="All but scenario.yaml and a mode file is covered; a line may have been taken out.",
            )
    return digests


def added_recordings(folder: Path) -> tuple[Path, ...]:
    """Return the folders of recordings that were added later: those that have a `SHA256SUMS` of their own."""
    found = folder.glob(f"{RECORDINGS_FOLDER}/[!.]*/{CHECKSUM_FILE}")
    return tuple(sorted(path.parent for path in found))


def listed_digests(folder: Path) -> dict[str, str]:
    """Return the digests that one `SHA256SUMS` names, by file name and in its order, without comparing them.

    Raises BadInput when it is missing or is no such file.
    """
    sums = folder / CHECKSUM_FILE
    try:
        lines = read_input(sums).decode().splitlines()
    except FileNotFoundError:
        raise BadInput(
            "no such file.",
            path=sums,
            remedy="Record the digests: sha256sum llm_callbacks.jsonl summary.json provenance.json > SHA256SUMS",
        ) from None
    except UnicodeDecodeError:
        raise BadInput("is not text.", path=sums, remedy="Restore it, or capture the trace again.") from None
    listed: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        digest, separator, name = line.partition("  ")
        if not separator or len(digest) != 64:
            raise BadInput("is not '<sha256>  <file name>'.", path=sums, line=number)
        if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
            raise BadInput("is no file of this folder.", path=sums, line=number, field=name)
        listed[name] = digest
    return listed


def _verified_files(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield name and digest of each file that one `SHA256SUMS` names, after comparing it."""
    for number, (name, digest) in enumerate(listed_digests(folder).items(), start=1):
        path = folder / name
        if not path.is_file():
            sums = folder / CHECKSUM_FILE
            raise BadInput("is listed, but the file is not there.", path=sums, line=number, field=name)
        actual = file_sha256(path)
        if actual != digest:
            raise BadInput(
                f"sha256 is {actual}, recorded was {digest}.",
                path=path,
                remedy="The file was edited after it was recorded; restore it, or capture the trace again.",
            )
        yield name, digest
