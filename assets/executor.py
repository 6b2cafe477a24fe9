"""This module declares the executor of every job, asset page and backfill: one process, unless a run asks for more.

A scenario computes for about a second, and Dagster's own default, a new interpreter for each step, takes half a minute
to start. Who has long steps asks for processes in the run configuration: `execution: {config: {multiprocess: {}}}`.
They are forks of one process that has imported the code location already.
"""

from __future__ import annotations

import os

from dagster import (
    Executor,
    Field,
    InitExecutorContext,
    Selector,
    executor,
    in_process_executor,
    multi_or_in_process_executor,
    multiple_process_executor_requirements,
    multiprocess_executor,
)

CODE_LOCATION = "cj_pipeline.definitions"

PRELOADED = {"forkserver": {"preload_modules": [CODE_LOCATION]}}


@executor(
    name="in_process_unless_asked",
    config_schema=Field(
        Selector(  # type: ignore[no-untyped-call]
            {
                "in_process": in_process_executor.config_schema.as_field(),
                "multiprocess": multiprocess_executor.config_schema.as_field(),
            }
        ),
        default_value={"in_process": {}},
        description="One process for all steps, or one for each step: multiprocess: {max_concurrent: 2}.",
    ),
    requirements=lambda config: [] if "in_process" in config else multiple_process_executor_requirements(),
)
def in_process_unless_asked(init: InitExecutorContext) -> Executor:
    """Return Dagster's executor of the kind that the run's configuration names."""
    config = dict(init.executor_config)
    if isinstance(given := config.get("multiprocess"), dict):
        config["multiprocess"] = {
            **given,
            "max_concurrent": given.get("max_concurrent") or processors(),
            "start_method": given.get("start_method") or PRELOADED,
        }
    made: Executor = multi_or_in_process_executor.executor_creation_fn(  # type: ignore[misc]  # Dagster's own has one
        init._replace(executor_config=config)
    )
    return made


def processors() -> int:
    """Return how many processors this process may use; Dagster's default counts those of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
