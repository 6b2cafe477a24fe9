"""This module evaluates the kinds of PromQL queries that the runbook has, over what two services counted in one run.

A query of anything else, of a series that no service has, or of a label that a series lacks, is refused.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf

from tests.eng5.batching_modes import Samples
from tests.house import REPOSITORY

Labels = tuple[tuple[str, str], ...]
Vector = dict[Labels, float]

_TOKEN = re.compile(r'\s*("[^"]*"|\[\d+[smhd]\]|[A-Za-z_:][\w:]*|\d+(?:\.\d+)?|=~|!=|[(){},=/>])')
_ROW = re.compile(r"^\| `(\w+)` \| ([CGH]) \| ([\w, ]*) \|", re.MULTILINE)
_OF_HISTOGRAMS = ("_bucket", "_sum", "_count")
_AGGREGATES: Mapping[str, Callable[[list[float]], float]] = {"sum": sum, "max": max}


def declared() -> dict[str, tuple[str, set[str]]]:
    """Kind and labels of every series of both services, as a scrape names them."""
    found: dict[str, tuple[str, set[str]]] = {}
    for page in ("cj.md", "lps.md"):
        for name, kind, labels in _ROW.findall((REPOSITORY / "docs" / page).read_text(encoding="utf-8")):
            known = {label.strip() for label in labels.split(",") if label.strip()}
            for suffix in _OF_HISTOGRAMS if kind == "H" else ("",):
                found[name + suffix] = (kind, known | ({"le"} if suffix == "_bucket" else set()))
    return found


@dataclass
class Query:
    """One query. samples: what was counted; seconds: in how long."""

    text: str
    samples: Samples
    seconds: float

    def value(self) -> Vector:
        """Evaluate it. Raises ValueError saying what it cannot be."""
        self._tokens = [match.group(1) for match in _TOKEN.finditer(self.text)]
        if "".join(self._tokens) != re.sub(r"\s+", "", self.text.replace("by (", "by(")).replace(") (", ")("):
            raise ValueError(f"{self.text}: not understood")
        self._declared = declared()
        found = self._binary()
        if self._tokens:
            raise ValueError(f"{self.text}: {self._tokens[0]} is too much")
        return found

    def _take(self, wanted: str | None = None) -> str:
        if not self._tokens or (wanted is not None and self._tokens[0] != wanted):
            raise ValueError(f"{self.text}: {wanted or 'more'} is missing")
        return self._tokens.pop(0)

    def _binary(self) -> Vector:
        left = self._operand()
        if self._tokens and self._tokens[0] == "/":
            self._take()
            right = self._operand()
            return {key: value / right[key] if right[key] else inf for key, value in left.items() if key in right}
        if self._tokens and self._tokens[0] == ">":
            self._take()
            limit = float(self._take())
            return {key: value for key, value in left.items() if value > limit}
        return left

    def _operand(self) -> Vector:
        word = self._take()
        if word in _AGGREGATES:
            return self._aggregate(_AGGREGATES[word])
        if word == "histogram_quantile":
            self._take("(")
            share = float(self._take())
            self._take(",")
            buckets = self._operand()
            self._take(")")
            return _quantile(share, buckets)
        if word in ("increase", "rate"):
            self._take("(")
            name = self._take()
            kind, _ = self._of(name)
            if kind == "G":
                raise ValueError(f"{self.text}: {word} of the gauge {name}")
            found = self._select(name)
            if not re.fullmatch(r"\[\d+[smhd]\]", self._take()):
                raise ValueError(f"{self.text}: a window is missing")
            self._take(")")
            return {key: value / (self.seconds if word == "rate" else 1) for key, value in found.items()}
        kind, _ = self._of(word)
        if kind != "G":
            raise ValueError(f"{self.text}: {word} only grows; ask for its increase")
        return self._select(word)

    def _aggregate(self, combine: Callable[[list[float]], float]) -> Vector:
        by: list[str] = []
        if self._tokens[0] == "by":
            self._take()
            self._take("(")
            by = self._names()
        self._take("(")
        name = next((token for token in self._tokens if token in self._declared), None)
        found = self._operand()
        self._take(")")
        if name is not None and (strange := set(by) - self._declared[name][1]):
            raise ValueError(f"{self.text}: {name} has no label {sorted(strange)[0]}")
        groups: defaultdict[Labels, list[float]] = defaultdict(list)
        for key, value in found.items():
            groups[tuple((label, dict(key)[label]) for label in by)].append(value)
        return {key: combine(values) for key, values in groups.items()}

    def _names(self) -> list[str]:
        names = []
        while (token := self._take()) != ")":
            if token != ",":
                names.append(token)
        return names

    def _of(self, name: str) -> tuple[str, set[str]]:
        if name not in self._declared:
            raise ValueError(f"{self.text}: no service has the series {name}")
        return self._declared[name]

    def _select(self, name: str) -> Vector:
        wanted: dict[str, str] = {}
        if self._tokens and self._tokens[0] == "{":
            self._take()
            while (label := self._take()) != "}":
                if label == ",":
                    continue
                if label not in self._of(name)[1]:
                    raise ValueError(f"{self.text}: {name} has no label {label}")
                self._take("=")
                wanted[label] = self._take().strip('"')
        return {
            labels: value
            for (found, labels), value in self.samples.items()
            if found == name and wanted.items() <= dict(labels).items()
        }


def _quantile(share: float, buckets: Vector) -> Vector:
    """The quantile of one histogram, linear within a bucket as Prometheus has it; empty where nothing was counted."""
    edges = sorted(
        (inf if dict(key)["le"] == "+Inf" else float(dict(key)["le"]), value) for key, value in buckets.items()
    )
    if not edges or not edges[-1][1]:
        return {}
    rank, low, below = share * edges[-1][1], 0.0, 0.0
    for high, count in edges:
        if count >= rank:
            return {(): low if high == inf else low + (high - low) * (rank - below) / max(count - below, 1e-12)}
        low, below = high, count
    raise AssertionError("the last bucket holds everything")
