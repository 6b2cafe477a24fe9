"""This module prints the table at the end of a soak."""

from __future__ import annotations

from statistics import median

from tests.soak.disruptions import Kind
from tests.soak.soak import Findings

_SHOWN = 20


def table(findings: Findings) -> str:
    """What was found, one figure a line, then each disruption's kind, then everything that is wrong."""
    audit = findings.audit
    rows = [
        ("posted", f"{findings.posts}"),
        ("accepted", f"{audit.accepted}"),
        ("retried posts", f"{findings.posts - audit.accepted - len(findings.refused)}"),
        ("restarts of instances", f"{findings.restarts}"),
        ("callbacks", f"{audit.callbacks}"),
        ("of them errors", f"{audit.errors}"),
        ("repeats, byte for byte", f"{audit.repeats - len(audit.differing)}"),
        ("lost", f"{len(audit.lost)}"),
        ("answered twice, differently", f"{len(audit.differing)}"),
        ("not asked for", f"{audit.strange}"),
        ("refused for good", f"{len(findings.refused)}"),
        ("status or result at odds", f"{len(findings.disagreeing)}"),
        ("tracebacks in logs", f"{len(findings.tracebacks)}"),
    ]
    lines = [f"{name:<30}{value:>8}" for name, value in rows]
    lines += ["", f"{'disruption':<30}{'times':>8}{'recovery p50':>14}{'max':>9}"]
    for kind in (*Kind, None):
        took = [
            took
            for disruption, took in zip(findings.disruptions, findings.recovery_s, strict=True)
            if kind in (None, disruption.kind)
        ]
        if took:
            lines.append(f"{kind or 'all':<30}{len(took):>8}{median(took):>12.1f} s{max(took):>7.1f} s")
    wrong = [
        *(f"lost: {one}" for one in audit.lost),
        *(f"differing: {one}" for one in audit.differing),
        *(f"refused: {one}" for one in findings.refused),
        *(f"at odds: {one}" for one in findings.disagreeing),
        *(f"traceback: {one}" for one in dict.fromkeys(findings.tracebacks)),
    ]
    return "\n".join([*lines, *([""] if wrong else []), *wrong[:_SHOWN]])
