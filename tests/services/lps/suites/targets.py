"""Where a profile suite runs: a service that it can post to, and a bus that brings its callbacks.

Here: the embedded service in virtual time, and a served process in real time. Not here: what is asked and held
(profiles.py). A further target (a team's own service, a broker) needs `run` and `service`, nothing else.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx

from cj_pipeline.bus.folder import FolderBus
from cj_pipeline.bus.protocol import Subscription
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.runs.stack import embedded_stack
from cj_pipeline.runs.virtual_time import run_real, run_virtual
from cj_pipeline.services.lps.settings import ENVIRONMENT_PREFIX, LpsSettings

Result = TypeVar("Result")

START_S = 20.0
STOP_S = 10.0


@dataclass(frozen=True)
class Endpoint:
    """A running service, as a suite sees it. client: its base URL is set."""

    client: httpx.AsyncClient
    subscribe: Callable[[str], Subscription]


class Target(Protocol):
    """A kind of service."""

    name: str

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a suite on the kind of loop that this service needs."""
        ...

    def service(self, mode: str, **settings: Any) -> AbstractAsyncContextManager[Endpoint]:
        """A fresh service under a mode expression, for as long as the context lasts."""
        ...


class Embedded:
    """The HTTP app in this process, on simulated time."""

    name = "embedded"

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return run_virtual(work)

    @asynccontextmanager
    async def service(self, mode: str, **settings: Any) -> AsyncIterator[Endpoint]:
        explicit = LpsSettings(use_mock_llm=True, mock_mode=mode, **settings)
        async with embedded_stack(explicit, load_mode(mode)) as stack:
            yield Endpoint(stack.client, stack.bus.subscribe)


class Served:
    """A process of its own on a port of this machine, its callbacks in a folder, in real time."""

    name = "served"

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return run_real(work)

    @asynccontextmanager
    async def service(self, mode: str, **settings: Any) -> AsyncIterator[Endpoint]:
        asked = {"use_mock_llm": True, "mock_mode": mode, "log_level": "ERROR", **settings}
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT_PREFIX)}
        environment |= {f"{ENVIRONMENT_PREFIX}{name.upper()}": str(value) for name, value in asked.items()}
        with tempfile.TemporaryDirectory() as folder:
            process = await asyncio.create_subprocess_exec(
                *(Path(sys.executable).with_name("cj-pipeline"), "lps", "serve"),
                *("--host", "127.0.0.1", "--port", "0", "--callbacks", folder),
                env=environment,
                stdout=asyncio.subprocess.PIPE,
            )
            try:
                assert process.stdout is not None
                line = (await asyncio.wait_for(process.stdout.readline(), START_S)).decode()
                assert line.startswith("listening on "), f"the service did not start: {line!r}"
                async with httpx.AsyncClient(base_url=line.split()[-1], trust_env=False) as client:
                    yield Endpoint(client, FolderBus(Path(folder)).subscribe)
            finally:
                if process.returncode is None:
                    process.terminate()
                    try:
                        await asyncio.wait_for(process.wait(), STOP_S)
                    except TimeoutError:
                        process.kill()
                        await process.wait()


EMBEDDED = Embedded()
SERVED = Served()

# Answers of 1.6 s, one after another, would take a served suite a minute and a half; ten at a time take seconds.
IN_A_HURRY = {"llm_max_concurrent_requests": 10}
