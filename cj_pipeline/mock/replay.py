"""This module chooses which recorded answer a request is given again.

One answer is chosen per attempt, by a keyed draw, and every section of model `replay` takes from it. Counting how often
a pair was asked would be closer to a tape, but would make an answer depend on the order of the questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cj_pipeline.contracts.answer import ProviderError
from cj_pipeline.contracts.errors import ErrorCode
from cj_pipeline.contracts.reasons import REASON, TOOK
from cj_pipeline.mock.draws import Draws
from cj_pipeline.mock.mode.mode import Mode, ReplayWinner
from cj_pipeline.mock.mode.recording import RecordedAnswer

_CODES = frozenset(ErrorCode)


@dataclass(frozen=True, slots=True)
class Replayed:
    """The recorded answer chosen for one attempt. `known`: the pair was recorded; otherwise it is any answer at all."""

    answer: RecordedAnswer
    known: bool

    @property
    def failure(self) -> ProviderError | None:
        """The recorded failure. It is final: in a trace stands what was left when retries were over."""
        if not self.known or self.answer.error_code is None:
            return None
        code = self.answer.error_code
        # The recorded message stays where it is: it may quote a prompt.
        details: dict[str, object] = {"recorded_error_code": code}
        if self.answer.status_code is not None:
            details["status_code"] = self.answer.status_code
        if self.answer.reason is not None:
            details[REASON] = self.answer.reason
        if self.answer.response_time_ms > 0:
            details[TOOK] = self.answer.response_time_ms
        return ProviderError(
            ErrorCode(code) if code in _CODES else ErrorCode.EXTERNAL_SERVICE_ERROR,
            f"The recorded comparison of these essays failed ({code}).",
            details,
        )


class ReplayBook:
    """A mode's recording by pair."""

    def __init__(self, mode: Mode) -> None:
        recording = mode.recording
        recorded: Sequence[RecordedAnswer] = () if recording is None else recording.answers
        self._any = [answer for answer in recorded if answer.winner is not None]
        # A failure stands for a winner: where winners come from elsewhere, so does failing.
        kept = recorded if isinstance(mode.winner, ReplayWinner) else self._any
        self._by_pair: dict[tuple[str, str], list[RecordedAnswer]] = {}
        for answer in kept:
            self._by_pair.setdefault((answer.essay_a, answer.essay_b), []).append(answer)

    def choose(self, essay_a: str, essay_b: str, draws: Draws) -> Replayed:
        """One of the pair's answers: as asked, else recorded the other way round, else any that has a winner."""
        pair = self._by_pair.get((essay_a, essay_b)) or self._by_pair.get((essay_b, essay_a))
        among = pair or self._any
        return Replayed(among[int(draws.uniform("replay") * len(among))], known=pair is not None)
