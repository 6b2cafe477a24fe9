"""This module runs the whole deployed stack on one machine, until it is interrupted or one of its parts ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from confluent_kafka import KafkaException

from cj_pipeline.bus.kafka.clients import new_admin
from cj_pipeline.bus.kafka.settings import kafka_settings_from_environment
from cj_pipeline.local.folder_lock import folder_lock
from cj_pipeline.local.parts import servers_of
from cj_pipeline.local.ports import is_free
from cj_pipeline.local.programs import CannotStart
from cj_pipeline.local.server import Server
from cj_pipeline.local.stack_plan import KAFKA, StackPlan

BROKERS_TIMEOUT_S = 10.0

Report = Callable[[str], None]


@contextmanager
def running_stack(plan: StackPlan, report: Report = lambda _: None) -> Iterator[dict[str, Server]]:
    """Start every part, yield the servers by part once all of them answer, and stop them at the end, last first.

    report: called with a sentence as each part is up. Topics, batches, texts and logs stay in the plan's folder.
    Raises CannotStart, with the last lines of its log, for a part that does not start, a port that is taken, brokers
    that do not answer, and another stack in the folder; no part runs then.
    """
    in_use = f"Another stack runs on '{plan.folder}'. Stop that one (Ctrl-C), or set another CJ_PIPELINE_DATA_DIR."
    with ExitStack() as stack:
        stack.enter_context(folder_lock(plan.folder / ".lock", in_use=in_use))
        _require_free_ports(plan)
        if plan.kafka is not None:
            _require_brokers(plan.kafka)
        servers = servers_of(plan)
        for part, server in servers.items():
            began = time.monotonic()
            stack.enter_context(server)
            report(f"{part:<8} {server.spec.address}, up after {time.monotonic() - began:.1f} s, log {server.log}")
        yield servers


def _require_free_ports(plan: StackPlan) -> None:
    """Check the ports before anything is started: one that is taken is the most likely thing to go wrong."""
    for part in plan.parts:
        if not is_free(plan.port(part)):
            hint = f", or use the broker there (--kafka {plan.bootstrap_servers})" if part == KAFKA else ""
            raise CannotStart(
                f"Port {plan.port(part)}, meant for {part}, is taken by another process. End that one, name another "
                f"port (--port {part}=PORT){hint}."
            )


def _require_brokers(bootstrap_servers: str) -> None:
    """Check the brokers: the services would start without them and wait, and every batch with them."""
    try:
        new_admin(kafka_settings_from_environment(bootstrap_servers=bootstrap_servers)).list_topics(
            timeout=BROKERS_TIMEOUT_S
        )
    except KafkaException:
        raise CannotStart(
            f"No broker of {bootstrap_servers} answers within {BROKERS_TIMEOUT_S:g} s. Start it, name another one "
            "(--kafka), or unset KAFKA_BOOTSTRAP_SERVERS for a broker of the stack's own."
        ) from None
