"""This module defines `cj-pipeline doctor`: what is configured, what is reachable, what is missing."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from cj_pipeline.cli.output import csv_option, json_option, print_csv, print_json, print_table
from cj_pipeline.contracts.enums import Provider
from cj_pipeline.foundation import exit_codes
from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.errors import CjPipelineError

KAFKA_TIMEOUT_S = 2.0

COLUMNS = ("what", "state", "detail")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. state: ok, missing (something does not work) or absent (something optional is not there)."""

    what: str
    state: str
    detail: str


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--eng5", is_flag=True, help="Look whether a run of `eng5 execute` has what it needs; takes its options.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF ENG5]")
@json_option
@csv_option
def doctor(eng5: bool, options: tuple[str, ...], as_json: bool, as_csv: bool) -> None:
    """Say what is configured and whether it works. Exits with 2 when something needed does not.

    --eng5 looks at what a run of the ENG5 runner needs instead, as `eng5 preflight` does, and exits with 1 when
    something is missing.

    \b
    cj-pipeline doctor --eng5 --net autumn/
    """
    if eng5:
        if as_csv:
            raise click.UsageError("--eng5 prints a table or --json.")
        _eng5((*options, *(("--json",) if as_json else ())))
        return
    if options:
        raise click.UsageError(f"'{options[0]}' goes with --eng5.")
    findings = [look() for look in LOOKS]
    if as_json:
        print_json([{"what": f.what, "state": f.state, "detail": f.detail} for f in findings])
    elif as_csv:
        print_csv(COLUMNS, [(f.what, f.state, f.detail) for f in findings])
    else:
        print_table("cj-pipeline doctor", COLUMNS, [(f.what, f.state, f.detail) for f in findings])
    if any(finding.state == "missing" for finding in findings):
        sys.exit(exit_codes.BAD_INPUT)


def _eng5(options: tuple[str, ...]) -> None:
    from cj_pipeline.cli.eng5 import preflight

    with preflight.make_context("doctor --eng5", list(options)) as context:
        preflight.invoke(context)


def _python() -> Finding:
    return Finding("python", "ok", f"{platform.python_version()} on {platform.system()}")


def _scenarios() -> Finding:
    from cj_pipeline.cli.sources import trace_store
    from cj_pipeline.parity.compare import validate_tolerances
    from cj_pipeline.runs.modes import scenario_mode
    from cj_pipeline.traces.scenario import SCENARIO_FILE

    store = trace_store()
    ids = store.scenario_ids()
    if not ids:
        return Finding("scenarios", "missing", f"none below '{store.root}'; set CJ_PIPELINE_TRACES_DIR")
    for scenario_id in ids:
        try:
            trace = store.trace(scenario_id)
            scenario_mode(trace.scenario, scenario_file=trace.folder / SCENARIO_FILE)
            validate_tolerances(trace.scenario, trace.folder / SCENARIO_FILE)
        except CjPipelineError as error:
            return Finding("scenarios", "missing", str(error))
    return Finding("scenarios", "ok", f"{len(ids)} below '{store.root}', all intact")


def _modes() -> Finding:
    from cj_pipeline.mock.mode.files import load_mode, mode_names

    try:
        loaded = [load_mode(name) for name in mode_names()]
    except CjPipelineError as error:
        return Finding("modes", "missing", str(error))
    return Finding("modes", "ok", f"{len(loaded)} built in")


def _models() -> Finding:
    """Find the models that the LPS would ask, and where."""
    from cj_pipeline.services.lps.providers.endpoint import endpoint_of
    from cj_pipeline.services.lps.providers.manifest import load_manifest
    from cj_pipeline.services.lps.settings import settings_from_environment

    try:
        settings = settings_from_environment()
        manifest = load_manifest(settings.model_manifest_path)
    except CjPipelineError as error:
        return Finding("models", "missing", str(error))
    added = sum(change.is_new for change in manifest.changes)
    known = f"{len(manifest.models(include_deprecated=True)) - added} built in"
    if settings.model_manifest_path is not None:
        changed = len(manifest.changes) - added
        known += f", {added} added and {changed} changed by '{settings.model_manifest_path}'"
    reachable = [
        f"{at.provider.value} at {at.base_url}{'' if at.has_a_key else ' without a key'}"
        for at in (endpoint_of(settings, provider) for provider in Provider if provider is not Provider.MOCK)
        if at.provider not in settings.switched_off and at.can_be_asked
    ] + [
        f"{model.model_id} at {model.base_url}"
        for model in manifest.models(include_deprecated=True)
        if model.base_url is not None
    ]
    return Finding("models", "ok", f"{known}; {', '.join(reachable) or 'no provider has a key, so the mock alone'}")


