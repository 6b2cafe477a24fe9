"""This module defines `cj-pipeline lps suite` and `cj suite`: production's suites in front of a deployment."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cj_pipeline.cli.output import csv_option, json_option, print_csv, print_json, print_table, say_wrapped
from cj_pipeline.foundation import exit_codes
from cj_pipeline.warehouse.files import write_output

if TYPE_CHECKING:
    from cj_pipeline.suites.result import SuiteResult

# By hand, and held equal to the suites by a test: importing them takes a second.
PROFILES = ("cj-generic", "cj-generic-batch-api", "eng5-anchor", "eng5-lower5")
SUITES = ("regular", "small-net", "batch-api")
DEFAULT_CALLBACKS = "huleedu.llm_provider.comparison_result.v1"

COLUMNS = ("test", "rule", "verdict", "seen", "allowed")

lps_option = click.option("--lps", "lps_url", required=True, metavar="URL", help="Of the LPS itself, without a path.")
kafka_option = click.option("--kafka", metavar="HOST:PORT,...", help="Its brokers [KAFKA_BOOTSTRAP_SERVERS].")
bus_option = click.option(
    "--bus",
    "bus_folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder that it publishes to, where it has no Kafka.",
)
junit_option = click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Also write JUnit XML.")


@click.command()
@click.argument("profile", type=click.Choice(PROFILES))
@lps_option
@kafka_option
@bus_option
@junit_option
@json_option
@csv_option
def lps_suite(
    profile: str,
    lps_url: str,
    kafka: str | None,
    bus_folder: Path | None,
    junit: Path | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Hold a running LPS against production's suite of one PROFILE of its mock.

    Exits with 0 when every rule holds, 1 when one does not, 3 when the service is away, mocks in another mode, or works
    its queue otherwise: nothing is asked then, and the reason is shown.
    """
    from cj_pipeline.cli.deployment import deployment_of
    from cj_pipeline.cli.sources import trace_store
    from cj_pipeline.runs.remote import fresh_label
    from cj_pipeline.suites.lps import lps_suite as run
    from cj_pipeline.suites.profiles import PROFILES as KNOWN
    from cj_pipeline.traces.summary import read_summary

    deployment = deployment_of(lps_url, kafka, bus_folder)
    assert deployment is not None  # noqa: S101 - there is a URL
    trace = trace_store().trace(KNOWN[profile].scenario_id)
    recorded = read_summary(trace.folder)
    _end(asyncio.run(run(profile, deployment, trace.scenario, recorded, fresh_label())), junit, as_json, as_csv)


@click.command()
@click.argument("suite", type=click.Choice(SUITES))
@click.option("--cj", "cj_url", required=True, metavar="URL", help="Of the CJ service.")
@lps_option
@kafka_option
@bus_option
@click.option(
    "--content",
    "content_url",
    envvar="CONTENT_SERVICE_URL",
    default="http://localhost:8001/v1/content",
    show_default=True,
    metavar="URL",
    help="Where the CJ service's texts are stored [CONTENT_SERVICE_URL].",
)
@click.option("--callback-topic", default=DEFAULT_CALLBACKS, show_default=True, help="Which the CJ service reads.")
@junit_option
@json_option
@csv_option
def cj_suite(
    suite: str,
    cj_url: str,
    lps_url: str,
    kafka: str | None,
    bus_folder: Path | None,
    content_url: str,
    callback_topic: str,
    junit: Path | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Hold a running CJ service, and its LPS, against a SUITE of production's.

    It asks for one batch (regular: two) as the essay lifecycle service does. Exit codes are those of `lps suite`.
    """
    from cj_pipeline.cli.deployment import deployment_of
    from cj_pipeline.cli.sources import trace_store
    from cj_pipeline.runs.remote import fresh_label
    from cj_pipeline.suites.cj import CjAddress
    from cj_pipeline.suites.cj import cj_suite as run

    deployment = deployment_of(lps_url, kafka, bus_folder)
    assert deployment is not None  # noqa: S101 - there is a URL
    store = trace_store()
    address = CjAddress(cj_url, content_url, callback_topic, deployment)
    _end(
        asyncio.run(run(suite, address, lambda name: store.trace(name).scenario, fresh_label())), junit, as_json, as_csv
    )


def _end(result: SuiteResult, junit: Path | None, as_json: bool, as_csv: bool) -> None:
    if junit is not None:
        write_output(junit, result.as_junit())
    if as_json:
        print_json(result.as_json())
    elif as_csv:
        print_csv(COLUMNS, [*result.rows()])
    else:
        shown = [(test, rule.removeprefix("guardrail_"), *rest) for test, rule, *rest in result.rows()]
        print_table(f"{result.name} at {result.url}", COLUMNS, shown)
        say_wrapped(_sentence(result))
    if result.exit_code != exit_codes.PASSED:
        sys.exit(result.exit_code)


def _sentence(result: SuiteResult) -> str:
    tests = ", ".join(f"{test.name} {test.verdict.value} ({test.seconds:.0f} s)" for test in result.tests)
    ends = {
        exit_codes.PASSED: "Every rule that was asked holds",
        exit_codes.CHECK_FAILED: "A rule does not hold",
        exit_codes.CANNOT_TELL: "Nothing was asked; the table says why",
    }
    return f"{ends[result.exit_code]}: {tests}."
