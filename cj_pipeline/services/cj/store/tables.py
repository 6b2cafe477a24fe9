"""This module defines the tables of the CJ service.

The first eight are production's, under production's names, so that queries written for it work; three of their
properties are different on purpose: essays are keyed per batch (a reused essay id moved the row to another batch
there), an event is in the outbox once for good, and JSON columns are replaced as a whole. The rest is ours: the
engine's states, positions in topics, waves to send, and what could not be used.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    func,
)

from cj_pipeline.foundation.stored_formats import CJ_DATABASE

SCHEMA_VERSION = CJ_DATABASE.version

metadata = MetaData()


class Instant(TypeDecorator[datetime]):
    """An aware UTC instant; SQLite, which has none, keeps it naive and gives it back aware."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """In: UTC, naive where the database knows no zones."""
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Out: aware."""
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def _batch(name: str = "cj_batch_id", **options: Any) -> Column[int]:
    return Column(name, Integer, ForeignKey("cj_batch_uploads.id"), nullable=False, **options)


def _written_and_changed() -> tuple[Column[datetime], Column[datetime]]:
    """Return two columns of naive UTC times, as in production, which its mapped classes read.

    The database fills them in, so that a replica of the version before, which does not know them, goes on writing.
    """
    return (
        Column("created_at", DateTime, nullable=False, server_default=func.now()),
        Column("updated_at", DateTime, nullable=False, server_default=func.now()),
    )


schema_versions = Table(
    "cj_schema_versions",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("applied_at", Instant, nullable=False),
)

batch_uploads = Table(
    "cj_batch_uploads",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("bos_batch_id", String(255), nullable=False, index=True),
    Column("event_correlation_id", String(36), nullable=False),
    Column("language", String(50), nullable=False),
    Column("course_code", String(50), nullable=False),
    Column("expected_essay_count", Integer, nullable=False),
    Column("status", String(40), nullable=False, index=True),
    # Naive UTC, these three, as in production.
    Column("created_at", DateTime, nullable=False),
    Column("updated_at", DateTime, nullable=False),
    Column("completed_at", DateTime),
    Column("processing_metadata", JSON),
    Column("assignment_id", String(255), index=True),
    Column("user_id", String(255)),
    Column("org_id", String(255)),
    UniqueConstraint("bos_batch_id", "event_correlation_id", name="uq_cj_batch_request"),
)

batch_states = Table(
    "cj_batch_states",
    metadata,
    _batch("batch_id", primary_key=True),
    Column("state", String(40), nullable=False, index=True),
    Column("total_budget", Integer),
    Column("total_comparisons", Integer, nullable=False),
    Column("submitted_comparisons", Integer, nullable=False),
    Column("completed_comparisons", Integer, nullable=False),
    Column("failed_comparisons", Integer, nullable=False),
    Column("current_iteration", Integer, nullable=False),
    Column("last_activity_at", Instant, nullable=False),
    Column("partial_scoring_triggered", Boolean, nullable=False),
    Column("completion_threshold_pct", Integer, nullable=False),
    Column("processing_metadata", JSON),
)

comparison_pairs = Table(
    "cj_comparison_pairs",
    metadata,
    Column("id", Integer, primary_key=True),
    _batch(index=True),
    Column("essay_a_els_id", String(255), nullable=False),
    Column("essay_b_els_id", String(255), nullable=False),
    Column("prompt_text", Text, nullable=False),
    Column("request_correlation_id", String(36), nullable=False, unique=True),
    Column("submitted_at", Instant),
    Column("completed_at", Instant),
    Column("winner", String(20)),
    Column("confidence", Float),
    Column("justification", Text),
    Column("raw_llm_response", Text),
    Column("error_code", String(100)),
    Column("error_correlation_id", String(36)),
    Column("error_timestamp", Instant),
    Column("error_service", String(100)),
    Column("error_details", JSON),
    Column("processing_metadata", JSON),
    Column("pair_generation_mode", String(20)),
    Column("created_at", Instant, nullable=False),
    # Ours: the wave it was asked in; its place among the batch's answers, from 1.
    Column("iteration", Integer, nullable=False),
    Column("answer_number", Integer),
    UniqueConstraint("cj_batch_id", "answer_number", name="uq_cj_answer_number"),
)

