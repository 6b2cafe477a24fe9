"""A case on two processes, `cj-pipeline lps serve` and `cj-pipeline cj serve`, that share a folder bus, in real time.

Here: the CJ process, the content service it reads essays from, the evidence of its database. Not here: the LPS process
(tests/services/lps/served.py), what must come of a case (rules.py).
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from cj_pipeline.bus.folder import FolderBus
from cj_pipeline.contracts.els_request import ASSESSMENT_REQUEST_TOPIC
from cj_pipeline.contracts.topics import COMPARISON_RESULT_TOPIC
from cj_pipeline.runs.virtual_time import run_real
from cj_pipeline.services.cj.settings import ENVIRONMENT_PREFIX
from cj_pipeline.services.cj.store.database import Database
from tests.services.cj.suites.cases import Case
from tests.services.cj.suites.evidence import Evidence, evidence_of_database
from tests.services.cj.suites.targets import (
    OUTPUTS,
    cj_settings,
    documents,
    end_of,
    lps_settings,
    metrics_of,
    whole_topic,
)
from tests.services.lps.served import Served as ServedLps

CLI = Path(sys.executable).with_name("cj-pipeline")

START_S = 30.0
STOP_S = 20.0

# A line in a folder is seen within 20 ms; by then an LPS with an empty queue has said all it will.
SILENCE_S = 0.3


@dataclass(frozen=True)
class TwoProcesses:
    """Both services as a team deploys them, without a broker. lps: settings on top of the case's."""

    lps: tuple[tuple[str, Any], ...] = ()
    name: str = "served"

    def run(self, case: Case) -> Evidence:
        return run_real(self.play(case))

    async def play(self, case: Case) -> Evidence:
        """The same on a loop that others use too; it stands still for the second that an LPS takes to start."""
        case = replace(case, lps={**case.lps, **dict(self.lps)})
        with (
            tempfile.TemporaryDirectory() as folder,
            ServedLps(Path(folder), **{"log_level": "ERROR", **lps_settings(case)}) as lps,
        ):
            return await _run(case, lps, Path(folder))


async def _run(case: Case, lps: ServedLps, folder: Path) -> Evidence:
    database_url = f"sqlite:///{folder / 'cj.db'}"
    bus = FolderBus(lps.folder)
    async with content_service(case) as content_url, httpx.AsyncClient(base_url=lps.url, trust_env=False) as client:
        settings = {**cj_settings(case, f"{lps.url}/api/v1"), "content_service_url": content_url}
        async with cj_process(folder, lps.folder, database_url, settings) as own:
            mock = (await client.get("/admin/mock-mode")).json()
            await bus.publish(ASSESSMENT_REQUEST_TOPIC, case.request(datetime.now(UTC)))
            async with asyncio.timeout(case.budget_s):
                await end_of(bus)
            topic = await whole_topic(bus.subscribe(COMPARISON_RESULT_TOPIC), SILENCE_S)
            published = {name: await documents(bus.subscribe(name), SILENCE_S) for name in OUTPUTS}
            lps_metrics, cj_metrics = await metrics_of(client), await metrics_of(own)
        database = Database(database_url)
        try:
            return await evidence_of_database(
                case,
                database,
                topic=topic,
                mock=mock,
                lps_metrics=lps_metrics,
                cj_metrics=cj_metrics,
                published=published,
            )
        finally:
            await database.aclose()


@asynccontextmanager
async def cj_process(
    folder: Path, bus_folder: Path, database_url: str, settings: dict[str, Any]
) -> AsyncIterator[httpx.AsyncClient]:
    """`cj-pipeline cj serve`, from where it listens until it has ended well on SIGTERM; a client of its HTTP."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith((ENVIRONMENT_PREFIX, "CJ_PIPELINE_"))
    }
    asked = {"log_level": "ERROR", **settings}
    log = folder / "cj.log"
    with log.open("ab") as stream:
        process = await asyncio.create_subprocess_exec(
            *(CLI, "cj", "serve", "--host", "127.0.0.1", "--port", "0"),
            *("--database", database_url, "--bus", bus_folder),
            env=inherited | {f"{ENVIRONMENT_PREFIX}{name.upper()}": str(value) for name, value in asked.items()},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stream,
        )
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), START_S)).decode()
        assert line.startswith("listening on "), f"the service did not start; it said:\n{log.read_text()[-4000:]}"
        async with httpx.AsyncClient(base_url=line.split()[-1], trust_env=False) as client:
            assert (await client.get("/healthz")).json()["status"] == "healthy"
            yield client
        process.terminate()
        assert await asyncio.wait_for(process.wait(), STOP_S) == 0
        assert log.read_text() == "", "a batch that ends well leaves no error in the log"
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@asynccontextmanager
async def content_service(case: Case) -> AsyncIterator[str]:
    """GET /v1/content/{id} over the case's essays; its URL."""
    stored = case.stored()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        essay = stored.get(request.split()[1].rpartition("/")[2])
        text = b"" if essay is None else case.text_of(essay).encode()
        status = "404 Not Found" if essay is None else "200 OK"
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + text)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    listening = socket.create_server(("127.0.0.1", 0))
    server = await asyncio.start_server(answer, sock=listening)
    async with server:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1/content"
