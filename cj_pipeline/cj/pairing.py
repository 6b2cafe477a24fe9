"""Which pairs come next.

Here: the two strategies (`recorded`: the trace's own; `balanced`: a matching), for coverage and for resampling.
Not here: who is shown as A (orientation.py), when a wave is wanted (decisions.py).

An essay stands at most once in a matching, so a coverage wave is at most floor(n/2) wide; a resampling wave is a whole
pass over the covered pairs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import networkx as nx
import numpy as np

from cj_pipeline.cj.state import PlannedPair, State, WaveKind
from cj_pipeline.contracts.engine_settings import Pairing
from cj_pipeline.seeding import keyed_generator

Pair = tuple[str, str]

# Scores this far apart tell nothing about each other's neighbourhood (production's limit, logits).
PROXIMITY_REACH = 2.0


def next_pairs(state: State, kind: WaveKind) -> list[PlannedPair] | list[Pair]:
    """The pairs of the next wave, at most as many as the budget allows; empty when there is nothing to ask.

    Recorded pairs come in the trace's orientation; balanced ones unordered, for orientation.py.
    """
    if state.remaining <= 0:
        return []
    if state.batch.settings.pairing is Pairing.RECORDED:
        return _recorded_wave(state)
    if kind is WaveKind.COVERAGE:
        return _matching(state, _uncovered_pairs(state), _counts(state))[: state.remaining]
    return _resampling_pass(state)


def _recorded_wave(state: State) -> list[PlannedPair]:
    """The plan's next wave, whatever its kind: the trace says what was asked, the engine says what that means."""
    if len(state.waves) >= len(state.batch.plan):
        return []
    return list(state.batch.plan[len(state.waves)][: state.remaining])


def _uncovered_pairs(state: State) -> list[Pair]:
    """Pairs without a winner yet. A pair that failed is asked again (in production one error blocks it for good)."""
    covered = {tuple(sorted(outcome)) for outcome in state.won()}
    return [pair for pair in state.batch.pairs() if pair not in covered]


def _resampling_pass(state: State) -> list[Pair]:
    """Every covered pair once more; when the budget is shorter, whole matchings of it, so that no essay is favoured."""
    candidates = sorted({(a, b) if a < b else (b, a) for a, b in state.won()})
    room = min(len(candidates), state.remaining)
    if room == len(candidates):
        return candidates
    counts = _counts(state)
    left = candidates
    chosen: list[Pair] = []
    while len(chosen) < room:
        matching = _matching(state, left, counts)[: room - len(chosen)]
        chosen += matching
        counts.update(_essays(matching))
        taken = set(matching)
        left = [pair for pair in left if pair not in taken]
    return chosen


def _matching(state: State, candidates: list[Pair], counts: Counter[str]) -> list[Pair]:
    """A maximum-cardinality matching of greatest weight (Edmonds' blossom algorithm, networkx).

    Weight of a pair: Wc (1/(1+c_a) + 1/(1+c_b)) + Wp exp(-|d|) for |d| < 2, plus a jitter below 0.001 that breaks ties.
    """
    if not candidates:
        return []
    settings = state.batch.settings
    items = state.batch.items
    index = {item: position for position, item in enumerate(items)}
    first = np.array([index[a] for a, _ in candidates])
    second = np.array([index[b] for _, b in candidates])
    count = np.array([counts[item] for item in items], dtype=float)
    score = np.array([(state.scores or {}).get(item, 0.0) for item in items])
    distance = np.abs(score[first] - score[second])
    proximity = np.where(distance < PROXIMITY_REACH, np.exp(-distance), 0.0)
    evenness = 1 / (1 + count[first]) + 1 / (1 + count[second])
    # Seeded per wave: production re-uses one seed for every wave and so repeats its coins.
    jitter = keyed_generator(
        settings.pair_generation_seed, state.batch.seed, "jitter", len(state.waves), len(candidates)
    )
    weight = (
        settings.matching_weight_comparison_count * evenness
        + settings.matching_weight_bt_proximity * proximity
        + jitter.uniform(0.0, 0.001, len(candidates))
    )
    graph: nx.Graph[int] = nx.Graph()
    # Integer nodes: networkx walks sets, and the order of a set of strings changes from process to process.
    graph.add_weighted_edges_from(zip(first.tolist(), second.tolist(), weight.tolist(), strict=True))
    _leave_one_out(graph, items, counts)
    matched = nx.max_weight_matching(graph, maxcardinality=True)
    return sorted((items[min(edge)], items[max(edge)]) for edge in matched)


def _leave_one_out(graph: nx.Graph[int], items: tuple[str, ...], counts: Counter[str]) -> None:
    """With an odd net somebody must sit out: whoever was compared most, the smallest id among those.

    Never an essay that all remaining pairs share: without it no pair would be left, and the wave would come out empty.
    """
    if len(items) % 2 == 0 or graph.number_of_nodes() < len(items):
        return
    spared = (node for node in graph if graph.degree(node) < graph.number_of_edges())
    graph.remove_node(min(spared, key=lambda node: (-counts[items[node]], items[node])))


def _counts(state: State) -> Counter[str]:
    """Comparisons submitted per essay."""
    return Counter(_essays((c.essay_a, c.essay_b) for c in state.comparisons()))


def _essays(pairs: Iterable[Pair]) -> Iterable[str]:
    return (essay for pair in pairs for essay in pair)
