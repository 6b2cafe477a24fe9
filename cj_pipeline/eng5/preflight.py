"""This module looks before a run whether everything that it needs is there, and says of each part what is wrong."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from cj_pipeline.eng5.collector import TOPICS
from cj_pipeline.eng5.deployed_run import DeployedServices, require_assignment
from cj_pipeline.eng5.judges import judge_for
from cj_pipeline.eng5.options import JudgeKind, RunnerMode, RunnerOptions
from cj_pipeline.eng5.runner import prepare
from cj_pipeline.foundation.errors import CjPipelineError
from cj_pipeline.runs.recording.books import require_key
from cj_pipeline.services.cj.environment import DATABASE_URL
from cj_pipeline.traces.importing.cj_database import cj_assignments

REACH_S = 10.0


@dataclass(frozen=True, slots=True)
class Looked:
    """One part. problem: None where it is there."""

    part: str
    found: str
    problem: str | None = None


def preflight(
    options: RunnerOptions, services: DeployedServices | None, local_missing: Callable[[], str | None]
) -> Iterator[Looked]:
    """Look at one part after the other.

    services: of a deployed run; local_missing: returns why the model on this machine cannot be had.
    """
    yield _looked("inputs", lambda: _inputs(options, deployed=services is not None))
    yield _looked("output folder", lambda: _writable(options.output_dir))
    if services is None:
        yield _looked("judge", lambda: _judge(options, local_missing))
        return
    yield _looked("bus", lambda: asyncio.run(_bus(services)))
    yield _looked("content service", lambda: asyncio.run(_content(services)))
    if options.auto_extract:
        yield _looked("CJ database", lambda: _database(services))
    if options.mode is RunnerMode.EXECUTE:
        yield _looked("assignment", lambda: _assignment(options, services))


def _looked(part: str, look: Callable[[], str]) -> Looked:
    try:
        return Looked(part, look())
    except (CjPipelineError, OSError) as problem:
        return Looked(part, "", str(problem))


def _inputs(options: RunnerOptions, *, deployed: bool) -> str:
    # A CJ service has anchors of its own, which are counted below.
    inventory = prepare(options, deployed=deployed, anchors=1 if deployed else None).inventory
    for essay in (*inventory.anchors, *inventory.students):
        _ = essay.file.text  # raises where a file holds none
    return f"{len(inventory.anchors)} anchors, {len(inventory.students)} students"


def _writable(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        return str(folder)


def _judge(options: RunnerOptions, local_missing: Callable[[], str | None]) -> str:
    if options.judging.kind is JudgeKind.LOCAL:
        if (missing := local_missing()) is not None:
            raise CjPipelineError(missing)
        return "the model on this machine"
    with tempfile.TemporaryDirectory(prefix="cj-pipeline-eng5-") as folder:
        judge = judge_for(options, Path(folder))
    require_key(judge)
    return f"{options.judging.kind}: {judge.judge.provider} {judge.judge.model}"


async def _bus(services: DeployedServices) -> str:
    bus = services.open_bus()
    try:
        async with asyncio.timeout(REACH_S):
            await bus.end(TOPICS[0])
        return str(bus)
    except TimeoutError:
        raise CjPipelineError(f"{bus} does not answer within {REACH_S:g} s.") from None
    finally:
        await bus.aclose()


async def _content(services: DeployedServices) -> str:
    """Look whether somebody answers; what, is for the first upload to find out."""
    try:
        async with httpx.AsyncClient(transport=services.content_transport, timeout=REACH_S) as client:
            answer = await client.get(services.content_url)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CjPipelineError(
            f"{services.content_url}: no content service answers there ({type(error).__name__})."
        ) from None
    if answer.is_server_error:
        raise CjPipelineError(f"{services.content_url}: the content service answers {answer.status_code}.")
    return services.content_url


def _database(services: DeployedServices) -> str:
    if services.database_url is None:
        raise CjPipelineError(f"--auto-extract-eng5-db reads the CJ database, and {DATABASE_URL} is not set.")
    return f"{len(cj_assignments(services.database_url).instructions)} instructions"


def _assignment(options: RunnerOptions, services: DeployedServices) -> str:
    anchors, scale = require_assignment(options, services.admin)
    if not anchors:
        raise CjPipelineError("the CJ service has no anchors for it: cj-pipeline eng5 register-anchors")
    return f"{anchors} anchors on {scale}"
