"""This module is `cj-pipeline traces capture`: callbacks from a Kafka topic into a trace folder."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from types import FrameType
from typing import TYPE_CHECKING
from uuid import UUID

import click

from cj_pipeline.cli.bus_options import kafka_option
from cj_pipeline.cli.trace_results import (
    TraceResult,
    choices_of,
    output_folder,
    redaction_in_words,
    redaction_of,
    show_result,
    trace_options,
)
from cj_pipeline.contracts.topics import COMPARISON_RESULT_EVENT_TYPE, COMPARISON_RESULT_TOPIC
from cj_pipeline.foundation import exit_codes
from cj_pipeline.traces.capture.request import Beginning

if TYPE_CHECKING:
    from cj_pipeline.bus.kafka.settings import KafkaSettings
    from cj_pipeline.traces.capture.capture import CaptureProgress, CaptureResult
    from cj_pipeline.traces.capture.request import CaptureRequest
    from cj_pipeline.traces.redaction.redaction import Redaction

_INSTANTS = ("%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S.%f%z", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d")


@click.command("capture")
@click.argument("scenario_id")
@click.option("--bos-batch-id", help="The batch, as callbacks name it in their metadata.")
@click.option("--topic", default=COMPARISON_RESULT_TOPIC, show_default=True, help="The callbacks' topic.")
@kafka_option
@click.option("--expected-count", type=click.IntRange(min=1), help="Stop with the callback that makes so many.")
@click.option("--idle-seconds", type=float, help="Go on past the end, and stop after so long without a match.")
@click.option("--timeout-seconds", type=float, help="Stop after so long.")
@click.option("--since", type=click.DateTime(_INSTANTS), help="Only records stamped at this time or later (UTC).")
@click.option("--until", type=click.DateTime(_INSTANTS), help="Only records stamped before this time (UTC).")
@click.option("--event-type", default=COMPARISON_RESULT_EVENT_TYPE, show_default=True, help="Type in the envelope.")
@click.option(
    "--correlation-id", "correlation_ids", type=click.UUID, multiple=True, help="Only this one. May be repeated."
)
@click.option("--model", help="Only callbacks of this model.")
@click.option("--follow", is_flag=True, help="Go on after the end of the topic, until one of the limits or Ctrl-C.")
@click.option("--keep-raw", is_flag=True, help="Keep unusable messages whole in quarantine, unredacted.")
@click.option("--workers", hidden=True, callback=lambda *given: _refuse_workers(given[-1]), expose_value=False)
@click.option("--resume", "beginning", flag_value=Beginning.RESUME.value, help="Go on with an unfinished capture.")
@click.option("--finish", "beginning", flag_value=Beginning.FINISH.value, help="Publish what an unfinished one has.")
@trace_options
def capture_command(
    scenario_id: str,
    bos_batch_id: str | None,
    topic: str,
    kafka: str | None,
    expected_count: int | None,
    idle_seconds: float | None,
    timeout_seconds: float | None,
    since: datetime | None,
    until: datetime | None,
    event_type: str,
    correlation_ids: tuple[UUID, ...],
    model: str | None,
    follow: bool,
    keep_raw: bool,
    beginning: str | None,
    like: str | None,
    grades_file: Path | None,
    profile: str | None,
    mode: str | None,
    output_dir: Path | None,
    no_redact: bool,
    justifications: str,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Capture the callbacks of a batch from Kafka into the new trace SCENARIO_ID.

    Reads the topic to the end that it has now, or until one of the limits. Names of pupils and quotes of essays are
    taken out before anything is written, unless --no-redact is given. The topic is only read: no group is joined and
    no offset committed. More is in docs/capture.md.

    \b
    cj-pipeline traces capture autumn_pilot --bos-batch-id 3f2b... --kafka broker:9092
    cj-pipeline traces capture autumn_pilot --bos-batch-id 3f2b... --follow --expected-count 276

    Exits with 0 when all of it is there, 3 when the trace is partial or the capture was stopped (--resume goes on,
    --finish publishes what there is), 2 when something cannot be used.
    """
    from cj_pipeline.runs.new_trace_mode import require_mode_for_pseudonyms
    from cj_pipeline.traces.capture.capture import CaptureStopped, capture
    from cj_pipeline.traces.capture.request import CaptureRequest, Limits
    from cj_pipeline.traces.message_filter import Selection

    redaction = redaction_of(no_redact, justifications, key_file)
    choices = choices_of(like, grades_file, profile, mode)
    if redaction is not None:
        require_mode_for_pseudonyms(choices)
    request = CaptureRequest(
        scenario_id=scenario_id,
        traces_dir=output_folder(output_dir),
        selection=Selection(
            bos_batch_id=bos_batch_id,
            event_type=event_type,
            correlation_ids=correlation_ids,
            model=model,
            since=_utc(since),
            until=_utc(until),
        ),
        redaction=redaction,
        topic=topic,
        limits=Limits(expected_count, idle_seconds, timeout_seconds, follow),
        choices=choices,
        keep_raw=keep_raw,
        beginning=Beginning(beginning or Beginning.NEW),
    )
    with _stop_signals() as stop, _shown_progress() as on_progress:
        try:
            result = capture(request, _cluster(request, kafka), on_progress=on_progress, stop=stop)
        except CaptureStopped as stopped:
            click.echo(str(stopped), err=True)
            sys.exit(exit_codes.CANNOT_TELL)
    show_result(_shown_result(result, redaction), "captured", as_json)


def _refuse_workers(given: object) -> None:
    if given is not None:
        raise click.UsageError("--workers is gone: one process reads a topic. Leave it out.")


def _cluster(request: CaptureRequest, kafka: str | None) -> KafkaSettings | None:
    from cj_pipeline.bus.kafka.settings import kafka_settings_from_environment

    if request.beginning is Beginning.FINISH:
        return None
    given: dict[str, object] = {} if kafka is None else {"bootstrap_servers": kafka}
    return kafka_settings_from_environment(**given)


def _shown_result(result: CaptureResult, redaction: Redaction | None) -> TraceResult:
    provenance, captured = result.provenance, result.provenance.capture
    dropped = {} if provenance.redaction is None else provenance.redaction.dropped
    facts: dict[str, str | int | float | None] = {"ended because": result.ending}
    if captured is not None:
        facts |= {"topic": captured.topic, "cluster": captured.cluster_id}
        facts |= {
            f"partition {read.partition}": f"offsets {read.first_offset} to {read.next_offset} of {read.end_offset}"
            for read in captured.partitions
        }
    return TraceResult(
        scenario_id=result.scenario_id,
        folder=result.folder,
        sha256=result.sha256,
        read=result.read,
        counts=result.counts,
        missing=result.missing,
        held_against=result.held_against,
        redaction=redaction_in_words(redaction, dropped),
        facts=facts,
    )


def _utc(instant: datetime | None) -> datetime | None:
    return instant.replace(tzinfo=UTC) if instant is not None and instant.tzinfo is None else instant


@contextmanager
def _stop_signals() -> Iterator[Event]:
    """Yield an event that Ctrl-C and SIGTERM set: what was read is kept, and the capture says how to go on."""
    stop = Event()

    def note(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _shown_progress() -> Iterator[Callable[[CaptureProgress], None]]:
    """Show how far it is, on stderr, where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    terminal = Console(stderr=True)
    columns = (
        TextColumn("{task.fields[taken]:,} taken of {task.completed:,.0f} messages"),
        BarColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as shown:
        task = shown.add_task("capture", total=None, taken=0)
        yield lambda now: shown.update(task, completed=now.read, total=now.wanted, taken=now.taken)
