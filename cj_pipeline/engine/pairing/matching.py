"""This module chooses the pairs of a coverage wave: a maximum matching, as heavy as there is time for.

Maximum: no other matching has more pairs. Heaviest: up to `EXACT_PAIRS` open pairs, rustworkx (Edmonds' blossom
algorithm) sees them all. Above, it sees the neighbours of each essay on the scale and as many pairs spread over the
rest, which costs 0.03 % of the weight on average and 0.4 % in the worst of 94 nets of 210 to 300 essays.
"""

from __future__ import annotations

from math import ceil

import numpy as np
import numpy.typing as npt
import rustworkx as rx

from cj_pipeline.engine.pairing.net import BoolArray, IntArray, Net

# A net of 200 essays at its first wave: 0.05 s. One of 1,000 has 499,500 open pairs and would take 12 s.
EXACT_PAIRS = 20_000

# Candidates of an essay above it on the scale: as many neighbours, and about as many spread over the others. 8 lose up
# to 1.0 % of the weight where all neighbours have met; 16 lose 0.04 % there, for half as much time again.
CANDIDATES = 16

# Essays that are matched together in a larger net. The time grows with the square of their number: 0.4 s for 1,000.
PIECE = 500

# Weights as whole numbers: the algorithm then adds without rounding, and equal sums are equal in every process.
PER_UNIT = 10**9


def best_matching(net: Net) -> tuple[IntArray, IntArray]:
    """Return (one side, other side) of the chosen pairs as positions in the net; both empty when no pair is open.

    In an odd net the most compared essay sits out (the smallest id among those), of all without whom the matching is as
    large as with everybody.
    """
    playing = np.flatnonzero(net.open.any(axis=1))
    # An essay that has met all the others is no part of the question, not even of whether the net is odd.
    part = net if len(playing) == len(net) else net.part(playing)
    exact = np.count_nonzero(part.open) <= 2 * EXACT_PAIRS
    pairs = playing[exact_matching(part) if exact else near_matching(part)]
    return pairs[:, 0], pairs[:, 1]


def exact_matching(net: Net) -> IntArray:
    """Return the pairs (rows of two positions) of the heaviest among all maximum matchings."""
    return _heaviest(net, np.triu(net.open), with_seat=len(net) % 2 == 1)


def near_matching(net: Net) -> IntArray:
    """Return the pairs of a maximum matching that is nearly the heaviest, for nets of any size."""
    players = np.sort(net.sits_out_first()[len(net) % 2 :])
    if len(players) > PIECE:
        pieces = np.array_split(players.reshape(-1, 2), ceil(len(players) / PIECE))
        parts = [piece.ravel() for piece in pieces]
        pairs = np.concatenate([part[_among_candidates(net.part(part), CANDIDATES)] for part in parts])
        if 2 * len(pairs) == len(players):
            return pairs
    # Late in a batch some essays have met all their candidates; there are more where that leaves somebody alone.
    candidates = CANDIDATES
    while candidates < len(players):
        pairs = players[_among_candidates(net.part(players), candidates)]
        if 2 * len(pairs) == len(players):
            return pairs
        candidates *= 8
    return exact_matching(net)


def _among_candidates(net: Net, number: int) -> IntArray:
    upwards = np.triu(net.open)
    rank = np.cumsum(upwards, axis=1, dtype=np.int32)
    step = np.maximum(rank[:, -1:] // number, 1)
    return _heaviest(net, upwards & ((rank <= number) | (rank % step == 0)))


def _heaviest(net: Net, allowed: BoolArray, *, with_seat: bool = False) -> IntArray:
    """Return the heaviest of the maximum matchings of the allowed pairs (first below second).

    with_seat: one more node that every essay can be matched with, dearest with the one that should sit out. One step
    of that order outweighs all that the pairs could gain by another choice, so the order decides first.
    """
    first, second = np.nonzero(allowed)
    weight: npt.NDArray[np.int64] = np.rint(net.weight(first, second) * PER_UNIT).astype(np.int64)
    edges = list(zip(first.tolist(), second.tolist(), weight.tolist(), strict=True))
    if with_seat and edges:
        step = (len(net) // 2 + 1) * (int(weight.max()) + 1)
        edges += [
            (position, len(net), rank * step) for rank, position in enumerate(net.sits_out_first()[::-1].tolist())
        ]
    graph: rx.PyGraph[int, int] = rx.PyGraph(multigraph=False)
    graph.add_nodes_from(range(len(net) + with_seat))
    graph.add_edges_from(edges)
    chosen = rx.max_weight_matching(graph, max_cardinality=True, weight_fn=int)
    pairs = sorted((min(pair), max(pair)) for pair in chosen if max(pair) < len(net))
    return np.array(pairs, dtype=np.intp).reshape(-1, 2)
