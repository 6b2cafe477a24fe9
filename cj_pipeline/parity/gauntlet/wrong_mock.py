"""This module says what a wrong mock is: a name, a group, what it changes, and how its live sides are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from cj_pipeline.parity.comparison import Sample
from cj_pipeline.parity.gauntlet.faithful import Faithful


class Group(StrEnum):
    """What a wrong mock is wrong about."""

    JUDGEMENTS = "judgements"
    TIME = "time"
    TOKENS = "tokens"
    ERRORS = "errors"
    VALUES = "values"
    DELIVERY = "delivery"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Why a wrong mock is not looked for."""

    reason: str


SAME = LeftOut("the recorded judge does the same")

Draw = Callable[[Faithful], Sample | LeftOut]


@dataclass(frozen=True, slots=True, eq=False)
class DrawnMock:
    """A change of the judge model. change: what the mock does, as the end of a sentence: "A mock that ...".

    draw: live sides with the parts that the mock changes, as many as there are faithful ones.
    """

    name: str
    group: Group
    change: str
    draw: Draw
