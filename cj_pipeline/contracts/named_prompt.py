"""This module names the prompt that a judge was asked with. Its text is in the provenance."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cj_pipeline.contracts.model import FileModel


class NamedPrompt(FileModel):
    """A prompt variant by its name, and the hash of its text."""

    name: Annotated[str, Field(min_length=1)]
    """Name and number of its file, such as `plain.v1`."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of its text; the name is no part of it."""
