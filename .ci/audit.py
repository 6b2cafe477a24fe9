"""This script asks OSV (osv.dev) for known vulnerabilities of the packages that the locks name.

    python .ci/audit.py requirements/*.txt

It exits with 1 when there are some. Where the database cannot be reached it says so, and exits with 0: an audit that
did not take place is no finding.
"""

from __future__ import annotations

import json
import re
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

URL = "https://api.osv.dev/v1/querybatch"
TIMEOUT_S = 30.0
AT_ONCE = 500

_PINNED = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)


def pinned(text: str) -> set[tuple[str, str]]:
    """Return name and version of each package that a lock names."""
    return {(name.lower(), version) for name, version in _PINNED.findall(text)}


def asked(packages: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Return what OSV answers for each of some packages. Raises OSError, ValueError."""
    queries = [{"package": {"name": name, "ecosystem": "PyPI"}, "version": version} for name, version in packages]
    request = urllib.request.Request(
        URL, json.dumps({"queries": queries}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
        results = json.load(response)["results"]
    if len(results) != len(packages):
        raise ValueError(f"{len(results)} answers to {len(packages)} questions")
    return list(results)


def main(locks: Sequence[str]) -> int:
    """Print what is known of the packages of the locks, and return the exit code."""
    packages = sorted(set().union(*(pinned(Path(lock).read_text(encoding="utf-8")) for lock in locks)))
    if not packages:
        sys.stderr.write("the locks name no package\n")
        return 2
    results: list[dict[str, Any]] = []
    try:
        for start in range(0, len(packages), AT_ONCE):
            results += asked(packages[start : start + AT_ONCE])
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.stderr.write(
            f"NOT AUDITED: {URL} gave no answer ({error}). {len(packages)} packages were to be asked for.\n"
        )
        return 0
    found = 0
    for (name, version), result in zip(packages, results, strict=True):
        for one in result.get("vulns") or ():
            found += 1
            sys.stdout.write(f"{name} {version}: {one['id']}, https://osv.dev/vulnerability/{one['id']}\n")
    sys.stdout.write(f"{len(packages)} packages audited, {found} known vulnerabilities\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
