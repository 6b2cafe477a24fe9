"""`cj-pipeline kafka`: a broker on this machine, without Docker."""

from __future__ import annotations

import click

from cj_pipeline.cli.output import json_option, print_json
from cj_pipeline.local.kafka_artifacts import KafkaArtifacts, kafka_home
from cj_pipeline.local.kafka_detached import DetachedBroker, RunningBroker

DEFAULT_PORT = 9092


@click.group()
def kafka() -> None:
    """Apache Kafka on this machine: one node, on the loopback interface, needing Java 17 and (once) Maven.

    Its files and its data are below CJ_PIPELINE_KAFKA_DIR [kafka/ below CJ_PIPELINE_DATA_DIR].
    """


@kafka.command()
@click.option("--port", type=click.IntRange(1, 65_535), default=DEFAULT_PORT, show_default=True)
@click.option("--fresh", is_flag=True, help="Remove all topics of earlier starts first.")
@json_option
def start(port: int, fresh: bool, as_json: bool) -> None:
    """Start the broker and leave it running. When it runs already, say where."""
    broker = _broker()
    if fresh:
        broker.wipe()
    started = broker.start(port)
    address = started.broker.bootstrap_servers
    if as_json:
        print_json({**_document(started.broker), "ran_already": started.ran_already})
        return
    click.echo(f"Kafka {'runs already, and listens' if started.ran_already else 'listens'} on {address}")
    click.echo(f"export KAFKA_BOOTSTRAP_SERVERS={address}")


@kafka.command()
@json_option
def stop(as_json: bool) -> None:
    """Stop the broker; its topics stay. When none runs, say so."""
    stopped = _broker().stop()
    if as_json:
        print_json({"stopped": stopped is not None, "pid": None if stopped is None else stopped.pid})
    else:
        click.echo("no broker runs" if stopped is None else f"stopped the broker on {stopped.bootstrap_servers}")


@kafka.command()
@json_option
def status(as_json: bool) -> None:
    """Say whether the broker runs, and where."""
    running = _broker().running()
    if as_json:
        print_json(_document(running))
    elif running is None:
        click.echo("no broker runs")
    else:
        click.echo(f"Kafka listens on {running.bootstrap_servers}, process {running.pid}, log '{running.log}'")


@kafka.command()
@json_option
def fetch(as_json: bool) -> None:
    """Fetch the broker's files, where they are not there yet, and hold them to their checksums."""
    artifacts = KafkaArtifacts(kafka_home())
    folder = artifacts.verified()
    if as_json:
        print_json({"version": artifacts.version, "folder": str(folder)})
    else:
        click.echo(f"Kafka {artifacts.version}, intact: '{folder}'")


def _broker() -> DetachedBroker:
    home = kafka_home()
    return DetachedBroker(home / "broker", KafkaArtifacts(home))


def _document(running: RunningBroker | None) -> dict[str, object]:
    if running is None:
        return {"running": False, "bootstrap_servers": None, "pid": None, "log": None}
    return {
        "running": True,
        "bootstrap_servers": running.bootstrap_servers,
        "pid": running.pid,
        "log": str(running.log),
    }
