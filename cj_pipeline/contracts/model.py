"""This module defines the base classes of models that travel between services or are read from files."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict


class WireModel(BaseModel):
    """Base of the models that travel between services.

    Unknown fields are kept and written out again: a newer peer must not lose data by passing through an older one.
    NaN and the infinities are not JSON; they are refused on the way in.
    """

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False, protected_namespaces=())


class FileModel(BaseModel):
    """Base of the models that people write by hand: an unknown key is a typing error and is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


def _known_version(value: object) -> object:
    # Python takes `true` and 1.0 for 1.
    if type(value) is not int:
        raise ValueError("is a whole number")
    if value > 1:
        raise ValueError(f"a newer cj-pipeline wrote version {value}; this one reads version 1: upgrade cj-pipeline")
    return value


VersionOne = Annotated[Literal[1], BeforeValidator(_known_version)]
"""The version of a file's schema, while there is one."""