processed_essays = Table(
    "cj_processed_essays",
    metadata,
    _batch(primary_key=True),
    Column("els_essay_id", String(255), primary_key=True),
    Column("text_storage_id", String(255), nullable=False),
    Column("assessment_input_text", Text, nullable=False),
    Column("current_bt_score", Float),
    Column("current_bt_se", Float),
    Column("comparison_count", Integer, nullable=False),
    Column("is_anchor", Boolean, nullable=False),
    Column("processing_metadata", JSON),
    *_written_and_changed(),
)

grade_projections = Table(
    "grade_projections",
    metadata,
    Column("els_essay_id", String(255), primary_key=True),
    _batch(primary_key=True),
    Column("primary_grade", String(10), nullable=False),
    Column("grade_scale", String(50), nullable=False),
    Column("confidence_score", Float, nullable=False),
    Column("confidence_label", String(10), nullable=False),
    Column("population_prior", Float),
    Column("assessment_method", String(50), nullable=False),
    Column("model_used", String(100)),
    Column("model_provider", String(50)),
    Column("normalized_score", Float),
    Column("calculation_metadata", JSON, nullable=False),
    Column("created_at", DateTime, nullable=False, server_default=func.now()),
)

assessment_instructions = Table(
    "assessment_instructions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("assignment_id", String(255), unique=True),
    Column("course_id", String(50), unique=True),
    Column("instructions_text", Text, nullable=False),
    Column("grade_scale", String(50), nullable=False),
    Column("context_origin", String(50), nullable=False),
    Column("student_prompt_storage_id", String(255)),
    Column("judge_rubric_storage_id", String(255)),
    Column("created_at", Instant, nullable=False),
    CheckConstraint("(assignment_id IS NULL) <> (course_id IS NULL)", name="ck_assignment_xor_course"),
)

anchor_essay_references = Table(
    "anchor_essay_references",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("assignment_id", String(255), nullable=False),
    Column("anchor_label", String(50), nullable=False),
    Column("grade", String(10), nullable=False),
    Column("grade_scale", String(50), nullable=False),
    Column("text_storage_id", String(255), nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("assignment_id", "anchor_label", "grade_scale", name="uq_anchor_reference"),
)

event_outbox = Table(
    "event_outbox",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("aggregate_id", String(255), nullable=False),
    Column("aggregate_type", String(100), nullable=False),
    Column("event_type", String(255), nullable=False),
    Column("event_data", JSON, nullable=False),
    Column("event_key", String(255)),
    Column("topic", String(255), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("published_at", Instant),
    Column("retry_count", Integer, nullable=False),
    Column("last_error", Text),
    UniqueConstraint("aggregate_id", "event_type", name="uq_outbox_event"),
)
Index(
    "ix_outbox_unpublished",
    event_outbox.c.id,
    postgresql_where=event_outbox.c.published_at.is_(None),
    sqlite_where=event_outbox.c.published_at.is_(None),
)

state_snapshots = Table(
    "cj_state_snapshots",
    metadata,
    _batch("batch_id", primary_key=True),
    Column("state", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
)

wave_submissions = Table(
    "cj_wave_submissions",
    metadata,
    _batch("batch_id", primary_key=True),
    Column("iteration", Integer, primary_key=True, autoincrement=False),
    Column("sent", Boolean, nullable=False, index=True),
    Column("sender", String(36), nullable=False),
    Column("lease_expires_at", Instant, nullable=False),
)

topic_positions = Table(
    "cj_topic_positions",
    metadata,
    Column("topic", String(249), primary_key=True),
    Column("message_partition", Integer, primary_key=True, autoincrement=False, server_default="0"),
    Column("next_offset", BigInteger, nullable=False),
)

processed_events = Table(
    "cj_processed_events",
    metadata,
    Column("event_id", String(36), primary_key=True),
    Column("processed_at", Instant, nullable=False),
)

quarantined_messages = Table(
    "cj_quarantined_messages",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("topic", String(249), nullable=False),
    Column("message_partition", Integer, nullable=False, server_default="0"),
    Column("message_offset", BigInteger, nullable=False),
    Column("reason", String(100), nullable=False),
    Column("field", String(255), nullable=False),
    Column("message", LargeBinary, nullable=False),
    Column("received_at", Instant, nullable=False),
)
