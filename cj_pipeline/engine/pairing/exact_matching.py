"""The heaviest of all maximum matchings, for nets small enough to wait for it.

Here: Edmonds' blossom algorithm as networkx has it, and the seat for the one who sits out. Not here: nets too large for
it (near_matching.py), the choice between the two (matching.py).
"""

from __future__ import annotations

import networkx as nx
import numpy as np

from cj_pipeline.engine.pairing.augmenting import ALONE
from cj_pipeline.engine.pairing.net import IntArray, Net

# Weights as whole numbers: networkx then adds without rounding and checks its own result.
PER_UNIT = 10**9


def exact_matching(net: Net) -> IntArray:
    """Partner of each position, ALONE without one; among maximum matchings none is heavier.

    In an odd net whoever is most compared sits out (the smallest id among those), of all without whom the matching is
    as large as with everybody. About 0.6 microseconds per essay and open pair.
    """
    mate = np.full(len(net), ALONE, dtype=np.intp)
    first, second = np.nonzero(np.triu(net.open))
    if not len(first):
        return mate
    weight = np.rint(net.weight(first, second) * PER_UNIT).astype(np.int64)
    graph: nx.Graph[int] = nx.Graph()
    # Integer nodes: networkx walks sets, and the order of a set of strings changes from process to process.
    graph.add_weighted_edges_from(zip(first.tolist(), second.tolist(), weight.tolist(), strict=True))
    if len(net) % 2 == 1:
        _add_seat(graph, net, int(weight.max()))
    for one, other in nx.max_weight_matching(graph, maxcardinality=True):
        if max(one, other) < len(net):
            mate[one], mate[other] = other, one
    return mate


def _add_seat(graph: nx.Graph[int], net: Net, heaviest: int) -> None:
    """A node that everybody can be matched with, dearest with whom should sit out.

    One step of the order outweighs all that the pairs could gain by another choice, so the order decides first.
    """
    step = (len(net) // 2 + 1) * (heaviest + 1)
    order = net.sits_out_first()[::-1].tolist()
    graph.add_weighted_edges_from((position, len(net), rank * step) for rank, position in enumerate(order))