def _lps_variables() -> Finding:
    from cj_pipeline.services.lps import variables as lps_variables
    from cj_pipeline.services.lps.settings import ENVIRONMENT_PREFIX as LPS_PREFIX

    return _variables("lps variables", LPS_PREFIX, _lps_settings, lps_variables.not_read)


def _lps_settings() -> None:
    from cj_pipeline.services.lps import variables as lps_variables
    from cj_pipeline.services.lps.settings import settings_from_environment

    lps_variables.refuse_what_is_not_done(settings_from_environment(), os.environ)


def _cj_variables() -> Finding:
    from cj_pipeline.services.cj import environment as cj_environment
    from cj_pipeline.services.cj.settings import ENVIRONMENT_PREFIX as CJ_PREFIX

    return _variables(
        "cj variables",
        CJ_PREFIX,
        cj_environment.settings_from_environment,
        cj_environment.not_read,
    )


def _variables(
    what: str, prefix: str, read: Callable[[], object], not_read: Callable[[Mapping[str, str]], Mapping[str, str]]
) -> Finding:
    """The variables of a service: which are set, and which of them nothing reads. Never what they say."""
    names = sorted(name for name in os.environ if name.upper().startswith(prefix))
    unread = not_read(os.environ)
    try:
        read()
    except CjPipelineError as error:
        return Finding(what, "missing", str(error))
    taken = [name.removeprefix(prefix) for name in names if name not in unread]
    detail = f"{prefix}*: {', '.join(taken) or 'none set'}"
    if not unread:
        return Finding(what, "ok", detail)
    named = ", ".join(f"{name.removeprefix(prefix)} ({hint})" if hint else name for name, hint in unread.items())
    return Finding(what, "absent", f"{detail}; not read: {named}")


def _data() -> Finding:
    from cj_pipeline.foundation.data_path import is_s3
    from cj_pipeline.foundation.settings import PipelineSettings
    from cj_pipeline.warehouse.store import Warehouse

    if is_s3(PipelineSettings().data_place):
        return _data_on_object_storage()
    folder = PipelineSettings().data_dir.absolute()
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(nearest, os.W_OK):
        return Finding("data", "missing", f"'{nearest}' cannot be written; set CJ_PIPELINE_DATA_DIR")
    warehouse = Warehouse(folder)
    ignored = f"; {sentence}" if (sentence := warehouse.first_edition()) else ""
    if not warehouse.catalogue_path.is_file():
        return Finding("data", "absent", f"nothing materialised yet below '{folder}'; run: make parity{ignored}")
    return Finding("data", "ok", f"{warehouse.catalogue_path}{ignored}")


def _data_on_object_storage() -> Finding:
    from cj_pipeline.foundation.errors import CjPipelineError
    from cj_pipeline.foundation.settings import PipelineSettings
    from cj_pipeline.warehouse.data_root import data_root
    from cj_pipeline.warehouse.store import Warehouse

    try:
        catalogue = Warehouse(data_root()).catalogue_path
        is_there = catalogue.is_file()
    except CjPipelineError as error:
        return Finding("data", "missing", str(error))
    here = f"on this machine: '{PipelineSettings().data_dir.absolute()}'"
    if not is_there:
        return Finding(
            "data", "absent", f"nothing materialised yet below '{catalogue.parent}'; run: make parity; {here}"
        )
    return Finding("data", "ok", f"{catalogue}; {here}")


def _dagster() -> Finding:
    try:
        found = version("dagster")
    except PackageNotFoundError:
        return Finding("dagster", "absent", "not installed; parity works without it, the graph and the UI do not")
    storage = "PostgreSQL" if os.environ.get("CJ_PIPELINE_POSTGRES_URL") else "SQLite"
    home = os.environ.get("DAGSTER_HOME")
    if home and not os.path.exists(home):  # noqa: PTH110 - Path.exists raises for a name that no file system takes
        return Finding("dagster", "absent", f"DAGSTER_HOME '{home}' is not there; make ui and make nightly make it")
    if home and not Path(home).is_dir():
        return Finding("dagster", "missing", f"DAGSTER_HOME '{home}' is no folder")
    return Finding(
        "dagster",
        "ok",
        f"{found}, storage {storage}, DAGSTER_HOME {home or 'not set; ui and nightly keep theirs in .dagster'}",
    )


