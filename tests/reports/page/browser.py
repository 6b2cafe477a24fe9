"""This module looks at a page in a real browser: how wide its content is, and what it looks like."""

from __future__ import annotations

import re
import shutil
import subprocess
from html import escape
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
    "--allow-file-access-from-files",
)  # fmt: skip

# No window is narrower than 500 pixels: a frame is. It says how far its content reaches.
_FRAME = """<!DOCTYPE html><html><body style="margin:0"><iframe id="f" src="{source}"
 style="border:0;width:{width}px;height:{height}px"></iframe><script>
onload = () => {{ const page = document.getElementById("f").contentDocument.documentElement;
 document.title = "reaches " + page.scrollWidth + " of " + page.clientWidth }}
</script></body></html>"""


def browser_binary() -> str | None:
    """Return the browser of this machine; None without one."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def missing() -> str | None:
    """Return why nothing can be looked at here; None where a browser is."""
    return None if browser_binary() else "no browser is installed (apt-get install chromium)"


def reach(page: Path, width: int, folder: Path, *, height: int = 900) -> tuple[int, int]:
    """Return how far the content of a page reaches to the right, and how much it sees, in pixels."""
    answer = _run(folder, _framed(page, width, height, folder), "--dump-dom", dark=False, size=(width, height))
    found = re.search(r"<title>reaches (\d+) of (\d+)</title>", answer)
    assert found is not None, answer[:500]
    return int(found[1]), int(found[2])


def screenshot(page: Path, picture: Path, width: int, height: int, *, dark: bool, folder: Path) -> Path:
    """Take a picture of the top of a page."""
    framed = _framed(page, width, height, folder)
    _run(folder, framed, f"--screenshot={picture}", dark=dark, size=(width, height))
    return picture


def _framed(page: Path, width: int, height: int, folder: Path) -> Path:
    frame = folder / f"frame-{width}.html"
    frame.write_text(_FRAME.format(source=escape(page.as_uri()), width=width, height=height), encoding="utf-8")
    return frame


def _run(folder: Path, page: Path, what: str, *, dark: bool, size: tuple[int, int]) -> str:
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [
        str(browser_binary()),
        *FLAGS,
        scheme,
        profile,
        what,
        f"--window-size={size[0]},{size[1]}",
        page.as_uri(),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
