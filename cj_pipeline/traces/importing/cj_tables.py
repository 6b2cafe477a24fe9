"""This module reads one batch's rows out of the tables of a CJ database.

Tables and columns are production's. Those marked optional came later, or are only in this project's own service.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    DateTime,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    inspect,
    or_,
    select,
)

from cj_pipeline.foundation.errors import BadInput, did_you_mean

Rows = Sequence[Mapping[str, Any]]


def _table(name: str, *columns: Column[Any], optional: Iterable[Column[Any]] = (), required: bool = True) -> Table:
    later = list(optional)
    return Table(
        name,
        MetaData(),
        *columns,
        *later,
        info={"optional": frozenset(column.name for column in later), "required": required},
    )


UPLOADS = _table(
    "cj_batch_uploads",
    Column("id", Integer),
    Column("bos_batch_id", String),
    Column("status", String),
    Column("created_at", DateTime),
    Column("processing_metadata", JSON),
    optional=(
        Column("assignment_id", String),
        Column("completed_at", DateTime),
        Column("updated_at", DateTime),
        Column("event_correlation_id", String),
        Column("language", String),
        Column("course_code", String),
        Column("expected_essay_count", Integer),
        Column("user_id", String),
        Column("org_id", String),
    ),
)
STATES = _table(
    "cj_batch_states",
    Column("batch_id", Integer),
    Column("total_budget", Integer),
    Column("submitted_comparisons", Integer),
    Column("processing_metadata", JSON),
    optional=(
        Column("state", String),
        Column("total_comparisons", Integer),
        Column("completed_comparisons", Integer),
        Column("failed_comparisons", Integer),
        Column("current_iteration", Integer),
        Column("last_activity_at", DateTime),
        Column("partial_scoring_triggered", Boolean),
        Column("completion_threshold_pct", Integer),
    ),
)
PAIRS = _table(
    "cj_comparison_pairs",
    Column("id", Integer),
    Column("cj_batch_id", Integer),
    Column("essay_a_els_id", String),
    Column("essay_b_els_id", String),
    Column("request_correlation_id", String),
    Column("submitted_at", DateTime),
    Column("completed_at", DateTime),
    Column("winner", String),
    Column("confidence", Float),
    Column("justification", Text),
    Column("error_code", String),
    Column("error_correlation_id", String),
    Column("error_timestamp", DateTime),
    Column("error_service", String),
    Column("error_details", JSON),
    Column("processing_metadata", JSON),
    optional=(
        Column("created_at", DateTime),
        Column("pair_generation_mode", String),
        Column("iteration", Integer),
        Column("answer_number", Integer),
    ),
)
ESSAYS = _table(
    "cj_processed_essays",
    Column("cj_batch_id", Integer),
    Column("els_essay_id", String),
    Column("text_storage_id", String),
    Column("current_bt_score", Float),
    Column("is_anchor", Boolean),
    Column("processing_metadata", JSON),
    optional=(Column("current_bt_se", Float), Column("comparison_count", Integer)),
)
PROJECTIONS = _table(
    "grade_projections",
    Column("els_essay_id", String),
    Column("cj_batch_id", Integer),
    Column("primary_grade", String),
    Column("grade_scale", String),
    Column("confidence_score", Float),
    Column("confidence_label", String),
    optional=(
        Column("normalized_score", Float),
        Column("population_prior", Float),
        Column("assessment_method", String),
        Column("model_used", String),
        Column("model_provider", String),
        Column("calculation_metadata", JSON),
        Column("created_at", DateTime),
    ),
    required=False,
)
INSTRUCTIONS = _table(
    "assessment_instructions",
    Column("assignment_id", String),
    Column("grade_scale", String),
    optional=(
        Column("course_id", String),
        Column("context_origin", String),
        Column("student_prompt_storage_id", String),
        Column("judge_rubric_storage_id", String),
        Column("created_at", DateTime),
    ),
    required=False,
)
ANCHORS = _table(
    "anchor_essay_references",
    Column("id", Integer),
    Column("assignment_id", String),
    Column("anchor_label", String),
    Column("grade", String),
    Column("grade_scale", String),
    Column("text_storage_id", String),
    optional=(Column("created_at", DateTime),),
    required=False,
)
SNAPSHOTS = _table("cj_state_snapshots", Column("batch_id", Integer), Column("state", Text), required=False)

TABLES = (UPLOADS, STATES, PAIRS, ESSAYS, PROJECTIONS, INSTRUCTIONS, ANCHORS, SNAPSHOTS)


@dataclass(frozen=True, slots=True)
class BatchRows:
    """What the database holds of one batch. snapshot: the engine's stored state as JSON; None where none is kept.

    columns: of the table of pairs, as far as they are there. projections: grades of students, where there are some.
    """

    upload: Mapping[str, Any]
    state: Mapping[str, Any]
    pairs: Rows
    essays: Rows
    instructions: Rows
    anchors: Rows
    snapshot: str | None
    columns: frozenset[str]
    projections: Rows = ()


def read_batch(connection: Connection, batch: str, place: str) -> BatchRows:
    """Return one batch's rows. batch: a BOS batch id, or the number of a row in `cj_batch_uploads`.

    place: the database in words, for errors. Raises BadInput: no such batch, several of that id, a table or a column
    that is not there.
    """
    there = _columns(connection, place)
    uploads = _all(connection, UPLOADS, there, _named(batch))
    if not uploads:
        newest = _all(connection, UPLOADS, there, None)[-5:]
        known = ", ".join(str(row["id"]) for row in newest)
        raise BadInput(
            "no such batch.",
            path=place,
            field="batch",
            remedy=f"The newest have the numbers {known}." if known else "The database holds no batch at all.",
        )
    if len(uploads) > 1:
        numbers = ", ".join(str(row["id"]) for row in uploads)
        raise BadInput(
            f"{len(uploads)} batches have this id.", path=place, field="batch", remedy=f"Give a number: {numbers}."
        )
    (upload,) = uploads
    number, assignment = upload["id"], upload.get("assignment_id")
    states = _all(connection, STATES, there, STATES.c.batch_id == number)
    if not states:
        raise BadInput(
            f"batch {number} has no row here.",
            path=place,
            field=STATES.name,
            remedy="It never started; import a batch that was judged.",
        )
    # No row has it where the batch belongs to no assignment; NULL would find the instructions of courses.
    of_assignment = "" if assignment is None else str(assignment)
    snapshots = _all(connection, SNAPSHOTS, there, SNAPSHOTS.c.batch_id == number)
    return BatchRows(
        upload=upload,
        state=states[0],
        pairs=_all(connection, PAIRS, there, PAIRS.c.cj_batch_id == number),
        essays=_all(connection, ESSAYS, there, ESSAYS.c.cj_batch_id == number),
        instructions=_all(connection, INSTRUCTIONS, there, INSTRUCTIONS.c.assignment_id == of_assignment),
        anchors=_all(connection, ANCHORS, there, ANCHORS.c.assignment_id == of_assignment),
        snapshot=snapshots[0]["state"] if snapshots else None,
        columns=there[PAIRS.name],
        projections=_all(connection, PROJECTIONS, there, PROJECTIONS.c.cj_batch_id == number),
    )


@dataclass(frozen=True, slots=True)
class AssignmentRows:
    """What the database holds of assignments: their instructions, and every anchor."""

    instructions: Rows
    anchors: Rows


def read_assignments(connection: Connection, place: str) -> AssignmentRows:
    """Return the rows of all assignments. Raises BadInput: a table or a column that is not there."""
    there = _columns(connection, place)
    return AssignmentRows(
        _all(connection, INSTRUCTIONS, there, None),
        _all(connection, ANCHORS, there, None),
    )


def _named(batch: str) -> Any:
    by_id = UPLOADS.c.bos_batch_id == batch
    # Above 2^31 it is no id of production's, and PostgreSQL would refuse to compare.
    if batch.isascii() and batch.isdigit() and int(batch) < 2**31:
        return or_(by_id, UPLOADS.c.id == int(batch))
    return by_id


def _columns(connection: Connection, place: str) -> dict[str, frozenset[str]]:
    """Return columns that are there, by table; tables that may be missing and are, have none. Raises BadInput."""
    inspector = inspect(connection)
    tables = set(inspector.get_table_names())
    there: dict[str, frozenset[str]] = {}
    for table in TABLES:
        if table.name not in tables:
            if table.info["required"]:
                raise BadInput(
                    "no such table.",
                    path=place,
                    field=table.name,
                    remedy="Is it the database of the CJ service? " + did_you_mean(table.name, tables),
                )
            there[table.name] = frozenset()
            continue
        columns = {column["name"] for column in inspector.get_columns(table.name)}
        for column in table.columns:
            if column.name not in columns and column.name not in table.info["optional"]:
                raise BadInput(
                    "no such column.",
                    path=place,
                    field=f"{table.name}.{column.name}",
                    remedy="The database is older than this import knows; run its migrations first.",
                )
        there[table.name] = frozenset(columns)
    return there


def _all(connection: Connection, table: Table, there: Mapping[str, frozenset[str]], where: Any) -> Rows:
    """Return the rows in the order of their first column, with the columns that exist."""
    columns = [column for column in table.columns if column.name in there[table.name]]
    if not columns:
        return []
    statement = select(*columns).order_by(columns[0])
    if where is not None:
        statement = statement.where(where)
    return [dict(row) for row in connection.execute(statement).mappings()]
