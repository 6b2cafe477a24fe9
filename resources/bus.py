"""This module configures the bus that carries the callbacks of the live side."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dagster import ConfigurableResource
from pydantic import Field

from cj_pipeline.bus.memory import MemoryBus
from cj_pipeline.bus.protocol import Bus
from cj_pipeline.foundation.errors import BadInput, did_you_mean

KINDS: Mapping[str, Callable[[], Bus]] = {"memory": MemoryBus}


class BusResource(ConfigurableResource[None]):
    """A bus of one kind. In memory, it lives as long as the step that opens it."""

    kind: str = Field(default="memory", description=f"Transport; known: {', '.join(KINDS)}.")

    def open(self) -> Bus:
        """Return a new, empty bus. Raises BadInput when there is no such kind."""
        if self.kind not in KINDS:
            raise BadInput(
                f"'{self.kind}' is not a kind of bus.",
                path="run configuration",
                field="resources.bus.config.kind",
                remedy=did_you_mean(self.kind, KINDS),
            )
        return KINDS[self.kind]()
