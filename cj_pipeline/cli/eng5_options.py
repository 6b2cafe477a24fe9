"""This module declares the options of the ENG5 runner, under the names that its users know, and reads them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from cj_pipeline.cli.finite import FiniteRange
from cj_pipeline.contracts.enums import LLMBatchingMode, OutputVerbosity, Provider, ReasoningEffort

if TYPE_CHECKING:
    from cj_pipeline.eng5.options import RunnerMode, RunnerOptions

MODES = ("plan", "dry-run", "execute", "anchor-align-test", "boundary-test")
JUDGES = ("mock", "local", "provider")
SCALES = ("eng5_np_legacy_9_step", "eng5_np_national_9_step")
KAFKA_VARIABLE = "KAFKA_BOOTSTRAP_SERVERS"

_PROVIDERS = [one.value for one in Provider if one is not Provider.MOCK]
_EFFORTS, _VERBOSITIES = [one.value for one in ReasoningEffort], [one.value for one in OutputVerbosity]


@dataclass(frozen=True, slots=True)
class Services:
    """Where the deployed services are."""

    kafka: str
    client_id: str
    cj_url: str
    content_url: str


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--net", type=click.Path(path_type=Path, file_okay=False), help="Folder of the inputs: anchors/, "
                 "students/, prompt, instructions, anchors.csv.  [default: the twelve and twelve of this project]"),
    click.option("--assignment-id", type=click.UUID, help="Of the CJ service; `execute` in front of one needs it."),
    click.option("--course-id", type=click.UUID, help="The same."),
    click.option("--expected-grade-scale", type=click.Choice(SCALES), help="Stop where the grades are on another one."),
    click.option("--batch-id", default="eng5-np-local-batch", show_default=True, help="A label for people."),
    click.option("--user-id", default="eng5_np_research_runner", show_default=True),
    click.option("--org-id"),
    click.option("--course-code", default="ENG5", show_default=True, callback=lambda c, p, value: value.upper()),
    click.option("--language", default="en", show_default=True, callback=lambda c, p, value: value.lower()),
    click.option("--output-dir", type=click.Path(path_type=Path, file_okay=False),
                 help="Gets artefact, events, logs and reports.  [default: eng5/ in the data folder]"),
    click.option("--no-kafka", is_flag=True, help=f"Ask no deployed service, whatever {KAFKA_VARIABLE} says."),
    click.option("--kafka-bootstrap", metavar="HOST:PORT,...", help=f"Ask the deployed services.  [{KAFKA_VARIABLE}]"),
    click.option("--kafka-client-id", default="eng5-np-runner", show_default=True),
    click.option("--cj-service-url", envvar="CJ_SERVICE_URL", default="http://localhost:9095", show_default=True,
                 help="[CJ_SERVICE_URL]"),
    click.option("--content-service-url", envvar="CONTENT_SERVICE_URL", default="http://localhost:8001/v1/content",
                 show_default=True, help="[CONTENT_SERVICE_URL]"),
    click.option("--force-reupload", is_flag=True, help="Store every text again, also one that is stored."),
    click.option("--llm-provider", type=click.Choice(_PROVIDERS, case_sensitive=False)),
    click.option("--llm-model"),
    click.option("--llm-temperature", type=FiniteRange(0.0, 2.0)),
    click.option("--llm-max-tokens", type=click.IntRange(min=1)),
    click.option("--cj-system-prompt/--no-cj-system-prompt", default=True, show_default=True,
                 help="The built-in system prompt, where no file gives another."),
    click.option("--system-prompt", metavar="FILE|NNN",
                 help="A system prompt of one's own, or the number of one that `eng5 prompts` lists."),
    click.option("--rubric", metavar="FILE|NNN", help="A rubric of one's own, or a number."),
    click.option("--max-comparisons", type=int, metavar="N", help="At least 2."),
    click.option("--await-completion", is_flag=True, help="Wait for deployed services; an embedded run is waited for."),
    click.option("--completion-timeout", type=float, default=1800.0, show_default=True, metavar="SECONDS"),
    click.option("--auto-extract-eng5-db", is_flag=True, help="Extract the batch from the CJ database at its end."),
    click.option("--llm-batching-mode", type=click.Choice([one.value for one in LLMBatchingMode]),
                 help="A hint to the CJ service."),
    click.option("--anchor-align-provider", type=click.Choice(_PROVIDERS, case_sensitive=False),
                 help="Of anchor-align-test and boundary-test, as the next three."),
    click.option("--anchor-align-model"),
    click.option("--anchor-align-reasoning-effort", type=click.Choice(_EFFORTS)),
    click.option("--anchor-align-output-verbosity", type=click.Choice(_VERBOSITIES)),
    click.option("--pair", "pairs", multiple=True, metavar="NAME:NAME",
                 help="Of boundary-test.  [default: all anchors of neighbouring grades]"),
    click.option("--repetitions", type=int, default=10, show_default=True, help="Of boundary-test, in each order."),
    click.option("--judge", type=click.Choice(JUDGES), help="Of an embedded run: the mock, the small model on this "
                 "machine, or a provider, which costs money.  [default: mock]"),
    click.option("--mock-mode", default="eng5_anchor_gpt51_low", show_default=True),
    click.option("--seed", type=int, default=42, show_default=True, help="Of pairs, sides and the mock."),
    click.option("--concurrency", type=click.IntRange(1, 64), default=1, show_default=True),
    click.option("--base-url", help="Of --judge provider: an OpenAI-compatible server."),
    click.option("--budget-usd", type=FiniteRange(min=0.0), help="Of --judge provider: spend no more."),
    click.option("--restart", is_flag=True, help="Forget an unfinished run of this mode, and what it paid for."),
    click.option("--verbose", is_flag=True, help="Show the log's events on standard error."),
)  # fmt: skip


def runner_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the runner's options to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def services_of(mode: str, given: dict[str, Any]) -> Services | None:
    """Return the deployed services that are meant; None for an embedded run.

    Raises click.UsageError for options that do not go together.
    """
    named = given["kafka_bootstrap"]
    if given["no_kafka"] or given["judge"] is not None:
        if named is not None:
            raise click.UsageError("--kafka-bootstrap names deployed services; leave --no-kafka and --judge out.")
        return None
    if mode == "boundary-test":
        if named is not None:
            raise click.UsageError("boundary-test chooses its own pairs, which a CJ service does not let one do.")
        return None
    kafka = named or os.environ.get(KAFKA_VARIABLE)
    if not kafka or mode in ("plan", "dry-run"):
        return None
    return Services(kafka, given["kafka_client_id"], given["cj_service_url"], given["content_service_url"])


def options_of(mode: str, given: dict[str, Any]) -> RunnerOptions:
    """Return the options of a run. Raises click.UsageError, BadInput."""
    from cj_pipeline.eng5.inputs import SHIPPED_NET
    from cj_pipeline.eng5.options import BoundaryOptions, JudgeKind, Judging, RunnerMode, RunnerOptions
    from cj_pipeline.eng5.prompts import PromptKind, prompt_path
    from cj_pipeline.foundation.settings import PipelineSettings

    chosen = RunnerMode(mode)
    provider, model, effort, verbosity = _asked(chosen, given)
    judge = JudgeKind(given["judge"] or "mock")
    if judge is not JudgeKind.PROVIDER and (given["base_url"] or given["budget_usd"] is not None):
        raise click.UsageError("--base-url and --budget-usd go with --judge provider.")
    if judge is JudgeKind.LOCAL and (provider or model):
        raise click.UsageError("--judge local brings its own model; leave provider and model out.")
    return RunnerOptions(
        mode=chosen,
        output_dir=given["output_dir"] or PipelineSettings().data_dir / "eng5",
        net=given["net"] or SHIPPED_NET,
        assignment_id=_uuid(given["assignment_id"]),
        course_id=_uuid(given["course_id"]),
        expected_grade_scale=given["expected_grade_scale"],
        batch_id=given["batch_id"],
        user_id=given["user_id"],
        org_id=given["org_id"],
        course_code=given["course_code"],
        language=given["language"],
        provider=None if provider is None else Provider(provider.lower()),
        model=model,
        temperature=given["llm_temperature"],
        max_tokens=given["llm_max_tokens"],
        effort=None if effort is None else ReasoningEffort(effort),
        verbosity=None if verbosity is None else OutputVerbosity(verbosity),
        canonical_prompt=given["cj_system_prompt"],
        max_comparisons=given["max_comparisons"],
        timeout_s=given["completion_timeout"],
        await_completion=given["await_completion"],
        auto_extract=given["auto_extract_eng5_db"],
        force_reupload=given["force_reupload"],
        batching_mode=None if given["llm_batching_mode"] is None else LLMBatchingMode(given["llm_batching_mode"]),
        system_prompt=prompt_path(given["system_prompt"], PromptKind.SYSTEM),
        rubric=prompt_path(given["rubric"], PromptKind.RUBRIC),
        judging=Judging(
            kind=judge,
            mock_mode=given["mock_mode"],
            seed=given["seed"],
            concurrency=given["concurrency"],
            budget_usd=given["budget_usd"],
            base_url=given["base_url"],
        ),
        boundary=BoundaryOptions(tuple(_pair(text) for text in given["pairs"]), given["repetitions"]),
        verbose=given["verbose"],
    )


def _asked(mode: RunnerMode, given: dict[str, Any]) -> tuple[str | None, str | None, str | None, str | None]:
    """Return provider, model, effort and verbosity: a test of anchors has options of its own for them."""
    own = {
        name: given[f"anchor_align_{name}"] for name in ("provider", "model", "reasoning_effort", "output_verbosity")
    }
    if not mode.anchors_only:
        if stray := [name for name, value in own.items() if value is not None]:
            raise click.UsageError(f"--anchor-align-{stray[0].replace('_', '-')} goes with the tests of anchors.")
        return given["llm_provider"], given["llm_model"], None, None
    provider = own["provider"] or given["llm_provider"]
    return provider, own["model"] or given["llm_model"], own["reasoning_effort"], own["output_verbosity"]


def _pair(text: str) -> tuple[str, str]:
    first, colon, second = text.partition(":")
    if not (first and colon and second):
        raise click.UsageError(f"--pair: '{text}' is not two anchors with a colon between: NAME:NAME.")
    return first, second


def _uuid(value: object) -> UUID | None:
    return value if isinstance(value, UUID) else None
