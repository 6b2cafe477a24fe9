"""This module keeps the open jobs of batch endpoints: one small file each, so that they outlive the process.

A file holds ids and no text of any essay. Instances that share a queue share this folder as well.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.stored_formats import JOB
from cj_pipeline.foundation.versions import NewerVersion, marked, read_marked
from cj_pipeline.services.lps.providers.batches.job import Job
from cj_pipeline.warehouse.files import replace_whole

_log = logging.getLogger(__name__)


class JobStore:
    """The open jobs below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> None:
        """Make the folder. Raises BadInput when nothing can be written there."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=self._folder, prefix=".job-"):
                pass
        except OSError as error:
            raise BadInput(
                f"no job can be stored here: {error.strerror}.",
                path=self._folder,
                remedy="Point LLM_PROVIDER_SERVICE_BATCH_API_JOBS_PATH to a folder that can be written.",
            ) from None

    def jobs(self) -> list[Job]:
        """Return the open jobs, oldest first; a file that cannot be read is named in the log and left where it is.

        So is a newer version's: instances share the folder, and the one that wrote it collects its answers.
        """
        found = []
        for path in sorted(self._folder.glob("*.json")):
            try:
                found.append(_read(path))
            except FileNotFoundError:
                continue
            except NewerVersion as newer:
                _log.error("%s", newer)
            except (BadInput, ValueError):
                _log.error("'%s' is no stored job; move it away", path)
        return sorted(found, key=lambda job: (job.created_at, job.job_id))

    def put(self, job: Job) -> None:
        """Store a job, so that it survives a kill and a loss of power. Raises DiskError; what was stored then stays."""
        content = json.dumps(marked(JOB, job.model_dump(mode="json"))).encode()
        replace_whole(self._path(job), lambda temporary: _write(temporary, content))
        self._sync()

    def drop(self, job: Job, custom_ids: Collection[str]) -> Job | None:
        """Forget requests of a job: their answers were collected. Returns the job as it was when none is left."""
        try:
            stored = _read(self._path(job))
        except (FileNotFoundError, BadInput, ValueError):
            return None
        left = tuple(custom_id for custom_id in stored.custom_ids if custom_id not in custom_ids)
        if left:
            if left != stored.custom_ids:
                self.put(stored.model_copy(update={"custom_ids": left}))
            return None
        with suppress(FileNotFoundError):
            self._path(job).unlink()
        self._sync()
        return stored

    def _path(self, job: Job) -> Path:
        return self._folder / f"{job.job_id}.json"

    def _sync(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # its owner's alone
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> Job:
    """Return the job of a file. Raises NewerVersion, BadInput, ValueError, FileNotFoundError."""
    return Job.model_validate(read_marked(JOB, path.read_bytes(), path))
