"""This module says what capture and import need of a redaction. It does not redact (redaction/redaction.py).

The terminal and the assets choose a redaction and pass it in, so that neither room imports the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from cj_pipeline.traces.provenance import RedactionProvenance

if TYPE_CHECKING:
    from collections import Counter

    from cj_pipeline.contracts.callback import CallbackEvent
    from cj_pipeline.traces.redaction_policy import RedactionPolicy
    from cj_pipeline.traces.scenario import Scenario


class Redactor(Protocol):
    """Takes names and texts out of callbacks and scenarios. dropped: how much went, by kind; it grows."""

    @property
    def policy(self) -> RedactionPolicy:
        """Return the choices that it follows."""

    @property
    def key_id(self) -> str:
        """Return 8 hex digits that name the key of its pseudonyms."""

    @property
    def dropped(self) -> Counter[str]:
        """Return how much went, by kind; never what."""

    def line(self, event: CallbackEvent) -> bytes:
        """Return the callback's redacted JSON, without a newline."""

    def essay(self, essay_id: str) -> str:
        """Return the pseudonym of an essay."""

    def batch(self, bos_batch_id: str) -> str:
        """Return a batch id as it may be kept."""

    def model(self, model: str) -> str:
        """Return a model's name as it may be kept."""

    def message_digest(self, raw: bytes) -> str:
        """Return a keyed digest of a message that is not kept."""

    def grades(self, scale: Sequence[str]) -> dict[str, str]:
        """Return what the grades of a scale become."""

    def scenario(self, scenario: Scenario, scenario_id: str, mode: str) -> Scenario:
        """Return a scenario under the names of its redacted copy."""

    def scenario_of_pseudonyms(self, scenario: Scenario) -> Scenario:
        """Return a scenario whose essays have pseudonyms already, without what people wrote into it since."""


def redaction_provenance(
    redactor: Redactor | None, dropped: dict[str, int], *, raw_quarantine_kept: bool = False
) -> RedactionProvenance | None:
    """Return the `redaction` part of a provenance; None where nothing was taken out."""
    if redactor is None:
        return None
    return RedactionProvenance(
        policy=redactor.policy,
        key_id=redactor.key_id,
        dropped={kind: count for kind, count in sorted(dropped.items()) if count},
        raw_quarantine_kept=raw_quarantine_kept,
    )
