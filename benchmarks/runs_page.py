"""How long does the webserver take for its page of runs while a backfill runs?"""

from __future__ import annotations

import statistics
import threading
import time
from typing import Self

import httpx

from cj_pipeline.local.ports import free_port
from cj_pipeline.local.server import Server
from tests.dagster_floor.machines import Machines

EVERY_S = 2.0
QUERY = """query { runsOrError(limit: 25) { ... on Runs { results {
    runId status startTime endTime tags { key value } assetSelection { path } } } } }"""


def webserver(machines: Machines, port: int) -> Server:
    """Return the webserver of a deployment."""
    return machines.program("webserver", "dagster-webserver", "-h", "127.0.0.1", "-p", port, ready="Serving")


class RunsPage:
    """A context manager that starts the webserver, and asks it for the newest runs again and again."""

    def __init__(self, machines: Machines) -> None:
        port = free_port()
        self._url = f"http://127.0.0.1:{port}/graphql"
        self._server = webserver(machines, port)
        self._took: list[float] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> Self:
        self._server.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._server.stop()

    def figures(self) -> dict[str, object]:
        """Return the median and the longest answer in seconds."""
        took = list(self._took)
        if not took:
            return {}
        return {"page_median_s": round(statistics.median(took), 2), "page_longest_s": round(max(took), 2)}

    def _ask(self) -> None:
        with httpx.Client(timeout=120.0, trust_env=False) as client:
            while not self._end.wait(EVERY_S):
                begun = time.monotonic()
                answer = client.post(self._url, json={"query": QUERY})
                answer.raise_for_status()
                self._took.append(time.monotonic() - begun)
