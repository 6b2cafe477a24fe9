"""This module defines `cj-pipeline lps models`, `payload` and `jobs`: what can be asked, how, and what is under way."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click
from pydantic import SecretStr

from cj_pipeline.cli.finite import FiniteRange
from cj_pipeline.cli.output import csv_option, json_option, print_csv, print_json, print_table, say
from cj_pipeline.contracts.enums import OutputVerbosity, Provider, ReasoningEffort
from cj_pipeline.foundation.errors import CjPipelineError, did_you_mean

if TYPE_CHECKING:
    from cj_pipeline.services.lps.providers.manifest import Manifest, Model
    from cj_pipeline.services.lps.settings import LpsSettings

_HIDDEN = SecretStr("***")
_COLUMNS = ("provider", "model", "$/M in", "out", "asked by", "from")
_JOB_COLUMNS = ("submitted", "provider", "model", "id there", "requests")
_PROMPT = "Essay A:\nThe sun rises in the east.\n\nEssay B:\nSun east.\n\nWhich of the two essays is better?"

manifest_option = click.option(
    "--manifest",
    "manifest_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A team's own models [LLM_PROVIDER_SERVICE_MODEL_MANIFEST_PATH].",
)


@click.command()
@manifest_option
@json_option
@csv_option
def models(manifest_path: Path | None, as_json: bool, as_csv: bool) -> None:
    """List the models that can be asked, and what a team's own manifest changes.

    Exits with 2, naming file, line and key, when the manifest cannot be used.
    """
    from cj_pipeline.services.lps.providers.manifest import load_manifest
    from cj_pipeline.services.lps.settings import settings_from_environment

    manifest = load_manifest(manifest_path or settings_from_environment().model_manifest_path)
    origins = {
        (change.provider, change.model_id): "added" if change.is_new else "changed" for change in manifest.changes
    }
    listed = manifest.models(include_deprecated=True)
    if as_json:
        print_json(
            [
                {
                    **model.model_dump(mode="json"),
                    "origin": origins.get((model.provider, model.model_id), "built in"),
                    "is_default": model.model_id == manifest.default_id(model.provider),
                }
                for model in listed
            ]
        )
        return
    rows = [_row(model, origins.get((model.provider, model.model_id), "built in")) for model in listed]
    if as_csv:
        print_csv(_COLUMNS, rows)
        return
    for provider in dict.fromkeys(row[0] for row in rows):
        print_table(str(provider), _COLUMNS[1:], [row[1:] for row in rows if row[0] == provider])
    for change in manifest.changes:
        say(change)
    for model in listed:
        if model.notes:
            say(f"{model.model_id}: {model.notes}")


def _row(model: Model, origin: str) -> tuple[object, ...]:
    def per_million(price: float | None) -> object:
        return "unknown" if price is None else f"{price * 1000:g}"

    state = " (retired)" if model.is_retired else " (deprecated)" if model.is_deprecated else ""
    since = f" since {model.deprecation_date}" if model.deprecation_date and state else ""
    return (
        model.provider.value,
        model.model_id + state + since,
        per_million(model.cost_per_1k_input_tokens),
        per_million(model.cost_per_1k_output_tokens),
        model.structured_output_method.value,
        origin,
    )


@click.command()
@click.argument("model_id", metavar="MODEL")
@click.option("--provider", type=click.Choice([p.value for p in Provider if p is not Provider.MOCK]))
@click.option("--effort", type=click.Choice([effort.value for effort in ReasoningEffort]))
@click.option("--verbosity", type=click.Choice([verbosity.value for verbosity in OutputVerbosity]))
@click.option("--temperature", type=FiniteRange(0.0, 2.0))
@click.option("--max-tokens", type=click.IntRange(1))
@click.option("--system-prompt")
@manifest_option
@json_option
def payload(
    model_id: str,
    provider: str | None,
    effort: str | None,
    verbosity: str | None,
    temperature: float | None,
    max_tokens: int | None,
    system_prompt: str | None,
    manifest_path: Path | None,
    as_json: bool,
) -> None:
    """Show the call that would ask a MODEL for one comparison, and send nothing.

    Address, headers and body are those of the settings and the manifest; keys and other secrets are shown as ***.
    """
    from cj_pipeline.services.lps.providers.manifest import load_manifest
    from cj_pipeline.services.lps.settings import settings_from_environment

    settings = _without_secrets(settings_from_environment())
    manifest = load_manifest(manifest_path or settings.model_manifest_path)
    model = _find(manifest, model_id, None if provider is None else Provider(provider))
    asked = {
        "provider_override": model.provider.value,
        "model_override": model.model_id,
        "reasoning_effort": effort,
        "output_verbosity": verbosity,
        "temperature_override": temperature,
        "max_tokens_override": max_tokens,
        "system_prompt_override": system_prompt,
    }
    call = _call(settings, manifest, model, asked)
    if as_json:
        print_json(call)
        return
    say(f"POST {call['url']}")
    for name, value in call["headers"].items():
        say(f"{name}: {value}")
    limits = call["timeouts_s"]
    say(f"(time limits: {limits['connect']:g} s to connect, {limits['read']:g} s of silence, {limits['total']:g} s)")
    say("")
    say(json.dumps(call["body"], indent=2, ensure_ascii=False))


@click.command()
@json_option
@csv_option
def jobs(as_json: bool, as_csv: bool) -> None:
    """List the jobs that are open at the batch endpoints of providers.

    Each is paid for. It goes on when its requests come back to a service with this folder of open jobs
    [LLM_PROVIDER_SERVICE_BATCH_API_JOBS_PATH].
    """
    from cj_pipeline.services.lps.providers.batches.store import JobStore
    from cj_pipeline.services.lps.settings import settings_from_environment

    folder = settings_from_environment().batch_api_jobs_path
    if folder is None:
        raise CjPipelineError("no folder of open jobs: set LLM_PROVIDER_SERVICE_BATCH_API_JOBS_PATH.")
    found = JobStore(folder).jobs()
    if as_json:
        print_json([job.model_dump(mode="json") for job in found])
        return
    rows = [
        (
            job.created_at.isoformat(timespec="seconds"),
            job.provider.value,
            job.model,
            job.remote_id or "not known",
            len(job.custom_ids),
        )
        for job in found
    ]
    if as_csv:
        print_csv(_JOB_COLUMNS, rows)
    elif rows:
        print_table("Open jobs", _JOB_COLUMNS, rows)
    else:
        say(f"no job is open in '{folder}'")


def _call(settings: LpsSettings, manifest: Manifest, model: Model, asked: dict[str, Any]) -> dict[str, Any]:
    # Here and not above: the client takes 0.1 s to import.
    from cj_pipeline.contracts.comparison import ComparisonRequest
    from cj_pipeline.services.lps.http.admission import Admission
    from cj_pipeline.services.lps.providers.endpoint import time_limits
    from cj_pipeline.services.lps.providers.manifest import check_overrides
    from cj_pipeline.services.lps.providers.registry import api_of

    request = ComparisonRequest.model_validate(
        {"user_prompt": _PROMPT, "callback_topic": "unused", "llm_config_overrides": asked}
    )
    assert request.llm_config_overrides is not None  # noqa: S101 - given above
    problems = check_overrides(manifest, model.provider, request.llm_config_overrides)
    if problems:
        raise CjPipelineError(" ".join(problem.message for problem in problems))
    queued = Admission(manifest, {}, {}, lambda _: 0.0).revive(
        request, UUID(int=0), datetime.fromtimestamp(0, UTC), 0.0, 0
    )
    api = api_of(settings, model.provider)
    call = api.call(queued, model)
    limits = time_limits(api.timeouts, settings, api.endpoint, model)
    return {
        "url": call.url,
        "headers": dict(call.headers),
        "timeouts_s": {"connect": limits.connect_s, "read": limits.read_s, "total": limits.total_s},
        "body": dict(call.payload),
    }


def _find(manifest: Manifest, model_id: str, provider: Provider | None) -> Model:
    listed = manifest.models(provider, include_deprecated=True)
    found = [model for model in listed if model.model_id == model_id]
    if not found:
        known = did_you_mean(model_id, [model.model_id for model in listed])
        raise CjPipelineError(f"'{model_id[:80]}' is not a model of the manifest. {known}")
    if len(found) > 1:
        raise CjPipelineError(f"several providers have '{model_id}'. Name one with --provider.")
    return found[0]


def _without_secrets(settings: LpsSettings) -> LpsSettings:
    """Return settings with every secret hidden that is set."""
    hidden: dict[str, Any] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr) and value.get_secret_value():
            hidden[name] = _HIDDEN
        elif isinstance(value, dict):
            hidden[name] = dict.fromkeys(value, _HIDDEN)
    return settings.model_copy(update=hidden)
