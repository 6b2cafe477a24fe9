"""This module turns a drawing of matplotlib into SVG that is part of a page: small, with text as text, in its colours.

Nothing in it needs a style sheet of its own, so the page's Content-Security-Policy can forbid every other one.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup

from cj_pipeline.foundation.text import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours that matplotlib draws in, and what the page gives them in its light and its dark form.
INK, RECORDED, LIVE, GRID, BAND = "#000000", "#0072b2", "#d55e00", "#dddddd", "#eeeeee"
_VARIABLES = {
    INK: "currentColor",
    RECORDED: "var(--recorded)",
    LIVE: "var(--live)",
    GRID: "var(--grid)",
    BAND: "var(--band)",
}

_WIDTH_INCHES = 4.4
_LONGEST_LABEL = 22

_SETTINGS: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a label is data: `$` in it is a dollar
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "grid.color": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.solid_capstyle": "butt",
}


def draw(name: str, title: str, height: float, onto: Callable[[Axes], None]) -> Markup:
    """Return a figure as an SVG element. name: of no other on the page; height: in inches; title: for readers."""
    from matplotlib.figure import Figure  # here: it takes a third of a second, and most commands draw nothing

    with _settings(name):
        figure = Figure(figsize=(_WIDTH_INCHES, height), layout="constrained")
        onto(figure.subplots())
        return _element(figure, name, title)


def shortened(label: str) -> str:
    """Return a label that leaves room for the figure, with what is not printable shown as escapes."""
    text = plain(label)
    return text if len(text) <= _LONGEST_LABEL else f"{text[: _LONGEST_LABEL - 1]}…"


@contextmanager
def _settings(name: str) -> Iterator[None]:
    from matplotlib import rc_context

    # The ids in the SVG follow from the salt, so the same report gives the same bytes.
    with warnings.catch_warnings(), rc_context({**_SETTINGS, "svg.hashsalt": name}):
        # The browser draws the text, in fonts that know more letters than the one matplotlib measures with.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        yield


def _element(figure: Figure, name: str, title: str) -> Markup:
    buffer = BytesIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    root = ElementTree.fromstring(buffer.getvalue())  # noqa: S314 - matplotlib's own, with every text escaped
    for parent in list(root.iter()):
        for child in [one for one in parent if _local(one.tag) in ("style", "metadata")]:
            parent.remove(child)
    used = set(re.findall(r'(?:url\(|href=")#([\w-]+)', buffer.getvalue().decode()))
    for element in root.iter():
        element.tag = _local(element.tag)
        attributes = {_local(key): value for key, value in element.attrib.items()}
        element.attrib.clear()
        for key, value in (attributes | _presentation(attributes.pop("style", ""))).items():
            if key == "id" and value not in used:
                continue
            element.set(key, _named(key, _VARIABLES.get(value.lower(), value), name))
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("aria-label", plain(title))
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704 - serialised, so escaped


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _named(key: str, value: str, name: str) -> str:
    """Return an id, or a reference to one, as one of this figure alone."""
    if key == "id":
        return f"{name}-{value}"
    return value.replace("#", f"#{name}-") if key in ("href", "clip-path") else value


def _presentation(style: str) -> dict[str, str]:
    """Return a style as presentation attributes. Of a font only the size stays: its family is the page's."""
    found = {}
    for declaration in filter(None, (part.strip() for part in style.split(";"))):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        if key == "font":
            found["font-size"] = re.findall(r"[\d.]+(?=px)", value)[0]
        else:
            found[key] = value
    return found
