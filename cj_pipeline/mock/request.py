"""This module holds what the mock reads of a request, so that it needs no service to draw an answer."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID


class MockRequest(Protocol):
    """One comparison, as the mock sees it."""

    @property
    def correlation_id(self) -> UUID:
        """The key of every draw."""
        ...

    @property
    def model_override(self) -> str | None:
        """The model that the request names; the answer repeats it."""
        ...

    @property
    def prompt_sha256(self) -> str:
        """Lower-case hex of the prompt."""
        ...

    @property
    def user_prompt(self) -> str:
        """The prompt itself; its words are counted as tokens."""
        ...

    def essay_ids(self) -> tuple[str, str] | None:
        """Return the essays shown as A and as B; None when the metadata does not name both."""
        ...
