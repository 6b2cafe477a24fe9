"""A real Prometheus that has on record what two services counted in one run.

Here: its data and the process. Not here: assertions.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.eng5.batching_modes import Samples
from tests.reports.observability.driven import Prometheus, served

LONGEST_WINDOW_S = 6 * 3600
# With a sample at both ends of a window, an increase is not extrapolated; a value is current for five minutes.
STEP_S = 240


@contextmanager
def on_record(samples: Samples, folder: Path) -> Iterator[Prometheus]:
    """A Prometheus that saw everything counted between its last two scrapes, and nothing before."""
    end = int(time.time()) // STEP_S * STEP_S
    times = range(end - LONGEST_WINDOW_S, end + 1, STEP_S)
    lines = []
    for (name, labels), value in sorted(samples.items()):
        series = f"{name}{{{','.join(f'{label}={_quoted(text)}' for label, text in labels)}}}"
        lines += [f"{series} {value if at == end else 0.0} {at}" for at in times]
    (folder / "samples").write_text("\n".join([*lines, "# EOF"]) + "\n")
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", folder / "samples", folder / "data"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    (folder / "prometheus.yml").write_text("{}\n")
    with served(folder / "prometheus.yml", folder) as url:
        yield Prometheus(url, end)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
