"""This module holds what the mock reads of a request, so that it needs no service to draw an answer."""

from __future__ import annotations

from typing import Protocol


class MockRequest(Protocol):
    """One comparison, as the mock sees it."""

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
