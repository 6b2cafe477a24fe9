"""This module sets up who answers an embedded run: the mock, or a real model behind the LPS in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from cj_pipeline.contracts.enums import LLMBatchingMode, Provider
from cj_pipeline.eng5.batching import QUEUE_MODES
from cj_pipeline.eng5.options import JudgeKind, RunnerOptions
from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.mock.mode.files import load_mode
from cj_pipeline.mock.mode.mode import Mode
from cj_pipeline.runs.recording.books import JudgeBehindLps
from cj_pipeline.runs.recording.embedded import EmbeddedJudge, embedded_judge
from cj_pipeline.runs.recording.spending import CallCounter, Price, Purse
from cj_pipeline.runs.stack import Stack, embedded_stack
from cj_pipeline.services.lps.providers.manifest import load_manifest
from cj_pipeline.services.lps.settings import LpsSettings, settings_from_environment
from cj_pipeline.traces.recording_provenance import RecordedJudge

FREE = Price(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class MockJudge:
    """The mock behind the embedded LPS; it answers under the name of the provider that is asked."""

    judge: RecordedJudge
    mode: Mode
    settings: LpsSettings
    price: Price | None = FREE
    most_output_tokens: int = 4096
    on_this_machine: bool = True
    missing_key: str = ""
    through: Literal["embedded LPS", "deployed LPS"] = "embedded LPS"
    answers_once: bool = False

    @asynccontextmanager
    async def entered(self, purse: Purse, calls_before: int) -> AsyncIterator[tuple[Stack, CallCounter]]:
        """Yield the running stack, on a clock that begins now."""
        async with embedded_stack(self.settings, self.mode, origin=utc_now(), any_model=True) as stack:
            yield stack, CallCounter(self.price, self.most_output_tokens, calls_before)


def judge_for(options: RunnerOptions, folder: Path, *, local: RecordedJudge | None = None) -> JudgeBehindLps:
    """Return who answers. folder: gets a manifest for a model that none describes; kept while the judge is used.

    local: the model on this machine, for JudgeKind.LOCAL; its address is in the options.
    Raises BadInput: a model that nobody knows, a setting of the environment that cannot be used.
    """
    judging = options.judging
    if judging.kind is JudgeKind.MOCK:
        return _mock(options)
    if judging.kind is JudgeKind.LOCAL:
        if local is None:
            raise AssertionError("nobody said which model runs on this machine")
        return _embedded(options, local, folder)
    manifest = load_manifest(settings_from_environment().model_manifest_path)
    provider = options.asked_provider
    wanted = RecordedJudge(
        provider=provider,
        model=options.model or manifest.default_model(provider).model_id,
        temperature=options.temperature,
        max_tokens=options.max_tokens,
        reasoning_effort=options.effort,
        output_verbosity=options.verbosity,
    )
    return _embedded(options, wanted, folder)


def _embedded(options: RunnerOptions, judge: RecordedJudge, folder: Path) -> EmbeddedJudge:
    judging = options.judging
    set_up = partial(
        embedded_judge,
        judge,
        base_url=judging.base_url,
        concurrency=judging.concurrency,
        folder=folder,
        queue_mode=QUEUE_MODES[options.batching_mode or LLMBatchingMode.PER_REQUEST],
    )
    found = set_up(price=None)
    # A machine of one's own is free until somebody states its price; what the manifest says of a model stays.
    return set_up(price=judging.price) if judging.price is not None and found.price in (None, FREE) else found


def description(options: RunnerOptions, judge: JudgeBehindLps) -> dict[str, Any]:
    """Return whom the artefact names: the judge, and whether it is a mock."""
    described = {"kind": options.judging.kind.value, **judge.judge.model_dump(mode="json", exclude_none=True)}
    if isinstance(judge, MockJudge):
        described |= {"mock_mode": judge.mode.expression, "mock_mode_sha256": judge.mode.sha256()}
    return described | {"seed": options.judging.seed}


def _mock(options: RunnerOptions) -> MockJudge:
    provider = options.provider or Provider.ANTHROPIC
    model = options.model or load_manifest(settings_from_environment().model_manifest_path).default_id(provider)
    mode = load_mode(options.judging.mock_mode)
    settings = LpsSettings(
        use_mock_llm=True,
        mock_mode=mode.expression,
        mock_provider_seed=options.judging.seed,
        queue_processing_mode=QUEUE_MODES[options.batching_mode or LLMBatchingMode.PER_REQUEST],
        llm_max_concurrent_requests=options.judging.concurrency,
        publish_llm_usage_events=False,
    )
    judge = RecordedJudge(
        provider=provider,
        model=model or "mock",
        temperature=options.temperature,
        max_tokens=options.max_tokens,
        reasoning_effort=options.effort,
        output_verbosity=options.verbosity,
    )
    return MockJudge(judge, mode, settings)
