"""Every benchmark table, one after another: `python -m benchmarks`."""

from __future__ import annotations

from benchmarks import acceptance, bt_fit, callbacks, embedded_stack, lps_served, waves


def main() -> None:
    for benchmark in (bt_fit, callbacks, waves, embedded_stack, lps_served, acceptance):
        print(f"\n## {benchmark.__name__.removeprefix('benchmarks.')}\n")
        benchmark.main()


if __name__ == "__main__":
    main()
