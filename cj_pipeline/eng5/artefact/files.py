"""This module writes an artefact with the files that belong to it, and reads artefacts back.

There is one rule for the checksum: the SHA-256 of the JSON text, indented by two, in which the checksum is 64 zeros.
"""

from __future__ import annotations

import json
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

from cj_pipeline.eng5.artefact.blocks import Block, document_of
from cj_pipeline.eng5.facts import RunFacts
from cj_pipeline.eng5.inputs import UNKNOWN_CHECKSUM
from cj_pipeline.eng5.options import RunnerMode
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.traces.provenance import file_sha256
from cj_pipeline.warehouse.files import write_output

SCHEMA_FILE = "assessment_run.schema.json"
REQUESTS, COMPARISONS = "requests", "events/comparisons"
RESULTS, COMPLETIONS = "events/assessment_results", "events/completions"


@cache
def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of artefacts."""
    found: dict[str, Any] = json.loads(files("cj_pipeline.eng5.artefact").joinpath("schema.json").read_text())
    return found


def artefact_path(folder: Path, mode: RunnerMode) -> Path:
    """Return where the artefact of a mode is."""
    return folder / f"assessment_run.{mode.value}.json"


def checksum_of(document: Block) -> str:
    """Return the checksum that an artefact should have, whatever it says."""
    blanked = {**document, "validation": {**document["validation"], "artefact_checksum": UNKNOWN_CHECKSUM}}
    return sha256(_text(blanked).encode()).hexdigest()


def schema_errors(document: Any) -> list[str]:
    """Return what of a document does not fit the schema: place and problem, a line each, nothing of its texts."""
    from jsonschema import Draft202012Validator

    errors = sorted(Draft202012Validator(schema()).iter_errors(document), key=lambda error: list(map(str, error.path)))
    return [f"{error.json_path}: does not fit {'/'.join(map(str, error.schema_path))}" for error in errors]


def write_artefact(facts: RunFacts) -> Path:
    """Write the artefact of a run, its events, its request and SHA256SUMS; return the artefact's path.

    The artefact replaces the one of an earlier run in one step. Raises AssertionError where it would not fit its own
    schema, which is a defect of ours.
    """
    folder = facts.options.output_dir
    folder.mkdir(parents=True, exist_ok=True)
    manifest = [_entry(folder, path) for path in _write_files(facts, folder)]
    document = document_of(facts, manifest)
    if facts.options.mode is RunnerMode.BOUNDARY and facts.answers is not None:
        from cj_pipeline.eng5.boundary import boundary_block

        validation = document.pop("validation")
        document |= {"boundary": boundary_block(facts), "validation": validation}
    document["validation"]["artefact_checksum"] = checksum_of(document)
    if errors := schema_errors(document):
        raise AssertionError(f"the artefact does not fit its schema: {errors[0]}")
    path = artefact_path(folder, facts.options.mode)
    replace_file(path, _text(document) + "\n")
    replace_file(folder / SCHEMA_FILE, json.dumps(schema(), indent=2) + "\n")
    sums = [(entry["sha256"], entry["path"]) for entry in (*manifest, _entry(folder, path))]
    replace_file(path.with_suffix(".SHA256SUMS"), "".join(f"{digest}  {name}\n" for digest, name in sums))
    return path


def read_document(path: Path) -> Block:
    """Return the JSON of an artefact. Raises BadInput where it is none."""
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BadInput("no such file.", path=path, remedy="Name an assessment_run.<mode>.json.") from None
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror}).", path=path) from None
    except json.JSONDecodeError as error:
        raise BadInput(f"not JSON: {error.msg}.", path=path, line=error.lineno) from None
    except (ValueError, RecursionError):
        raise BadInput("not JSON text.", path=path) from None
    if not isinstance(document, dict) or not isinstance(document.get("validation"), dict):
        raise BadInput("is no artefact.", path=path, field="validation", remedy="Name an assessment_run.<mode>.json.")
    return document


def _write_files(facts: RunFacts, folder: Path) -> list[Path]:
    """Write request and events of this run, each by a name of its own, and return all files of the manifest."""
    run = facts.identity.batch_uuid
    written = []
    if facts.request is not None:
        path = folder / REQUESTS / f"{run}.json"
        written.append(replace_file(path, json.dumps(facts.request, indent=2, ensure_ascii=False) + "\n"))
    if facts.answers is not None:
        for kind, messages in (
            (COMPARISONS, facts.answers.raw),
            (RESULTS, facts.answers.results),
            (COMPLETIONS, facts.answers.completions),
        ):
            for number, raw in enumerate(messages, start=1):
                written.append(replace_file(folder / kind / str(run) / f"{number:06d}.json", raw.decode() + "\n"))
    extract = folder / "db_extract" / str(run)
    return written + (sorted(path for path in extract.rglob("*") if path.is_file()) if extract.is_dir() else [])


def _entry(folder: Path, path: Path) -> Block:
    return {
        "path": path.relative_to(folder).as_posix(),
        "sha256": file_sha256(path),
        "bytes": path.stat().st_size,
    }


def _text(document: Block) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)


def replace_file(path: Path, text: str) -> Path:
    """Write a file whole, in a folder that is made where it is not there. Raises DiskError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_output(path, text)
