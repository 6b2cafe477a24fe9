"""What do the counts of the operating characteristics add up to?

    python -m benchmarks.operating_report gather counts.jsonl real_judges.json
    python -m benchmarks.operating_report write

`gather` adds the lines up into `figures/`, one entry a judge; `write` puts table and plot of them into `docs/`.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cj_pipeline.parity.power import OF_WINS, WrongMock

FIGURES = Path(__file__).parent / "figures"
COUNTS, REAL = FIGURES / "operating_characteristics.json", FIGURES / "real_judges.json"
DOCS = Path(__file__).parent.parent / "docs"
BEGIN, END = "<!-- operating-characteristics -->\n\n", "\n<!-- end of operating-characteristics -->"
OTHERS = "<!-- found-at-c -->\n\n", "\n<!-- end of found-at-c -->"
AT_C = ((1, 0.0), (1, 0.7), (2, 0.0), (2, 0.7))
"""Recordings and repeatability of the judges at which power may not be given away."""
MOST_OF_ONE = 0.03
"""Of the faithful runs of one judge, so many may be NO PARITY."""
ESSENTIAL = (*OF_WINS, WrongMock.INSTANT, WrongMock.TOKENS)


@dataclass(frozen=True, slots=True)
class Judge:
    """What was counted of one judge. at: of the hypercube, or of the point (c)."""

    at: str
    kind: Mapping[str, Any]
    counts: Counter[str]

    def share(self, name: str, of: str = "runs") -> float:
        """Return how often something was counted, of all runs."""
        return self.counts[name] / max(self.counts[of], 1)

    def variance(self, name: str) -> float:
        """Return the variance of a count: of its spread over recordings, whose runs go together."""
        n = self.counts["recordings"]
        return max(self.counts[f"squared {name}"] - self.counts[name] ** 2 / n, 0.0) * n / (n - 1) if n > 1 else 0.0


def gathered(lines: Iterable[str]) -> list[dict[str, Any]]:
    """Add up the lines of each judge."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for entry in map(json.loads, lines):
        judge = found.setdefault(
            (entry["at"], entry["number"]),
            {"at": entry["at"], "number": entry["number"], "kind": entry["kind"], "counts": Counter()},
        )
        judge["counts"].update({name: count for name, count in entry["counts"].items() if count})
    return [found[key] for key in sorted(found)]


def read_judges() -> list[Judge]:
    """Read what was gathered."""
    entries = json.loads(COUNTS.read_text(encoding="utf-8"))
    return [Judge(entry["at"], entry["kind"], Counter(entry["counts"])) for entry in entries]


def pooled(judges: Iterable[Judge]) -> Judge:
    """Return all judges as one."""
    return Judge("pooled", {}, sum((judge.counts for judge in judges), Counter()))


def error(judges: Iterable[Judge], name: str, of: str = "runs") -> float:
    """Return the standard error of a share over some judges."""
    judges = list(judges)
    return math.sqrt(sum(judge.variance(name) for judge in judges)) / max(pooled(judges).counts[of], 1)


def known(share: float, recordings: int) -> str:
    """Return a share and how surely it is known, as if all runs of a recording were one: no runs go together more."""
    if share in (0.0, 1.0):
        return f"{share:.2%}, {'at most' if share == 0 else 'at least'} {abs(share - min(3 / recordings, 1)):.2%}"
    return f"{share:.2%} +- {2 * math.sqrt(share * (1 - share) / recordings):.2%}"


def recorded(judges: Iterable[Judge]) -> str:
    """Return how many recordings each judge has."""
    counts = sorted(judge.counts["recordings"] for judge in judges)
    each = f"{counts[0]}" if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
    return f"{each} of each of {len(counts)} judges, {sum(counts):,} in all"


def alarms(total: Judge) -> str:
    """Return the gates that most faithful runs fail."""
    failed = {name.removeprefix("failed "): n for name, n in total.counts.items() if name.startswith("failed ")}
    first = sorted(failed, key=lambda name: -failed[name])[:5]
    return ", ".join(f"`{name}` {total.share(f'failed {name}'):.2%}" for name in first) or "none"


