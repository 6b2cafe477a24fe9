"""A trace folder that has a marker in everything that a person or a service can write. Not here: any assertion."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from cj_pipeline.contracts.callback import CallbackEvent, parse_callback
from cj_pipeline.traces.scenario import SCENARIO_FILE
from tests.traces.folders import GENERIC, TRACES, checksum_lines
from tests.traces.planted import plant

Document = dict[str, Any]

_MODE = TRACES.parent / "cj_pipeline" / "mock" / "modes" / "cj_generic_batch.yaml"


class _Markers(Iterator[str]):
    """Markers of its own, apart from those of `plant`, and all that were taken."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def __next__(self) -> str:
        self.taken.append(f"Qvistberg9{len(self.taken):03d}z")
        return self.taken[-1]


def planted_trace(folder: Path) -> list[str]:
    """Write it, with its checksums, and a mode file beside it; the markers."""
    messages, markers = plant()
    spare = _Markers()
    mode = folder.parent / f"{next(spare)}.yaml"
    folder.mkdir()
    (folder / "llm_callbacks.jsonl").write_bytes(b"\n".join(messages) + b"\n")
    _write(folder / "provenance.json", _provenance(folder.name, spare))
    _write(folder / "summary.json", {"scenario_id": next(spare)})
    _write(folder / "quarantine.jsonl", {"reason": next(spare), "raw": next(spare)})
    names = tuple(path.name for path in folder.iterdir())
    (folder / "SHA256SUMS").write_text(checksum_lines(folder, names), encoding="utf-8")
    _write(folder / SCENARIO_FILE, _scenario(folder.name, _essays(messages), mode, spare))
    behaviour = yaml.safe_load(_MODE.read_text(encoding="utf-8"))
    _write(mode, behaviour | {"name": next(spare).lower(), "description": f"Mode of {next(spare)}."})
    return markers + spare.taken


def _write(path: Path, document: Document) -> None:
    # JSON is YAML too.
    path.write_text(json.dumps(document, ensure_ascii=False) + "\n", encoding="utf-8")


def _essays(messages: list[bytes]) -> list[str]:
    read = [found for message in messages if isinstance(found := parse_callback(message), CallbackEvent)]
    metadata = [callback.data.request_metadata for callback in read]
    return sorted({essay for told in metadata for essay in (told["essay_a_id"], told["essay_b_id"])})


def _provenance(scenario_id: str, spare: _Markers) -> Document:
    return {
        "scenario_id": scenario_id,
        "origin": "captured",
        "statement": f"Of {next(spare)}.",
        "sources": [next(spare)],
        "generated_by": next(spare),
        "fields": {
            f"data.{next(spare)}": {"origin": "drawn", "note": "none"},
            "data.model": {"origin": "drawn", "note": next(spare)},
        },
        "capture": {
            "cluster_id": next(spare),
            "topic": next(spare),
            "partitions": [],
            "selection": {next(spare): next(spare)},
            "began_at": "2025-12-01T00:00:00Z",
            "finished_at": "2025-12-01T00:01:00Z",
            "ending": next(spare),
            "read": 1,
            "counts": {"taken": 1},
            "partial": True,
            "missing": [f"The callbacks of {next(spare)}."],
        },
    }


def _scenario(scenario_id: str, essays: list[str], mode: Path, spare: _Markers) -> Document:
    scenario: Document = yaml.safe_load((TRACES / GENERIC / SCENARIO_FILE).read_text(encoding="utf-8"))
    scenario["batch"] |= {
        "bos_batch_id": f"batch {next(spare)}",
        "callback_topic": f"{next(spare)}.v1",
        "started_at": "2025-12-01T00:00:00Z",
    }
    scenario["provider"]["model"] = f"{next(spare)}-model"
    grade = next(spare)
    items: list[Document] = [{"id": essay, "label": f"by {next(spare)}"} for essay in essays]
    items[0]["grade"] = grade
    return scenario | {
        "scenario_id": scenario_id,
        "title": f"Class of {next(spare)}",
        "mode": str(mode),
        "net": {"grade_scale": [grade, "B"], "items": items},
        "checks_off": {"ids": f"as {next(spare)} said"},
    }
