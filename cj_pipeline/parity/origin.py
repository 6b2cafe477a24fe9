"""This module says what the provenance of a recording means for its checks: what is missing, what is invented."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from cj_pipeline.parity.gates import GATES, Family, Gate
from cj_pipeline.traces.provenance import FieldOrigin, Provenance


def _gates(choice: Callable[[Gate], bool]) -> frozenset[str]:
    return frozenset(gate.name for gate in GATES if choice(gate))


CHECKS_OF_FIELD: Mapping[str, frozenset[str]] = {
    "data.winner": _gates(lambda gate: gate.of_wins),
    "data.confidence": _gates(lambda gate: gate.name.startswith("confidence")),
    "data.response_time_ms": _gates(lambda gate: gate.family is Family.TIME),
    "data.token_usage.prompt_tokens": frozenset({"tokens_prompt", "tokens_per_essay"}),
    "data.token_usage.completion_tokens": frozenset({"tokens_completion", "tokens_spread", "latency_link"}),
    "data.token_usage.total_tokens": frozenset({"tokens_total"}),
    "data.cost_estimate": frozenset({"cost"}),
    "data.error_detail": frozenset({"error_values"}),
    "data.justification": frozenset({"justification"}),
    "data.model": frozenset({"identity"}),
    "data.requested_at": frozenset({"times"}),
    "data.completed_at": frozenset({"times"}),
}
"""The checks whose recorded value says nothing where a field of callbacks is invented."""

_INVENTED = (FieldOrigin.DRAWN, FieldOrigin.ABSENT)


def invented_checks(provenances: Sequence[Provenance]) -> frozenset[str]:
    """Return the checks that look at a field which a recording does not have: drawn, or a placeholder."""
    invented = {name for one in provenances for name, field in one.fields.items() if field.origin in _INVENTED}
    return frozenset().union(*(CHECKS_OF_FIELD.get(name, frozenset()) for name in invented))


def missing_parts(provenances: Sequence[Provenance]) -> tuple[str, ...]:
    """Return what recordings lack of what their capture or import was asked for, in sentences; nothing when whole."""
    return tuple(
        sentence
        for provenance in provenances
        for section in provenance.sections
        if section.partial
        for sentence in section.missing or ("Something that was asked for.",)
    )
