"""This module brings an older schema up to this program's, without losing a row.

Both databases undo changes of tables with their transaction, so that a migration is done whole or not at all.

A step leaves the tables so that replicas of the version before go on working beside it: they are replaced one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import Connection, select, text

from cj_pipeline.services.cj.store.tables import grade_projections, processed_essays, topic_positions

Step = Callable[[Connection], None]


def _positions_by_partition(connection: Connection) -> None:
    """1 to 2: messages have partitions. Until then every topic was a file, which is one partition, 0."""
    kept = connection.execute(text("SELECT topic, next_offset FROM cj_topic_positions")).mappings().all()
    # A new table: SQLite cannot change a primary key.
    topic_positions.drop(connection)
    topic_positions.create(connection)
    if kept:
        connection.execute(topic_positions.insert(), [{**row, "message_partition": 0} for row in kept])
    connection.execute(
        text("ALTER TABLE cj_quarantined_messages ADD COLUMN message_partition INTEGER NOT NULL DEFAULT 0")
    )


def _times_of_rows(connection: Connection) -> None:
    """2 to 3: essays and grades say when they were written. A row from before has the time of its migration."""
    # SQLite takes no expression as the default of a new column, so the tables' rows go through a column without one.
    for table in (processed_essays, grade_projections):
        kept = connection.execute(select(*(column for column in table.c if column.server_default is None))).mappings()
        rows = [dict(row) for row in kept]
        table.drop(connection)
        table.create(connection)
        if rows:
            connection.execute(table.insert(), rows)


STEPS: Mapping[int, Step] = {1: _positions_by_partition, 2: _times_of_rows}
"""By the version that a step begins with."""


def migrate(connection: Connection, found: int, wanted: int) -> bool:
    """Bring the tables from one version to another; False when there is no way."""
    if found > wanted or any(version not in STEPS for version in range(found, wanted)):
        return False
    for version in range(found, wanted):
        STEPS[version](connection)
    return True
