"""This module holds what the batch endpoints of providers have in common: jobs, their state, their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict

from cj_pipeline.contracts.enums import Provider
from cj_pipeline.contracts.model import FileModel
from cj_pipeline.services.lps.providers.model import StructuredOutput


class ReplyPart(BaseModel):
    """Base of the models of replies about jobs: what is not declared is of no interest here."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class Job(FileModel):
    """A job as it is stored. It is stored before it is submitted, and again once the provider has named it."""

    job_id: str
    """Ours; where the provider keeps notes with a job, this is in them."""
    provider: Provider
    base_url: str
    model: str
    structure: StructuredOutput
    """How the answers' shape was asked for."""
    created_at: AwareDatetime
    custom_ids: tuple[str, ...]
    """Queue ids of the requests whose answers are still to be collected."""
    submitted: int
    """How many requests it was submitted with."""
    remote_id: str | None = None
    """The provider's; None: nobody knows yet whether it was submitted."""


class Stage(StrEnum):
    """How far a job is."""

    RUNNING = "running"
    ENDED = "ended"
    """Its results can be read; some requests may have none."""
    FAILED = "failed"
    """None of its requests was worked on."""


@dataclass(frozen=True, slots=True)
class State:
    """What the provider says of a job. code: why it failed, in the provider's word."""

    stage: Stage
    code: str | None = None


class End(StrEnum):
    """What became of one request."""

    ANSWERED = "answered"
    """There is a reply; it may be an error."""
    EXPIRED = "expired"
    """The provider did not get to it in time; it is not billed."""
    CANCELLED = "cancelled"
    """Somebody stopped the job before its turn; it is not billed."""
    LOST = "lost"
    """The provider has nothing to say of it."""


@dataclass(frozen=True, slots=True)
class Result:
    """One line of a job's results. status and body: of the reply."""

    custom_id: str
    end: End
    status: int = 0
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Item:
    """One request of a job. payload: as it would be sent by itself."""

    custom_id: str
    payload: Mapping[str, Any]


class BatchRefused(Exception):
    """The provider said no. The body stays here: it may quote a prompt."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        super().__init__(f"HTTP status {status}")


class BatchApi(Protocol):
    """A provider's batch endpoint. Everything raises BatchRefused, httpx.RequestError or TimeoutError."""

    @property
    def most_bytes(self) -> int:
        """How large a job may be."""
        ...

    async def submit(self, job: Job, items: Sequence[Item]) -> str:
        """Start a job and return the provider's id of it."""
        ...

    async def find(self, job: Job, others: frozenset[str]) -> str | None:
        """Return the provider's id of a job whose submission nobody saw the end of; None when there is none.

        others: ids of jobs that are known to be something else.
        """
        ...

    async def state(self, remote_id: str) -> State:
        """Return how far a job is."""
        ...

    async def results(self, remote_id: str) -> list[Result]:
        """Return what an ended job has, in any order."""
        ...

    async def cancel(self, remote_id: str) -> None:
        """Stop a job that takes too long."""
        ...

    async def discard(self, remote_id: str) -> None:
        """Remove what the provider keeps of a collected job, as far as it lets us."""
        ...
