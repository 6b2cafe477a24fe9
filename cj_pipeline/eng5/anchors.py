"""This module registers graded anchors with a CJ service, a few at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cj_pipeline.eng5.inputs import Essay, read_inventory
from cj_pipeline.foundation.errors import BadInput, CjPipelineError
from cj_pipeline.services.cj.admin_client import CjAdmin

AT_A_TIME = 4


@dataclass(frozen=True, slots=True)
class Registered:
    """What became of one anchor. problem: None where it is registered."""

    name: str
    grade: str | None
    problem: str | None


def register(admin: CjAdmin, assignment_id: str, anchor_dir: Path, expected_scale: str | None) -> list[Registered]:
    """Register every anchor of a folder. Raises BadInput: no anchors, or another scale; what the service refuses."""
    anchors = read_inventory(anchor_dir.parent, anchor_dir=anchor_dir, with_students=False).anchors
    if not anchors:
        raise BadInput("no anchors.", path=anchor_dir, remedy="A file for each, whose name ends in its grade.")
    scale = str(admin.instructions(assignment_id).get("grade_scale"))
    if expected_scale is not None and scale != expected_scale:
        raise BadInput(
            f"assignment {assignment_id} is graded on {scale}.", path="eng5", field="expected_grade_scale",
            remedy="Leave it out, or name another assignment.",
        )  # fmt: skip
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(pool.map(lambda anchor: _registered(admin, assignment_id, anchor), anchors))


def _registered(admin: CjAdmin, assignment_id: str, anchor: Essay) -> Registered:
    if anchor.grade is None:
        return Registered(anchor.name, None, "its grade is not known")
    try:
        admin.register_anchor(assignment_id, anchor.grade, anchor.file.text, anchor.stem)
    except CjPipelineError as refused:
        return Registered(anchor.name, anchor.grade, str(refused))
    return Registered(anchor.name, anchor.grade, None)