def rows(judges: list[Judge], real: Mapping[str, Mapping[str, int]]) -> list[tuple[str, str, str]]:
    """Return what was asked, what is wanted, and what was found."""
    cube = [judge for judge in judges if judge.at == "hypercube"]
    total, at_c = pooled(cube), [judge for judge in judges if judge.at == "c"]
    no, parity = total.share("no"), total.share("parity")
    worst = max(cube, key=lambda judge: judge.share("no"))
    above = [judge for judge in cube if judge.share("no") > MOST_OF_ONE]
    clearly = [judge for judge in above if judge.share("no") - 2 * error([judge], "no") > MOST_OF_ONE]
    found = [
        ("recordings of (a) and (b)", "at least 100 of each judge", recorded(cube)),
        ("recordings of (c)", "at least 100 of each judge", recorded(at_c)),
        (
            "(a) a faithful run is NO PARITY",
            "at most 1 %",
            f"{no:.2%} +- {2 * error(cube, 'no'):.2%} of {total.counts['runs']:,} runs of {len(cube)} judges; "
            f"{total.counts['recordings with a no']} of {total.counts['recordings']:,} recordings have one",
        ),
        (
            "(a) the same, the worst judge",
            "at most 3 %",
            f"{worst.share('no'):.1%} +- {2 * error([worst], 'no'):.1%}, in {worst.counts['recordings with a no']} of "
            f"{worst.counts['recordings']} recordings; {len(above)} judges are above 3 %, {len(clearly)} of them by "
            "more than chance explains",
        ),
        ("(a) the gates that fail most in them", "", alarms(total)),
        (
            "a faithful run is PARITY, CANNOT TELL",
            "about half",
            f"{parity:.0%} +- {2 * error(cube, 'parity'):.0%}, {1 - no - parity:.0%}",
        ),
        *((f"(b) {mock} is PARITY", "at most 5 %", _past(total, cube, mock)) for mock in ESSENTIAL),
        *(row for key in AT_C for row in _power(at_c, *key)),
        *(
            (
                f"95 % intervals that hold {name.replace('_', ' ')}",
                "93 to 97 %",
                f"{share:.1%} +- {2 * error(cube, f'covered {name}', f'intervals {name}'):.1%}",
            )
            for name, share in coverage(total).items()
        ),
        *(
            (
                f"a drift of {name} by its margin is EQUIVALENT",
                "at most 5 %",
                known(total.share(counted), total.counts["recordings"]),
            )
            for counted in sorted(total.counts)
            if (name := counted.removeprefix("equivalent at the margin ")) != counted
        ),
        (
            "some gate of a faithful run is DIFFERENT",
            "at most 5 %",
            known(total.share("different", "recordings"), total.counts["recordings"]),
        ),
    ]
    limits = {"itself": "never", "another judge, 1": "at least 60 %", "another judge, 2": "at least 85 %"}
    for name, count in real.items():
        wanted = next(limit for start, limit in limits.items() if name.startswith(start))
        what = "is NO PARITY with" if name.startswith("itself") else "is told from"
        found.append((f"(e) a real judge {what} {name}", wanted, f"{count['found']} of {count['of']}"))
    return found


def coverage(judge: Judge) -> dict[str, float]:
    """Return how often the 95 % interval of each measure held a faithful run."""
    names = [name.removeprefix("intervals ") for name in judge.counts if name.startswith("intervals ")]
    return {name: judge.share(f"covered {name}", f"intervals {name}") for name in sorted(names)}


def _past(total: Judge, cube: list[Judge], mock: WrongMock) -> str:
    pooled_share = known(total.share(f"past {mock}"), total.counts["recordings"])
    worst = max(cube, key=lambda judge: judge.share(f"past {mock}"))
    return f"{pooled_share}; worst judge {known(worst.share(f'past {mock}'), worst.counts['recordings'])}"


