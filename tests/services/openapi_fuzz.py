"""This module holds an app to its own OpenAPI document, by schemathesis."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Per operation, for each of the phases that draw.
EXAMPLES_DRAWN = 8


@contextmanager
def in_a_thread(make: Callable[[], AbstractAsyncContextManager[ASGIApp]]) -> Iterator[ASGIApp]:
    """Run an app on a loop of its own, in a thread; what is returned can be called from any other loop."""
    loop = asyncio.new_event_loop()
    started, stop = threading.Event(), asyncio.Event()
    apps: list[ASGIApp] = []

    async def serve() -> None:
        async with make() as app:
            apps.append(app)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(30)

    async def there(scope: Scope, received: list[Message]) -> list[Message]:
        sent: list[Message] = []

        async def receive() -> Message:
            return received.pop(0) if received else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        await apps[0](scope, receive, send)
        return sent

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        received = [await receive()]
        while received[-1].get("more_body"):
            received.append(await receive())
        for message in await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(there(scope, received), loop)):
            await send(message)

    try:
        yield app
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()


def complaints(
    app: ASGIApp, headers: dict[str, str], path: str | None = None, **config: Any
) -> tuple[list[str], set[str]]:
    """What schemathesis finds wrong, with all its checks and phases on; and the names of the checks that it made.

    config: further keys of its own configuration.
    """
    read = SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "headers": headers,
            "generation": {"max-examples": EXAMPLES_DRAWN, "database": "none"},
            **config,
        }
    )
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, config=read)
    schema.validate()
    if path is not None:
        schema = schema.include(path=path)
    found, checks = [], set()
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError):
            found.append(f"{event.label}: {event.info.format()}")
        elif isinstance(event, events.FatalError):
            raise event.exception
        elif isinstance(event, events.ScenarioFinished):
            for made in event.recorder.checks.values():
                checks |= {check.name for check in made}
                found += [
                    f"{event.label}: {check.name}: {failed.failure.message}\n{failed.code_sample}"
                    for check in made
                    if (failed := check.failure_info) is not None
                ]
    return found, checks
