"""This module names everything that is stored and read again, with the version of its format.

Who changes a format raises its version here, and says in the module that reads it how the version before is read.
"""

from __future__ import annotations

from cj_pipeline.foundation.versions import Stored

_REFUSED = "refused; nothing is changed"
_IN_JSON = "`schema_version`"

PART = Stored(
    "a part of a run",
    "`runs/<run>/<scenario>/<dataset>/<part>.parquet`",
    2,
    "Parquet metadata `cj_pipeline_schema`; none in version 1",
    "read: columns that came later have their value of that time; `warehouse migrate` writes version 2",
    _REFUSED,
)
HISTORY = Stored(
    "the history of a run",
    "`history/<scenario>/<run>.parquet`",
    1,
    "Parquet metadata `cj_pipeline_history_schema`",
    "there is none",
    _REFUSED,
)
POINTER = Stored(
    "the pointer to a published run",
    "`published/<scenario>.json`",
    2,
    f"{_IN_JSON}; none in version 1",
    "read; the next published run writes version 2",
    "refused; no run replaces it",
)
CATALOGUE = Stored(
    "the catalogue",
    "`warehouse.duckdb`",
    2,
    "its table `catalogue.version`; none in version 1",
    "made again from the parts at the first query, as one whose folder has moved; so does `warehouse migrate`",
    _REFUSED,
)
NIGHT = Stored(
    "the record of a night",
    "`nights/<date>.json`",
    1,
    _IN_JSON,
    "there is none",
    "refused by commands; tonight's message is sent without it, says so, and leaves it",
)
MESSAGE = Stored(
    "a kept message",
    "`alerts/<id>.json`",
    2,
    f"{_IN_JSON}; none in version 1",
    "read; the next attempt to send writes version 2",
    "named, kept and not sent; other messages are",
)
SCENARIO = Stored(
    "a file of a trace",
    "`traces/<scenario>/`: `scenario.yaml`, `mode.yaml`, `provenance.json`, `published.yaml`",
    1,
    _IN_JSON,
    "there is none",
    _REFUSED,
)
DRAFT = Stored(
    "an unfinished capture, recording or ENG5 run",
    "`draft.sqlite`, `run_<n>.sqlite`, `answers.sqlite`, in hidden folders beside what they will become",
    2,
    "SQLite's `user_version`; 0 in version 1",
    "marked when it is opened; its tables are the same",
    _REFUSED,
)
BATCH_NOTES = Stored(
    "the notes of an unfinished recording through a CJ service",
    "`traces/.<scenario>.recording/batches.json`",
    2,
    f"{_IN_JSON}; none in version 1",
    "read; the next note writes version 2",
    _REFUSED,
)
EXPERIMENT = Stored(
    "an experiment",
    "`eng5/experiments/<name>/experiment.json`; its cells are ENG5 artefacts",
    1,
    _IN_JSON,
    "there is none",
    _REFUSED,
)
LEDGER = Stored(
    "the ledger of an experiment",
    "`eng5/experiments/<name>/spent.sqlite`",
    2,
    "SQLite's `user_version`; 0 in version 1",
    "marked when it is opened; its table is the same",
    _REFUSED,
)
JOB = Stored(
    "a job at a provider",
    "`<job>.json` in the LPS's folder of jobs",
    2,
    f"{_IN_JSON}; none in version 1",
    "read; written as version 2 when it changes",
    "named in the log and left to the instance that wrote it: instances share the folder",
)
CJ_DATABASE = Stored(
    "the database of the CJ service",
    "SQLite or PostgreSQL, as `CJ_ASSESSMENT_SERVICE_DATABASE_URL` says",
    3,
    "table `cj_schema_versions`",
    "brought up to date when the service starts, in one transaction; replicas of the version before go on",
    "the service does not start",
)
ENGINE_STATE = Stored(
    "the state of a batch",
    "column `cj_state_snapshots.state` of that database",
    1,
    "`version`",
    "there is none",
    "the batch is not worked on",
)
QUEUE_RECORD = Stored(
    "a queued request",
    "Redis, in the LPS's queue",
    1,
    "`version`",
    "there is none",
    "put aside and named in the log, for the instance that wrote it",
)

ALL = (
    *(PART, HISTORY, POINTER, CATALOGUE, NIGHT, MESSAGE, SCENARIO, DRAFT, BATCH_NOTES, EXPERIMENT, LEDGER, JOB),
    *(CJ_DATABASE, ENGINE_STATE, QUEUE_RECORD),
)
