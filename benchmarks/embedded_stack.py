"""How many comparisons does the embedded stack judge in a second, beside httpx calling an ASGI app that does nothing?

    python -m benchmarks.embedded_stack

Virtual time, one process, one core. The empty app is the ceiling: every comparison is one such call, and then it is
validated, queued, judged, published, parsed again and taken in by the engine.
"""

from __future__ import annotations

import asyncio
from statistics import median
from time import perf_counter

import httpx
from starlette.types import Receive, Scope, Send

from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.runs.scenario_run import run_live
from cj_pipeline.traces.scenario import Repeats
from tests.sides import ANCHORS, trace

CALLS = 3_000
ROUNDS = 3


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body, say 202."""
    await receive()
    await send({"type": "http.response.start", "status": 202, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def empty_calls(body: bytes) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=nothing), base_url="http://empty") as client:
        for _ in range(CALLS):
            await client.post("/", content=body, headers={"content-type": "application/json"})


def empty_seconds() -> float:
    start = perf_counter()
    asyncio.run(empty_calls(b"x" * 1_500))
    return perf_counter() - start


def stack_seconds() -> tuple[float, int]:
    """Seconds and comparisons of the anchor scenario with repeats enough to fill them."""
    found = trace(ANCHORS)
    repeats = Repeats(batches=CALLS // 66, comparisons=66)
    live = found.scenario.live.model_copy(update={"repeats": repeats, "callback_budget_s": 100_000.0})
    scenario = found.scenario.model_copy(update={"live": live})
    mode = load_mode(scenario.mode)
    events = [line.event for line in found.callbacks.events]
    start = perf_counter()
    record = run_live(scenario, events, mode)
    return perf_counter() - start, len(record.pooled_callbacks)


def main() -> None:
    stack_seconds()
    ceiling = CALLS / median(empty_seconds() for _ in range(ROUNDS))
    runs = [stack_seconds() for _ in range(ROUNDS)]
    rate = median(comparisons / seconds for seconds, comparisons in runs)
    print("| what | per second | of the ceiling |")
    print("|---|---|---|")
    print(f"| httpx, an ASGI app that does nothing | {ceiling:,.0f} | 1.00 |")
    print(f"| a comparison on the embedded stack, engine included | {rate:,.0f} | {rate / ceiling:.2f} |")


if __name__ == "__main__":
    main()
