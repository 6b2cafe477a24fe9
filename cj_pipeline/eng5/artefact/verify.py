"""This module checks an artefact again: its schema, its checksum, the files of its manifest, and its own sums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cj_pipeline.contracts.callback import Rejection, parse_callback
from cj_pipeline.contracts.enums import LLMBatchingMode
from cj_pipeline.eng5.artefact.blocks import USD_DECIMALS, Block, comparison
from cj_pipeline.eng5.artefact.files import COMPARISONS, checksum_of, read_document, schema_errors
from cj_pipeline.eng5.batching import batching_block
from cj_pipeline.traces.importing.artefact_file import read_artefact
from cj_pipeline.traces.provenance import file_sha256

MOST_SHOWN = 20
MOST_PATH = 1_000


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
    given = document["validation"].get("manifest") or []
    manifest = [entry for entry in given if _is_entry(entry)] if isinstance(given, list) else []
    if not isinstance(given, list) or len(manifest) < len(given):
        problems.append("validation.manifest: is no list of files with path and sha256.")
    problems += _manifest(path.parent, manifest)
    if ours and not problems:
        problems += _recorded(document, path.parent, manifest)
    status = _of(document["validation"], "runner_status")
    return Verified(
        path=path,
        mode=str(_of(document, "metadata").get("runner_mode")),
        comparisons=len(_listed(document, "llm_comparisons")),
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
    for one in succeeded:
        if {one["winner_id"], one["loser_id"]} != {one["essay_a_id"], one["essay_b_id"]}:
            yield f"llm_comparisons: winner and loser of comparison {one['sequence']} are not its two essays."
    won, lost = (Counter(one[key] for one in succeeded) for key in ("winner_id", "loser_id"))
    for row in rows:
        if (row["wins"], row["losses"]) != (won[row["essay_id"]], lost[row["essay_id"]]):
            yield f"bt_summary: wins and losses of {row['essay_id']} are not those of llm_comparisons."
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


def _recorded(document: Block, folder: Path, manifest: list[Block]) -> Iterator[str]:
    """Yield where the comparisons are not those of the events that the manifest names."""
    stored, callbacks = {}, []
    for entry in manifest:
        if str(entry["path"]).startswith(f"{COMPARISONS}/"):
            event = parse_callback((folder / str(entry["path"])).read_bytes())
            if isinstance(event, Rejection):
                yield f"manifest: {entry['path']} is no callback."
            else:
                stored[str(event.data.correlation_id)] = comparison(0, event)
                callbacks.append(event.data)
    if batching := document["metadata"].get("batching"):
        hint = None if batching["hint"] is None else LLMBatchingMode(batching["hint"])
        if batching != batching_block(hint, callbacks):
            yield "metadata.batching: is not what the events say."
    for one in document["llm_comparisons"]:
        event_of_it = stored.pop(one["correlation_id"], None)
        if event_of_it is None:
            yield f"llm_comparisons: the manifest has no event of comparison {one['sequence']}."
        elif {**one, "sequence": 0} != event_of_it:
            yield f"llm_comparisons: comparison {one['sequence']} differs from its event."
    if stored:
        yield f"manifest: {len(stored)} events are not in llm_comparisons."


def _is_entry(entry: object) -> bool:
    path = entry.get("path") if isinstance(entry, dict) else None
    return isinstance(path, str) and isinstance(entry, dict) and 0 < len(path) < MOST_PATH and "\0" not in path


def _listed(document: Block, name: str) -> list[Any]:
    found = document.get(name)
    return found if isinstance(found, list) else []


def _of(document: Block, name: str) -> dict[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}
