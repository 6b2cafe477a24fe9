"""This module holds a first-in, first-out list of items that a task waits for."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Inbox(Generic[Item]):
    """First in, first out; cancelling a wait loses nothing."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._filled = asyncio.Event()

    def add(self, item: Item) -> None:
        """Put one more at the end."""
        self._items.append(item)
        self._filled.set()

    async def take(self, most: int) -> tuple[Item, ...]:
        """Wait for at least one; at most so many."""
        while not self._items:
            self._filled.clear()
            await self._filled.wait()
        return tuple(self._items.popleft() for _ in range(min(most, len(self._items))))
