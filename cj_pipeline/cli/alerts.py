"""This module defines `cj-pipeline alerts`: the messages there are, a message to try, and whether the night ran."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from cj_pipeline.cli.output import json_option, print_json, print_table, say, say_wrapped
from cj_pipeline.foundation import exit_codes
from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.foundation.errors import BadInput

if TYPE_CHECKING:
    from datetime import datetime

    from cj_pipeline.alerts.outbox import Kept


@click.group()
def alerts() -> None:
    """Look after the messages about nights. CJ_PIPELINE_ALERT_* says where they go (docs/nightly.md)."""


@alerts.command("list")
@json_option
def list_messages(as_json: bool) -> None:
    """Show the messages of the last month, which channels have taken them, and when the others are tried next."""
    from cj_pipeline.alerts.channels import channels_of
    from cj_pipeline.alerts.outbox import KEPT, next_try, outbox, unusable_messages
    from cj_pipeline.alerts.settings import alert_settings
    from cj_pipeline.foundation.settings import PipelineSettings

    found, now = outbox(PipelineSettings().data_dir), utc_now()
    for problem in unusable_messages(PipelineSettings().data_dir):
        say(f"warning: {problem}", err=True)
    try:
        tries = {name: next_try(found, name, now) for name in channels_of(alert_settings())}
    except BadInput as problem:  # the daemon sends nothing either
        say(f"warning: {problem}", err=True)
        tries = {}

    def waits(kept: Kept) -> dict[str, datetime | None]:
        return {name: None if now - kept.written_at > KEPT else tries.get(name) for name in kept.waiting}

    if as_json:
        print_json(
            [
                kept.model_dump(mode="json")
                | {"next_try": {name: at and at.isoformat() for name, at in waits(kept).items()}}
                for kept in found
            ]
        )
        return
    if not found:
        say("There is no message.")
        return
    rows = [
        (
            kept.alert.id,
            f"{kept.written_at:%Y-%m-%d %H:%M}",
            ", ".join(name for name in kept.channels if name not in kept.waiting) or "none",
            "; ".join(
                f"{name}: {kept.channels[name].problem or 'not tried'}, {when_tried(at, now)}"
                for name, at in waits(kept).items()
            ),
        )
        for kept in found
    ]
    print_table("Messages", ("message", "written (UTC)", "taken by", "waits"), rows)


def when_tried(at: datetime | None, now: datetime) -> str:
    """Say when a channel is tried next. at: None where it is not set here, or the message is older than a week."""
    if at is None:
        return "no further try"
    return f"{'next try' if at > now else 'due since'} {at:%Y-%m-%d %H:%M} UTC"


@alerts.command("test")
def send_test() -> None:
    """Send a message to every channel that is set, now. Exits with 3 when one does not take it."""
    from cj_pipeline.alerts.channels import NotSent, channels_of
    from cj_pipeline.alerts.message import Alert
    from cj_pipeline.alerts.settings import PREFIX, alert_settings

    channels = channels_of(alert_settings())
    if not channels:
        raise BadInput(
            "names no channel.",
            path="environment",
            field=f"{PREFIX}WEBHOOK, {PREFIX}SLACK_WEBHOOK, {PREFIX}EMAIL_TO",
            remedy="Set one of them.",
        )
    now = utc_now()
    alert = Alert(
        id=f"test-{now:%Y%m%dT%H%M%S}",
        night=now.date(),
        subject="CJ Pipeline: a message to try where messages go",
        scenarios=(),
        changes=("Nothing is wrong.",),
    )
    code = exit_codes.PASSED
    for name, send in channels.items():
        try:
            send(alert)
            say(f"{name}: taken")
        except NotSent as problem:
            say(f"{name}: {problem}", err=True)
            code = exit_codes.CANNOT_TELL
    sys.exit(code)


@alerts.command("send")
def send_now() -> None:
    """Send what waits, whenever it was tried last. Exits with 3 when something was not taken."""
    from cj_pipeline.alerts.channels import channels_of
    from cj_pipeline.alerts.outbox import KEPT, outbox, send_waiting
    from cj_pipeline.alerts.settings import alert_settings
    from cj_pipeline.foundation.settings import PipelineSettings

    root, channels = PipelineSettings().data_dir, channels_of(alert_settings())
    waited = outbox(root)
    problems = send_waiting(root, channels, utc_now(), at_once=True)
    for problem in problems:
        say(problem, err=True)
    now = utc_now()
    left = {kept.alert.id: kept for kept in outbox(root)}
    for before in waited:
        if after := left.get(before.alert.id):  # none, where it was too old and has been removed
            for name in sorted({*before.waiting} - {*after.waiting}):
                say(f"{before.alert.id} was taken by {name}.")
    still = [kept for kept in left.values() if kept.waiting and now - kept.written_at <= KEPT]
    say(f"Messages that wait: {len(still)}.")
    sys.exit(exit_codes.CANNOT_TELL if problems else exit_codes.PASSED)


@alerts.command("check")
def check_night() -> None:
    """Say whether the last night was concluded. Exits with 1 when it was not, for a watch outside this machine.

    A machine that is off sends no message; what asks it this every morning notices. The first night is the one after
    the daemon's first look.
    """
    from cj_pipeline.alerts.night import BEGINS, due_night, first_night, is_over, last_night
    from cj_pipeline.foundation.settings import PipelineSettings

    now, root = utc_now(), PipelineSettings().data_dir
    due = due_night(now)
    last, first = last_night(root, due), first_night(root)
    if last is not None and last.night == due:
        red = sum(not one.good for one in last.outcomes)
        say_wrapped(f"The night of {due} was concluded: {red} of {len(last.outcomes)} scenarios not as expected.")
        return
    if last is None and first is not None and due < first:
        say_wrapped(f"No night was due yet. The first begins on {first} at {BEGINS:%H:%M} UTC.")
        return
    seen = "None was ever concluded." if last is None else f"The last one was that of {last.night}."
    if not is_over(due, now):
        say_wrapped(f"The night of {due} is not over. {seen}")
        return
    follows = f"The next begins on {due + timedelta(days=1)} at {BEGINS:%H:%M} UTC, where a daemon or a timer runs."
    say_wrapped(f"The night of {due} did not run. {seen} {follows}", err=True)
    sys.exit(exit_codes.CHECK_FAILED)