def _alerts() -> Finding:
    """Find where messages about a night go, and what it is told. Never what the variables say."""
    from cj_pipeline.alerts.channels import channels_of
    from cj_pipeline.alerts.night_settings import night_settings
    from cj_pipeline.alerts.outbox import next_try, outbox
    from cj_pipeline.alerts.settings import PREFIX, alert_settings
    from cj_pipeline.cli.alerts import when_tried
    from cj_pipeline.cli.sources import trace_store
    from cj_pipeline.foundation.settings import PipelineSettings

    try:
        channels = channels_of(alert_settings())
        strangers = night_settings().strangers(trace_store().scenario_ids())
    except CjPipelineError as error:
        return Finding("alerts", "missing", str(error))
    if strangers:
        return Finding("alerts", "missing", next(iter(strangers.values())))
    if not channels:
        return Finding("alerts", "absent", f"{PREFIX}* names no channel: a message is kept in the data folder")
    kept, now = outbox(PipelineSettings().data_dir), utc_now()
    tries = {name: at for name in channels if (at := next_try(kept, name, now)) is not None}
    waits = "".join(f"; a message waits for {name}, {when_tried(at, now)}" for name, at in tries.items())
    return Finding("alerts", "ok", f"{', '.join(channels)}; try them: cj-pipeline alerts test{waits}")


def _kafka() -> Finding:
    """Look at the cluster that everything is pointed at."""
    from confluent_kafka import KafkaException

    from cj_pipeline.bus.kafka.clients import new_admin
    from cj_pipeline.bus.kafka.settings import kafka_is_configured, kafka_settings_from_environment
    from cj_pipeline.cli.kafka import DEFAULT_PORT
    from cj_pipeline.local.kafka_node import broker_answers

    if not kafka_is_configured():
        here = f"127.0.0.1:{DEFAULT_PORT}"
        get_one = f"one runs here, on {here}" if broker_answers(DEFAULT_PORT) else "make kafka starts a broker here"
        return Finding(
            "kafka", "absent", f"KAFKA_BOOTSTRAP_SERVERS is not set, callbacks stay on this machine; {get_one}"
        )
    try:
        settings = kafka_settings_from_environment()
        # Never what librdkafka itself says: it quotes settings, and one of them may be a password.
        found = new_admin(settings).list_topics(timeout=KAFKA_TIMEOUT_S)
    except CjPipelineError as error:
        return Finding("kafka", "missing", str(error))
    except KafkaException:
        return Finding(
            "kafka",
            "missing",
            f"nobody answers at {settings.bootstrap_servers} within {KAFKA_TIMEOUT_S:g} s; "
            f"is it up, and let in with {settings.security_protocol}?",
        )
    return Finding(
        "kafka", "ok", f"{settings.bootstrap_servers}: brokers {len(found.brokers)}, topics {len(found.topics)}"
    )


def _java() -> Finding:
    from cj_pipeline.local.programs import Unavailable, java, java_version

    try:
        program = java()
    except Unavailable as error:
        return Finding("java", "absent", str(error))
    return Finding("java", "ok", f"{java_version(program)}, '{program}'")


def _maven() -> Finding:
    from cj_pipeline.local.programs import Unavailable, maven

    try:
        return Finding("maven", "ok", f"'{maven()}'")
    except Unavailable as error:
        return Finding("maven", "absent", str(error))


def _kafka_files() -> Finding:
    """Look at the files of the broker that `cj-pipeline kafka` starts, and fetch nothing."""
    from cj_pipeline.local.kafka_artifacts import KafkaArtifacts, kafka_home
    from cj_pipeline.local.programs import CannotStart

    artifacts = KafkaArtifacts(kafka_home())
    if not artifacts.fetched:
        return Finding("kafka files", "absent", f"not in '{artifacts.home}'; run: cj-pipeline kafka fetch")
    try:
        folder = artifacts.verified()
    except CannotStart as error:
        return Finding("kafka files", "missing", str(error))
    return Finding("kafka files", "ok", f"{artifacts.version}, every file intact, '{folder}'")


LOOKS: tuple[Callable[[], Finding], ...] = (
    _python,
    _scenarios,
    _modes,
    _models,
    _lps_variables,
    _cj_variables,
    _data,
    _dagster,
    _alerts,
    _kafka,
    _java,
    _maven,
    _kafka_files,
)
