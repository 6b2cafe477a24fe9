"""How often does parity accept a faithful mock, and reject a wrong one, over many seeds?

    python -m benchmarks.acceptance [SEEDS]

Each cell is a whole live run with its repeats and the whole comparison; 60 seeds take two and a half minutes.
"""

from __future__ import annotations

import sys

from tests.sides import SCENARIOS, failed, live

WRONG = ("+coin", "+inverted", "+instant", "+tokens_x1_4")


def accepted(scenario_id: str, mode: str, seeds: int) -> int:
    """Of so many seeds, how many leave every check green."""
    count = 0
    for seed in range(1000, 1000 + seeds):
        count += not failed(scenario_id, mode, seed)
        live.cache_clear()  # a run with its repeats is a few hundred callbacks; none is asked for twice
    return count


def main(seeds: int = 10) -> None:
    print(f"accepted of {seeds} seeds\n")
    print("| scenario | faithful | " + " | ".join(WRONG) + " |")
    print("|---|---|" + "---|" * len(WRONG))
    for scenario_id in SCENARIOS:
        cells = " | ".join(str(accepted(scenario_id, mode, seeds)) for mode in ("", *WRONG))
        print(f"| {scenario_id} | {cells} |")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:2]))
