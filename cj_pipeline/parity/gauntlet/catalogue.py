"""This module lists the wrong mocks that are drawn: the essential ones, and the others."""

from __future__ import annotations

from collections.abc import Mapping

from cj_pipeline.parity.gauntlet import errors, judgements, measures, tokens
from cj_pipeline.parity.gauntlet.wrong_mock import DrawnMock, Group
from cj_pipeline.parity.power import WrongMock

ESSENTIAL: Mapping[WrongMock, tuple[Group, str]] = {
    WrongMock.COIN: (Group.JUDGEMENTS, "tosses a coin"),
    WrongMock.BLIND_COIN: (Group.JUDGEMENTS, "tosses a coin that shows A as often as the judge"),
    WrongMock.INVERTED: (Group.JUDGEMENTS, "always gives the other answer"),
    WrongMock.FIRST_SHOWN: (Group.JUDGEMENTS, "always takes the first essay"),
    WrongMock.INSTANT: (Group.TIME, "takes no time"),
    WrongMock.TOKENS: (Group.TOKENS, "bills 40 % more tokens"),
    WrongMock.OTHER_MODEL: (Group.VALUES, "answers as another model"),
    WrongMock.LOST_FIELD: (Group.VALUES, "leaves a field out"),
}
"""Group and change of the wrong mocks that every proof of parity must find; power.py draws them."""

DRAWN: tuple[DrawnMock, ...] = (
    *judgements.MOCKS,
    *measures.TIME,
    *tokens.MOCKS,
    *errors.MOCKS,
    *measures.CONFIDENCE,
)