def _power(at_c: list[Judge], recordings: int, repeatability: float) -> Iterable[tuple[str, str, str]]:
    kinds = like(at_c, recordings, repeatability)
    here = pooled(kinds)
    where = f"(c) {recordings} recorded, repeatability {repeatability:g}"
    least = min(ESSENTIAL, key=lambda mock: here.share(f"caught {mock}"))
    parity = f"{here.share('parity'):.1%} +- {2 * error(kinds, 'parity'):.1%}, {here.counts['recordings']} recordings"
    caught = known(here.share(f"caught {least}"), here.counts["recordings"])
    yield f"{where}: a faithful run is PARITY", "at least 90 %", parity
    yield f"{where}: {least} (the worst) is NO PARITY", "at least 95 %", caught


def like(judges: Iterable[Judge], recordings: int, repeatability: float) -> list[Judge]:
    """Return the judges with so many recordings and this repeatability."""
    wanted = recordings, repeatability
    return [judge for judge in judges if (judge.kind["recordings"], judge.kind["repeatability"]) == wanted]


def others(judges: list[Judge]) -> str:
    """Return how often each wrong mock that is not essential is found at the point (c), as Markdown."""
    columns = [pooled(like((j for j in judges if j.at == "c"), *key)) for key in AT_C]
    names = sorted({name.removeprefix("tried ") for one in columns for name in one.counts if name.startswith("tried ")})
    found = {name: [one.share(f"found {name}", f"tried {name}") for one in columns] for name in names}
    titles = [f"{recordings} recorded, repeatability {r:g}" for recordings, r in AT_C]
    lines = [f"| wrong mock | {' | '.join(titles)} |", f"|---|{'---:|' * len(AT_C)}"]
    for name, shares in sorted(found.items(), key=lambda entry: -sum(entry[1])):
        lines.append(f"| {name} | {' | '.join(f'{share:.0%}' for share in shares)} |")
    return "\n".join(lines) + "\n"


def table(judges: list[Judge], real: Mapping[str, Mapping[str, int]]) -> str:
    """Return the rows as Markdown."""
    lines = ["| what | wanted | measured |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows(judges, real))]) + "\n"


def plot(judges: list[Judge], path: Path) -> None:
    """Draw how the faithful runs of each judge of the hypercube end."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "operating", "font.size": 9})
    cube = sorted((judge for judge in judges if judge.at == "hypercube"), key=lambda judge: judge.share("parity"))
    figure, axes = plt.subplots(figsize=(8, 2.8))
    place = range(len(cube))
    parity, no = ([judge.share(name) for judge in cube] for name in ("parity", "no"))
    unproven = [1 - yes - never for yes, never in zip(parity, no, strict=True)]
    axes.bar(place, parity, color="#2a7f62", label="PARITY", width=0.9)
    axes.bar(place, unproven, bottom=parity, color="#c9c9c9", label="CANNOT TELL", width=0.9)
    axes.bar(place, no, bottom=[1 - share for share in no], color="#c0392b", label="NO PARITY (false alarm)", width=0.9)
    axes.set(xticks=[], xlabel=f"{len(cube)} simulated judges", ylabel="share of faithful runs", xlim=(-0.6, len(cube)))
    axes.legend(loc="upper left", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _put(page: Path, marks: tuple[str, str], content: str) -> None:
    begin, end = marks
    before, rest = page.read_text(encoding="utf-8").split(begin)
    page.write_text(before + begin + content + end + rest.split(end)[1], encoding="utf-8")


def main(task: str, *files: str) -> None:
    """Gather counts, or write table and plot."""
    if task == "gather":
        counts, real = map(Path, files)
        FIGURES.mkdir(exist_ok=True)
        entries = gathered(counts.read_text(encoding="utf-8").splitlines())
        COUNTS.write_text("[\n" + ",\n".join(map(json.dumps, entries)) + "\n]\n", encoding="utf-8")
        REAL.write_bytes(real.read_bytes())
        return
    judges, real_counts = read_judges(), json.loads(REAL.read_text(encoding="utf-8"))
    _put(DOCS / "parity.md", (BEGIN, END), table(judges, real_counts))
    _put(DOCS / "gauntlet.md", OTHERS, others(judges))
    plot(judges, DOCS / "images" / "operating-characteristics.svg")


if __name__ == "__main__":
    main(*sys.argv[1:])
