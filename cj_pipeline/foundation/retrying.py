"""This module holds the retry policy of the repository: the HTTP statuses worth a retry, and how long to wait for one.

A caller that waits uses `retry`; a queue, or a loop that keeps its own count of failures, uses `backoff_s`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from itertools import count
from types import ModuleType
from typing import TypeVar

Result = TypeVar("Result")

# 520 to 524 are Cloudflare's, which most providers use; 529 is an overloaded provider's. To the other
# 5xx (501, 505 ...) the next attempt would get the same answer.
RETRYABLE_STATUSES = frozenset({408, 429, 500, 502, 503, 504, *range(520, 525), 529})


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds: before the second attempt, doubled for each further one, and the most."""

    first_s: float
    most_s: float


def backoff_s(failures: int, waits: Waits) -> float:
    """Return the seconds to wait after so many failures in a row, at least one.

    >>> [backoff_s(failures, Waits(0.5, 30.0)) for failures in (1, 2, 3, 100)]
    [0.5, 1.0, 2.0, 30.0]
    """
    # 64: a float does not overflow, and the longest wait is reached long before.
    return min(waits.most_s, waits.first_s * 2.0 ** min(failures - 1, 64))


async def retry(
    action: Callable[[], Awaitable[Result]],
    *,
    on: Callable[[Exception], float | None],
    waits: Waits,
    attempts: int | None = None,
) -> Result:
    """Return what an action returns, after as many attempts as it needs; raise its last exception when none helps.

    on: the seconds to wait at least after an exception; None when no attempt can help. attempts: at most so many; None
    for as long as it takes.
    """
    failures = count(1)

    def wait_s(error: Exception) -> bool | float:
        # stamina shows it a cancellation too, which is no Exception.
        least_s = on(error) if isinstance(error, Exception) else None
        return False if least_s is None else max(least_s, backoff_s(next(failures), waits))

    result: Result = await _stamina().AsyncRetryingCaller(attempts=attempts, timeout=None)(wait_s, action)
    return result


@cache
def _stamina() -> ModuleType:
    """Import stamina when it is first needed: it takes 0.1 s, and the mock never needs it."""
    import stamina
    import stamina.instrumentation

    # Its hooks write the text of an exception into the log, where it may quote an essay, and count in the process's
    # default registry; the callers here write their own lines.
    stamina.instrumentation.set_on_retry_hooks([])
    return stamina
