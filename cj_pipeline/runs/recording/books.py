"""This module keeps the books of a recording: one purse for all runs, written down run by run."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol
from uuid import UUID

from cj_pipeline.contracts.callback import CallbackEvent
from cj_pipeline.contracts.comparison import ComparisonRequest
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.runs.recording.deployed import cost_of
from cj_pipeline.runs.recording.draft import RunDraft
from cj_pipeline.runs.recording.prompts import PromptVariant
from cj_pipeline.runs.recording.request import RecordingRequest
from cj_pipeline.runs.recording.spending import Meter, OpenPurse, Price, Purse
from cj_pipeline.runs.stack import Stack
from cj_pipeline.traces.recording_provenance import RecordedJudge

# Of a request's JSON beside its texts: keys, and the schema of the answer.
_AROUND_THE_TEXTS_BYTES = 2048


class JudgeBehindLps(Protocol):
    """A real provider behind an LPS, embedded or deployed, ready to be entered."""

    @property
    def judge(self) -> RecordedJudge:
        """Who is asked, and how."""
        ...

    @property
    def price(self) -> Price | None:
        """What a token costs; None where nobody knows."""
        ...

    @property
    def most_output_tokens(self) -> int:
        """What one answer may have."""
        ...

    @property
    def on_this_machine(self) -> bool:
        """Whether the model runs here."""
        ...

    @property
    def missing_key(self) -> str:
        """The variable that should name a key and does not; empty where none is wanted."""
        ...

    @property
    def through(self) -> Literal["embedded LPS", "deployed LPS"]:
        """Which LPS it is."""
        ...

    @property
    def answers_once(self) -> bool:
        """Whether the LPS outlives a session and answers a correlation id once, however often it is posted."""
        ...

    def entered(self, purse: Purse, calls_before: int) -> AbstractAsyncContextManager[tuple[Stack, Meter]]:
        """Return the running stack and the meter of its calls."""
        ...


def require_price(request: RecordingRequest, judge: JudgeBehindLps) -> None:
    """Raise BadInput for a limit where nobody knows what a token costs, and for one that some call is beyond."""
    if request.budget_usd is None:
        return
    if judge.price is None:
        raise BadInput(
            f"nobody knows what {request.judge.model} costs, so no limit could hold.",
            path="record",
            field="budget_usd",
            remedy="State its price: --price-per-million INPUT OUTPUT.",
        )
    worst = worst_call_usd(judge, judge.price, request.prompt, request.essays.texts)
    if worst > request.budget_usd:
        raise BadInput(
            f"{request.budget_usd:g} USD do not allow one call about the two longest essays, which may cost "
            f"{worst:.4g} USD at its worst.",
            path="record",
            field="budget_usd",
            remedy="Give more, or fewer --max-tokens.",
        )


def worst_call_usd(judge: JudgeBehindLps, price: Price, prompt: PromptVariant, texts: Mapping[str, str]) -> float:
    """Return the most that one call about the two longest essays can cost, US dollars."""
    longest = sum(sorted(len(text.encode()) for text in texts.values())[-2:])
    around = "".join((prompt.system, prompt.context(), prompt.question)).encode()
    return price.of(longest + len(around) + _AROUND_THE_TEXTS_BYTES, judge.most_output_tokens)


def require_key(judge: JudgeBehindLps) -> None:
    """Raise BadInput where a provider wants a key that nobody gave."""
    if judge.missing_key:
        raise BadInput(
            "no key is set.", path="environment", field=judge.missing_key, remedy=f"export {judge.missing_key}=..."
        )


class Books:
    """Spending of a recording. The meter of an embedded LPS reserves and settles itself, call by call."""

    def __init__(
        self, spent_usd: float, limit: float | None, judge: JudgeBehindLps, open_purse: OpenPurse = Purse
    ) -> None:
        """Open the books. spent_usd: before this session, at most. open_purse: of a shared one."""
        self.purse = open_purse(limit, spent_usd, lambda _: self._write())
        self.meter: Meter | None = None
        self._by_callback = judge.answers_once
        self._reserved: dict[UUID, float] = {}
        self._run: RunDraft | None = None
        self._usd_of_others = 0.0
        self._calls_of_others = 0

    def turn_to(self, run: RunDraft) -> None:
        """Write further spending down as this run's."""
        self._usd_of_others = self.purse.exposure - run.exposure_usd
        self._calls_of_others = (0 if self.meter is None else self.meter.calls) - run.calls
        self._run = run

    def affords(self, request: ComparisonRequest, in_flight: int) -> bool:
        """Return whether one more comparison can be paid for at its worst, beside those in flight."""
        return self.purse.affords(self._worst(request) * (1 + in_flight) - self.purse.reserved)

    def asked(self, request: ComparisonRequest, correlation_id: UUID) -> None:
        """Set the worst price of a comparison aside where its calls are not seen from here."""
        if self._by_callback and self.meter is not None:
            self.meter.calls += 1
            worst = self._worst(request)
            if self.purse.reserve(worst):
                self._reserved[correlation_id] = worst

    def came(self, event: CallbackEvent) -> None:
        """Note what is spent, now that a comparison has its callback."""
        if self._by_callback:
            self.purse.settle(self._reserved.pop(event.data.correlation_id, 0.0), cost_of(event.data))
        self._write()

    def _worst(self, request: ComparisonRequest) -> float:
        overrides = request.llm_config_overrides
        system = "" if overrides is None else overrides.system_prompt_override or ""
        size = len((request.user_prompt + system).encode()) + _AROUND_THE_TEXTS_BYTES
        return 0.0 if self.meter is None else self.meter.worst_usd(size)

    def _write(self) -> None:
        if self._run is not None and self.meter is not None:
            usd = max(0.0, self.purse.exposure - self._usd_of_others)
            self._run.exposed(usd, self.meter.calls - self._calls_of_others)
