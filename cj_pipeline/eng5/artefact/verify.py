"""This module checks an artefact again: its schema, its checksum, the files of its manifest, and its own sums."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cj_pipeline.eng5.artefact.blocks import USD_DECIMALS, Block
from cj_pipeline.eng5.artefact.files import checksum_of, read_document, schema_errors
from cj_pipeline.traces.importing.artefact_file import read_artefact
from cj_pipeline.traces.provenance import file_sha256

MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Verified:
    """What became of one artefact. problems: a sentence each, none where all agrees; files: of its manifest."""

    path: Path
    mode: str
    comparisons: int
    files: int
    partial: bool
    problems: tuple[str, ...]


def verify(path: Path) -> Verified:
    """Check one artefact, ours or the reference's. Raises BadInput where the file is no artefact.

    One of the reference is held to its blocks and its checksum: written ones differ from every schema.
    """
    document = read_document(path)
    ours = "began_at" in _of(document, "metadata")
    problems = [*_ours(document)] if ours else [*_theirs(path)]
    manifest = document["validation"].get("manifest") or []
    problems += _manifest(path.parent, manifest)
    status = document["validation"].get("runner_status") or {}
    return Verified(
        path=path,
        mode=str(_of(document, "metadata").get("runner_mode")),
        comparisons=len(document.get("llm_comparisons") or []),
        files=len(manifest),
        partial=bool(status.get("partial_data")),
        problems=tuple(problems),
    )


def _ours(document: Block) -> Iterator[str]:
    errors = schema_errors(document)
    if errors:
        yield from (f"schema: {error}" for error in errors[:MOST_SHOWN])
        return
    if checksum_of(document) != document["validation"]["artefact_checksum"]:
        yield "validation.artefact_checksum: the artefact was changed after it was written."
    yield from _sums(document)


def _theirs(path: Path) -> Iterator[str]:
    _, _, checksum = read_artefact(path)
    if checksum != "agrees":
        yield f"validation.artefact_checksum: {checksum}."


def _sums(document: Block) -> Iterator[str]:
    """Yield where two places of an artefact that fits the schema contradict each other."""
    comparisons, rows = document["llm_comparisons"], document["bt_summary"]
    if [one["sequence"] for one in comparisons] != list(range(1, len(comparisons) + 1)):
        yield "llm_comparisons: the sequence has gaps."
    if len({one["correlation_id"] for one in comparisons}) < len(comparisons):
        yield "llm_comparisons: a correlation id is there twice."
    if status := document["validation"].get("runner_status"):
        counted = status["observed_events"]["llm_comparisons"]
        if counted != len(comparisons):
            yield f"validation.runner_status: counts {counted} comparisons, and there are {len(comparisons)}."
    succeeded = [one for one in comparisons if one["status"] == "succeeded"]
    if sum(row["wins"] for row in rows) != len(succeeded) and rows:
        yield "bt_summary: its wins are not those of llm_comparisons."
    usd = round(sum(one["cost_usd"] or 0.0 for one in comparisons), USD_DECIMALS)
    if abs(usd - document["costs"]["total_usd"]) > 10.0**-USD_DECIMALS * max(1, len(document["costs"]["token_counts"])):
        yield f"costs.total_usd: the comparisons cost {usd} USD together."
    known = {row["essay_id"] for row in rows}
    strange = {one[key] for one in comparisons for key in ("essay_a_id", "essay_b_id")} - known
    if rows and strange:
        yield f"llm_comparisons: {len(strange)} essays are not in bt_summary."


def _manifest(folder: Path, manifest: list[Block]) -> Iterator[str]:
    for entry in manifest:
        file = folder / str(entry.get("path"))
        if not file.resolve().is_relative_to(folder.resolve()):
            yield f"manifest: {entry.get('path')} is not below the artefact's folder."
        elif not file.is_file():
            yield f"manifest: {entry.get('path')} is not there."
        elif file_sha256(file) != entry.get("sha256"):
            yield f"manifest: {entry.get('path')} was changed after the artefact was written."


def _of(document: Block, name: str) -> dict[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}
