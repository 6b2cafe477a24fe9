"""This module drives a real browser over its DevTools protocol: open a page, wait for its words, take a picture."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
from PIL import Image
from websockets.sync.client import ClientConnection, connect

from tests.reports.page.browser import FLAGS, browser_binary

WIDTH, HEIGHT = 1200, 900
PATIENCE_S = 240.0

# Of the pictures in docs: the UI has few colours, and a third of the bytes will do.
COLOURS = 128


class Page:
    """One tab. problems: what its console called an error, or its scripts threw."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._last = socket, 0
        self.problems: list[str] = []
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def open(self, url: str, *words: str) -> str:
        """Go to a page, wait until it shows all these words, and return its text."""
        self._call("Page.navigate", url=url)
        return self.wait_for(*words)

    def wait_for(self, *words: str) -> str:
        """Wait until the page shows all these words; return its text."""
        return self.wait_until(lambda text: all(word in text for word in words), f"all of {words}")

    def wait_until(self, holds: Callable[[str], bool], what: str) -> str:
        """Wait until something holds of the text of the page; return it. what: in the words of who waits."""
        end, text = monotonic() + PATIENCE_S, ""
        while monotonic() < end:
            text = self.text()
            if holds(text):
                return text
            sleep(0.2)
        raise AssertionError(f"{what} is not on {self.run('location.href')}, which shows:\n{text}")

    def text(self) -> str:
        """Return what a reader sees of the page, scrolled away or not."""
        return str(self.run("document.body ? document.body.innerText : ''"))

    def scroll_to(self, words: str) -> None:
        """Bring the last element with exactly this text into view."""
        self.run(
            f"[...document.querySelectorAll('*')].filter(one => one.innerText === {json.dumps(words)})"
            ".pop().scrollIntoView()"
        )

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self, file: Path) -> None:
        """Write what is in view as a small PNG, once it has stopped moving."""
        sleep(1.5)
        shown = base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"])
        image = Image.open(BytesIO(shown)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
        image.save(file, optimize=True)

    def _call(self, method: str, **params: object) -> Any:
        self._last += 1
        self._socket.send(json.dumps({"id": self._last, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=PATIENCE_S))
            if message.get("id") == self._last:
                assert "error" not in message, message
                return message["result"]
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.problems.append(json.dumps(params["exceptionDetails"])[:500])
            case "Runtime.consoleAPICalled" if params["type"] == "error":
                self.problems.append(json.dumps(params["args"])[:500])
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.problems.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """Start a browser with a profile of its own below a folder."""
    command = [
        str(browser_binary()),
        *FLAGS,
        "--remote-debugging-port=0",
        f"--user-data-dir={folder / 'browser'}",
        f"--window-size={WIDTH},{HEIGHT}",
        "about:blank",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stderr is not None
            said = (re.search(r"DevTools listening on ws://([\d.:]+)/", line) for line in process.stderr)
            address = next(found[1] for found in said if found)
            tabs = httpx.get(f"http://{address}/json").raise_for_status().json()
            (tab,) = [one for one in tabs if one["type"] == "page"]
            with connect(tab["webSocketDebuggerUrl"], max_size=None) as socket:
                page = Page(socket)
                page._call(
                    "Emulation.setDeviceMetricsOverride", width=WIDTH, height=HEIGHT, deviceScaleFactor=1, mobile=False
                )
                yield page
        finally:
            process.terminate()
