"""This module loads the served service for minutes while its processes are killed, paused and restarted.

    python -m tests.soak [--minutes 2] [--seed 1] [--instances 2]

It exits with 1 when an accepted request got no callback, or two that differ, or when another promise was broken. The
queue is in Redis, because a queue in memory promises nothing to a killed process. The seed draws the disruptions and
the order of posts; the machine decides what they hit.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.services.lps.redis_server import redis_binary
from tests.soak.disruptions import Kind, schedule
from tests.soak.report import table
from tests.soak.soak import soak


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--queue", choices=["redis"], default="redis", help="where accepted requests wait")
    parser.add_argument("--instances", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder for logs and callbacks, instead of a temporary one")
    given = parser.parse_args()
    if redis_binary() is None:
        sys.stderr.write("redis-server is not installed\n")
        return 2
    seconds = 60.0 * given.minutes
    disruptions = schedule(given.seed, seconds, tuple(Kind), given.instances)
    with tempfile.TemporaryDirectory(prefix="soak-") as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        findings = asyncio.run(soak(folder, seconds, disruptions, seed=given.seed, instances=given.instances))
    sys.stdout.write(f"{table(findings)}\n")
    return 0 if findings.kept else 1


if __name__ == "__main__":
    sys.exit(main())
