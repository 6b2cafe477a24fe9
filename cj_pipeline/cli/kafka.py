"""This module defines `cj-pipeline kafka`: a broker on this machine, without Docker."""

from __future__ import annotations

import shutil
import signal

import click

from cj_pipeline.cli.output import json_option, print_json

DEFAULT_PORT = 9092

port_option = click.option("--port", type=click.IntRange(1, 65_535), default=DEFAULT_PORT, show_default=True)


@click.group()
def kafka() -> None:
    """Apache Kafka on this machine: one node, on the loopback interface, needing Java 17 and (once) Maven.

    Its files and its data are below CJ_PIPELINE_KAFKA_DIR [kafka/ below CJ_PIPELINE_DATA_DIR].
    """


@kafka.command()
@port_option
@click.option("--fresh", is_flag=True, help="Remove all topics of earlier starts first.")
def start(port: int, fresh: bool) -> None:
    """Run the broker until Ctrl-C; its topics stay."""
    # Here and not above: the client takes 40 ms to import.
    from cj_pipeline.local.folder_lock import folder_lock
    from cj_pipeline.local.kafka_artifacts import kafka_home
    from cj_pipeline.local.kafka_broker import KafkaBroker
    from cj_pipeline.local.server import wait_for_an_end

    folder = kafka_home() / "broker"
    # `kill` ends the broker as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with folder_lock(folder / ".lock", in_use=f"A broker runs on '{folder}' already. Stop that one with Ctrl-C."):
            if fresh:
                shutil.rmtree(folder / "data", ignore_errors=True)
            with KafkaBroker(folder, port) as broker:
                click.echo(f"Kafka listens on {broker.bootstrap_servers}; Ctrl-C stops it, log {broker.log}")
                click.echo(f"export KAFKA_BOOTSTRAP_SERVERS={broker.bootstrap_servers}")
                wait_for_an_end([broker])
    except KeyboardInterrupt:
        click.echo("stopped; its topics stay")


@kafka.command(hidden=True)
def stop() -> None:
    """Say what replaced it."""
    raise click.UsageError(
        "'kafka stop' was removed: `cj-pipeline kafka start` runs in the foreground now. Stop it with Ctrl-C where it "
        "runs."
    )


@kafka.command()
@port_option
@json_option
def status(port: int, as_json: bool) -> None:
    """Say whether a broker answers on a port of this machine."""
    from cj_pipeline.local.kafka_node import broker_answers
    from cj_pipeline.local.ports import LOOPBACK

    address = f"{LOOPBACK}:{port}"
    running = broker_answers(port)
    if as_json:
        print_json({"running": running, "bootstrap_servers": address if running else None})
    else:
        click.echo(f"Kafka listens on {address}" if running else f"no broker answers on {address}")


@kafka.command()
@json_option
def fetch(as_json: bool) -> None:
    """Fetch the broker's files, where they are not there yet, and compare them with their checksums."""
    from cj_pipeline.local.kafka_artifacts import KafkaArtifacts, kafka_home

    artifacts = KafkaArtifacts(kafka_home())
    folder = artifacts.verified()
    if as_json:
        print_json({"version": artifacts.version, "folder": str(folder)})
    else:
        click.echo(f"Kafka {artifacts.version}, intact: '{folder}'")
