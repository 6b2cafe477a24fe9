"""A batch in a CJ database, read back as the callbacks that made it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Connection

from cj_pipeline.contracts.callback import CallbackEvent, parse_callback
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.parity.compare import BY_NAME
from cj_pipeline.traces.importing.cj_database import cj_database
from cj_pipeline.traces.importing.source import Source
from tests.servers import needs
from tests.traces.importing.batches import Kept, kept_batch


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """Six essays and eight anchors, judged by the mock."""
    return kept_batch(f"sqlite:///{tmp_path_factory.mktemp('cj')}/cj.db", graded=True)


@pytest.fixture
def copy(kept: Kept, tmp_path: Path) -> str:
    """The same database, to be spoilt."""
    (tmp_path / "cj.db").write_bytes(Path(kept.url.removeprefix("sqlite:///")).read_bytes())
    return f"sqlite:///{tmp_path}/cj.db"


def documents(source: Source) -> list[dict[str, Any]]:
    return [json.loads(found.raw) for found in source.found]


def change(url: str, *statements: str) -> None:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_what_the_database_holds_of_a_callback_is_what_was_on_the_topic(kept: Kept) -> None:
    read = documents(cj_database(kept.url, "bos-1"))
    on_topic = [json.loads(event.model_dump_json()) for event in kept.callbacks]
    assert len(read) == len(on_topic) == 120
    same = ("correlation_id", "winner", "justification", "confidence", "provider", "model", "response_time_ms",
            "token_usage", "cost_estimate")  # fmt: skip
    assert [[one["data"][key] for key in same] for one in read] == [
        [one["data"][key] for key in same] for one in on_topic
    ]
    hints = ("essay_a_id", "essay_b_id", "bos_batch_id", "cj_batch_id", "cj_source", "cj_request_type",
             "cj_llm_batching_mode", "preferred_bundle_size", "comparison_iteration")  # fmt: skip
    for one, other in zip(read, on_topic, strict=True):
        told, sent = one["data"]["request_metadata"], other["data"]["request_metadata"]
        assert {key: told.get(key) for key in hints if key in sent} == {key: sent[key] for key in hints if key in sent}


def test_every_one_of_them_is_a_usable_callback(kept: Kept) -> None:
    for found in cj_database(kept.url, "bos-1").found:
        assert isinstance(parse_callback(found.raw), CallbackEvent)
        assert found.where.startswith("cj_comparison_pairs id ")


def test_the_batch_is_found_by_its_number_as_well(kept: Kept) -> None:
    by_number = documents(cj_database(kept.url, "1"))
    assert {one["data"]["request_metadata"]["bos_batch_id"] for one in by_number} == {"bos-1"}


def test_anchors_bring_their_grades_and_scores_come_along(kept: Kept) -> None:
    known = cj_database(kept.url, "bos-1").known
    grades = {item.grade for item in known.items if item.id.startswith("ANCHOR_")}
    assert grades == {"F", "E", "D", "D+", "C", "C+", "B", "A"}
    assert known.grade_scale == ("A", "B", "C+", "C", "D+", "D", "E", "F")
    assert [item.grade for item in known.items if item.id.startswith("essay-")] == [None] * 6
    assert known.bt_scores == kept.scores
    assert known.missing == ()
    assert known.engine is not None
    assert known.engine.max_pairwise_comparisons == 120


def test_grades_come_from_the_reference_table_where_the_essay_has_none(copy: str) -> None:
    change(copy, "UPDATE cj_processed_essays SET processing_metadata = '{}'")
    grades = {item.grade for item in cj_database(copy, "bos-1").known.items}
    assert grades == {None, "F", "E", "D", "D+", "C", "C+", "B", "A"}


def test_without_the_service_s_own_columns_the_waves_are_worked_out_alike(kept: Kept, copy: str) -> None:
    # Production's tables: no iteration, no answer_number, no snapshot.
    change(
        copy,
        "DROP TABLE cj_state_snapshots",
        "ALTER TABLE cj_comparison_pairs DROP COLUMN iteration",
        "UPDATE cj_comparison_pairs SET pair_generation_mode = NULL WHERE pair_generation_mode = 'coverage'",
    )
    read = documents(cj_database(copy, "bos-1"))
    waves = {pair["request_correlation_id"]: pair["iteration"] for pair in kept.pairs}
    assert len(set(waves.values())) == 14  # 14 essays: 13 waves of coverage, and a pass of resampling
    assert {one["data"]["correlation_id"]: one["data"]["request_metadata"]["comparison_iteration"] for one in read} == (
        waves
    )
    assert cj_database(copy, "bos-1").known.engine is None


def test_an_error_row_becomes_an_error_callback_and_its_lost_text_is_said(copy: str) -> None:
    change(
        copy,
        "UPDATE cj_comparison_pairs SET winner = 'error', error_code = 'RATE_LIMIT', confidence = NULL, "
        "justification = NULL, processing_metadata = NULL, error_details = '{\"retry_after\": 3}' WHERE id = 5",
    )
    source = cj_database(copy, "bos-1")
    (failed,) = [one["data"] for one in documents(source) if one["data"]["winner"] is None]
    assert failed["error_detail"]["error_code"] == "RATE_LIMIT"
    assert failed["error_detail"]["details"] == {"retry_after": 3}
    assert (failed["provider"], failed["model"], failed["response_time_ms"]) == ("mock", "unknown", 0)
    assert source.known.fields["data.error_detail.message"].origin == "absent"
    assert "error_mix" not in source.known.checks_off


@pytest.mark.parametrize(
    ("column", "value", "check"),
    [
        ("processing_metadata", "json_remove(processing_metadata, '$.response_time_ms')", "latency_p99"),
        ("processing_metadata", "json_remove(processing_metadata, '$.token_usage')", "tokens_total"),
        ("confidence", "NULL", "confidence"),
    ],
)
def test_a_check_that_would_look_at_what_is_not_there_is_off(column: str, value: str, check: str, copy: str) -> None:
    assert check not in cj_database(copy, "bos-1").known.checks_off
    change(copy, f"UPDATE cj_comparison_pairs SET {column} = {value} WHERE id = 3")  # noqa: S608
    known = cj_database(copy, "bos-1").known
    assert known.checks_off[check].startswith("1 of 120 rows")
    assert known.checks_off.keys() <= BY_NAME.keys()


def test_unanswered_comparisons_make_it_partial(copy: str) -> None:
    change(
        copy,
        "UPDATE cj_comparison_pairs SET winner = NULL WHERE id IN (1, 2)",
        "UPDATE cj_batch_uploads SET status = 'PERFORMING_COMPARISONS'",
    )
    known = cj_database(copy, "bos-1").known
    assert known.unanswered == 2
    assert known.missing == (
        "2 comparisons had no answer when the batch was read.",
        "The batch was not over when it was read (status PERFORMING_COMPARISONS).",
    )


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        (
            ("ALTER TABLE cj_comparison_pairs DROP COLUMN error_service",),
            "cj_comparison_pairs.error_service: no such col",
        ),
        (("ALTER TABLE cj_batch_states RENAME TO gone",), "cj_batch_states: no such table"),
        (("DELETE FROM cj_batch_states",), "cj_batch_states: batch 1 has no row here"),
        (("UPDATE cj_comparison_pairs SET winner = NULL",), "cj_comparison_pairs.winner: batch 1 has no answered"),
        (
            (
                "INSERT INTO cj_batch_uploads SELECT 2, bos_batch_id, 'other', language, course_code, "
                "expected_essay_count, status, created_at, updated_at, completed_at, processing_metadata, "
                "assignment_id, user_id, org_id FROM cj_batch_uploads",
            ),
            "batch: 2 batches have this id. Give a number: 1, 2.",
        ),
    ],
)
def test_a_database_that_cannot_be_used_says_which_table_and_column(
    statements: tuple[str, ...], told: str, copy: str
) -> None:
    change(copy, *statements)
    with pytest.raises(BadInput, match="sqlite:///") as refused:
        cj_database(copy, "bos-1")
    assert told in str(refused.value)
    assert refused.value.remedy


def test_a_batch_that_is_not_there_is_answered_with_those_that_are(kept: Kept) -> None:
    with pytest.raises(BadInput, match=r"batch: no such batch\. The newest have the numbers 1\."):
        cj_database(kept.url, "bos-2")


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "mysql://cj:hidden-word@host/db",
        "postgresql://cj:hidden-word@host:port/db",
        "postgresql://cj:hidden-word@127.0.0.1:1/db",
        "postgresql://cj:hidden-word@127.0.0.1:1/db?sslmode=require",
        "postgresql://cj:hidden-word@127.0.0.1:1/db?nonsense=1",
        "sqlite:////nowhere/cj.db",
        "sqlite://",
    ],
)
def test_no_error_holds_a_password_or_a_user(url: str) -> None:
    with pytest.raises(BadInput) as refused:
        cj_database(url, "1")
    assert "hidden-word" not in str(refused.value)
    assert "cj:" not in str(refused.value)
    assert refused.value.remedy


def test_a_file_that_is_no_database_is_told_apart_from_one_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "cj.db").write_text("nothing of the kind, " * 100)
    with pytest.raises(BadInput, match=r"cannot be read \(DatabaseError\)"):
        cj_database(f"sqlite:///{tmp_path}/cj.db", "1")


@pytest.fixture(scope="module")
def on_postgres(postgres_url: str) -> Kept:
    """Five essays, judged by the mock, on a server."""
    return kept_batch(postgres_url, essays=5, lps={"mock_latency_ms": 1})


def test_postgresql_gives_the_same_as_was_on_the_topic(on_postgres: Kept) -> None:
    source = cj_database(on_postgres.url, "bos-1")
    read = documents(source)
    assert [one["data"]["correlation_id"] for one in read] == [
        str(event.data.correlation_id) for event in on_postgres.callbacks
    ]
    assert [one["data"]["winner"] for one in read] == [event.data.winner for event in on_postgres.callbacks]
    assert source.known.bt_scores == on_postgres.scores
    assert source.known.started_at is not None
    assert source.known.started_at.utcoffset() is not None


def test_columns_of_production_s_types_are_read_alike(on_postgres: Kept) -> None:
    columns = (
        ("cj_comparison_pairs", "request_correlation_id", "uuid"),
        ("cj_comparison_pairs", "processing_metadata", "jsonb"),
        ("cj_comparison_pairs", "winner", "outcome"),
        ("cj_batch_uploads", "status", "ending"),
        ("cj_batch_states", "processing_metadata", "jsonb"),
    )

    async def script() -> None:
        connection = await asyncpg.connect(on_postgres.url)
        await connection.execute("CREATE TYPE outcome AS ENUM ('essay_a', 'essay_b', 'error')")
        await connection.execute("CREATE TYPE ending AS ENUM ('COMPLETE_STABLE', 'COMPLETE_MAX_COMPARISONS')")
        for table, column, kind in columns:
            await connection.execute(f"ALTER TABLE {table} ALTER {column} TYPE {kind} USING {column}::text::{kind}")
        await connection.close()

    before = cj_database(on_postgres.url, "bos-1")
    expected = documents(before)
    asyncio.run(script())
    after = cj_database(on_postgres.url, "bos-1")
    assert documents(after) == expected
    assert after.known == before.known


@pytest.mark.parametrize(
    ("kind", "refusal"),
    [("sqlite", "OperationalError"), needs("postgresql", "postgresql", "ReadOnlySQLTransactionError")],
)
def test_a_database_lets_an_import_read_and_nothing_else(
    kind: str, refusal: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(connection: Connection, *_: object) -> None:
        connection.exec_driver_sql("CREATE TABLE planted (id INTEGER)")

    monkeypatch.setattr("cj_pipeline.traces.importing.cj_database.read_batch", write)
    batch: Kept = request.getfixturevalue("on_postgres" if kind == "postgresql" else "kept")
    with pytest.raises(BadInput) as refused:
        cj_database(batch.url, "bos-1")
    assert refusal in str(refused.value)


def test_a_server_that_refuses_says_why_in_its_own_word(on_postgres: Kept) -> None:
    server, _, _ = on_postgres.url.rpartition("/")
    with pytest.raises(BadInput, match=r"cannot be read \(InvalidCatalogNameError\)"):
        cj_database(f"{server}/nowhere", "1")
    with pytest.raises(BadInput, match="cj_batch_uploads: no such table"):
        cj_database(f"{server}/template1", "1")


def test_every_time_and_id_of_a_failure_is_its_own_column_s(copy: str) -> None:
    change(
        copy,
        "UPDATE cj_comparison_pairs SET winner = 'error', error_code = 'TIMEOUT', confidence = NULL, "
        "justification = NULL, error_correlation_id = '00000000-0000-4000-8000-00000000000e', "
        "error_service = 'cj_assessment_service', "
        "created_at = '2025-12-01 08:00:00.000000', submitted_at = '2025-12-01 08:00:01.000000', "
        "error_timestamp = '2025-12-01 08:00:02.000000', completed_at = '2025-12-01 08:00:03.000000' WHERE id = 5",
    )
    (failed,) = [one["data"] for one in documents(cj_database(copy, "bos-1")) if one["data"]["winner"] is None]
    error = failed["error_detail"]
    times = (failed["requested_at"], error["timestamp"], failed["completed_at"])
    assert times == tuple(f"2025-12-01T08:00:0{second}.000000Z" for second in (1, 2, 3))
    assert (error["correlation_id"], error["service"]) == (
        "00000000-0000-4000-8000-00000000000e",
        "cj_assessment_service",
    )


def test_callbacks_come_in_the_order_in_which_the_engine_took_them_in(copy: str) -> None:
    before = [one["data"]["correlation_id"] for one in documents(cj_database(copy, "bos-1"))]
    change(copy, "UPDATE cj_comparison_pairs SET answer_number = 1000 - answer_number")
    assert [one["data"]["correlation_id"] for one in documents(cj_database(copy, "bos-1"))] == before[::-1]


def test_an_anchor_whose_text_is_another_is_found_by_its_reference(copy: str) -> None:
    change(
        copy,
        "UPDATE cj_processed_essays SET text_storage_id = 'another-' || text_storage_id, processing_metadata = "
        "json_object('anchor_ref_id', (SELECT id FROM anchor_essay_references AS known "
        "WHERE known.text_storage_id = cj_processed_essays.text_storage_id)) WHERE is_anchor",
    )
    grades = {item.grade for item in cj_database(copy, "bos-1").known.items}
    assert grades == {None, "F", "E", "D", "D+", "C", "C+", "B", "A"}


def test_the_judges_temperature_is_the_batch_s(copy: str) -> None:
    change(
        copy,
        "UPDATE cj_batch_states SET processing_metadata = "
        "json_set(processing_metadata, '$.llm_overrides.temperature_override', 0.7)",
    )
    assert cj_database(copy, "bos-1").known.temperature == 0.7
