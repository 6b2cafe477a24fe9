"""This module compares the hints that a scenario sends with those that its recording carries.

A live side that sends fewer has callbacks of another shape, and the check `schema` cannot pass.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from cj_pipeline.contracts.engine_settings import MetadataHint
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.foundation.json_lines import read_lines
from cj_pipeline.traces.glance import glance
from cj_pipeline.traces.scenario import Scenario

# One batch is asked in one way; the first lines say which.
_LINES = 1_000


def require_carried_hints(scenario: Scenario, scenario_file: Path, callbacks: Path) -> None:
    """Raise BadInput where callbacks carry hints that the live side will not send, with the line to write."""
    if "schema" in scenario.checks_off:
        return
    read = (glance(line) for line in islice(read_lines(callbacks, utf8=False), _LINES))
    carried = frozenset[MetadataHint]().union(*(one.hints for one in read if one is not None))
    missing = sorted(carried - set(scenario.engine.sent_hints()))
    if missing:
        switched_on = scenario.engine.model_copy(update={"enable_llm_batching_metadata_hints": True})
        named = f"metadata_hints: [{', '.join(hint.value for hint in MetadataHint if hint in carried)}]"
        enough = carried == set(switched_on.sent_hints())
        raise BadInput(
            f"the callbacks carry {', '.join(missing)}, which the live side would not send.",
            path=scenario_file,
            field="engine",
            remedy=f"Write under engine: {'enable_llm_batching_metadata_hints: true' if enough else named}",
        )
