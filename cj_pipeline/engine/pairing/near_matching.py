"""A maximum matching that is nearly the heaviest, for nets of any size.

Here: neighbours on the scale, paired in three simple orders, completed, and improved by exchanges. Not here: the exact
method (exact_matching.py).

Why neighbours are enough: a heavy matching joins essays of like scores, so of the thousands an essay may meet only the
nearest few are candidates. Why the counts play no part in who meets whom: they enter a pair's weight as a sum of two
terms, one per essay, and so weigh the same in all matchings of the same essays; they decide who sits out.
"""

from __future__ import annotations

import numpy as np

from cj_pipeline.engine.pairing.augmenting import ALONE, maximise
from cj_pipeline.engine.pairing.net import BoolArray, FloatArray, IntArray, Net

# Candidates on either side of an essay. Over 45 nets of 80 to 100 essays, 4 lose 0.20 % of the weight, 8 lose 0.12 %,
# and 16 as much for twice the time.
NEIGHBOURS = 8

# An exchange below this is rounding, or the tail of the jitter.
GAIN = 1e-6

# A start that leaves a larger share alone than this, and more than another one, is not worth its searches: 0.7 s of a
# second that 5,000 essays have.
STILL_ALONE = 0.1


def near_matching(net: Net) -> IntArray:
    """Partner of each position, ALONE without one; no matching has more pairs.

    In an odd net the first of `sits_out_first` sits out, if the others can all be paired.
    """
    first, second = _neighbours(net)
    order = net.sits_out_first()
    players = order[len(net) % 2 :]
    plays = np.zeros(len(net), dtype=np.bool_)
    plays[players] = True
    playing = plays[first] & plays[second]
    starts = [start(net, first[playing], second[playing]) for start in STARTS]
    for mate in starts:
        _complete(net, mate, players)
    alone = [int(np.count_nonzero(mate == ALONE)) for mate in starts]
    most = max(min(alone), len(net) * STILL_ALONE)
    good = [mate for mate, left in zip(starts, alone, strict=True) if left <= most]
    source, target = np.concatenate((first, second)), np.concatenate((second, first))
    ends = [_finished(net, mate, order, source, target) for mate in good]
    return max(ends, key=lambda mate: _worth(net, mate))


def _finished(net: Net, mate: IntArray, order: IntArray, source: IntArray, target: IntArray) -> IntArray:
    """A start made as large as it can be, and improved by exchanges."""
    alone = np.flatnonzero(mate == ALONE)
    if len(alone) > len(net) % 2 or (len(alone) == 1 and alone[0] != order[0]):
        mate = maximise(net.open, mate, order)
    _exchange(net, mate, source, target)
    return mate


def _worth(net: Net, mate: IntArray) -> float:
    paired = np.flatnonzero(mate != ALONE)
    return float(net.weight(paired, mate[paired]).sum())


def _neighbours(net: Net) -> tuple[IntArray, IntArray]:
    """For each essay the next ones up the scale that it may still meet, NEIGHBOURS of them."""
    ones, others = [], []
    for position in range(len(net) - 1):
        # Early in a batch nearly everybody near is open; only where too few are is the whole row looked at.
        near = np.flatnonzero(net.open[position, position + 1 : position + 1 + 4 * NEIGHBOURS])[:NEIGHBOURS]
        if len(near) < NEIGHBOURS:
            near = np.flatnonzero(net.open[position, position + 1 :])[:NEIGHBOURS]
        ones.append(np.full(len(near), position))
        others.append(near + position + 1)
    return np.concatenate(ones), np.concatenate(others)


def _up_the_scale(net: Net, first: IntArray, second: IntArray) -> IntArray:
    """From the lowest score upwards, each with the next one that is still alone."""
    return _each_if_alone(len(net), first, second, np.lexsort((second, first)))


def _nearest_first(net: Net, first: IntArray, second: IntArray) -> IntArray:
    """Pairs in descending order of nearness, each if both are still alone."""
    return _each_if_alone(len(net), first, second, np.argsort(-net.nearness(first, second), kind="stable"))


def _down_the_scale(net: Net, first: IntArray, second: IntArray) -> IntArray:
    """From the highest score downwards, each with the next one that is still alone."""
    return _each_if_alone(len(net), first, second, np.lexsort((-first, -second)))


def _each_if_alone(essays: int, first: IntArray, second: IntArray, order: IntArray) -> IntArray:
    mate = [ALONE] * essays
    for one, other in zip(first[order].tolist(), second[order].tolist(), strict=True):
        if mate[one] == ALONE and mate[other] == ALONE:
            mate[one], mate[other] = other, one
    return np.array(mate, dtype=np.intp)


# Exchanges end in different places from different starts: the best of three loses a third of what each loses alone.
STARTS = (_up_the_scale, _down_the_scale, _nearest_first)


def _complete(net: Net, mate: IntArray, players: IntArray) -> None:
    """Give whoever is left alone the best of the others left alone, the least compared first."""
    alone = np.zeros(len(net), dtype=np.bool_)
    alone[players] = mate[players] == ALONE
    for position in players[::-1].tolist():
        if alone[position]:
            free = np.flatnonzero(net.open[position] & alone)
            if len(free):
                best = free[np.argmax(net.nearness(np.full(len(free), position), free))]
                mate[position], mate[best] = best, position
                alone[position] = alone[best] = False


def _exchange(net: Net, mate: IntArray, source: IntArray, target: IntArray) -> None:
    """Re-pair two pairs, then three, as long as the nearness grows; in place.

    source, target: the candidate pairs, both ways. An exchange brings one or two candidates together and joins those
    that are left over.
    """
    starts = np.searchsorted(np.sort(source), np.arange(len(net) + 1))
    neighbours = target[np.argsort(source, kind="stable")]
    moved = np.ones(len(net), dtype=np.bool_)
    while moved.any():
        while moved.any():
            # What an exchange gains depends on the partners of its two candidates, so only new ones are looked at.
            news = moved[source] | moved[target]
            moved = _carry_out(mate, *_of_two(net, mate, source[news], target[news]))
        moved = _carry_out(mate, *_of_three(net, mate, source, target, starts, neighbours))


def _of_two(net: Net, mate: IntArray, source: IntArray, target: IntArray) -> tuple[FloatArray, IntArray]:
    """(gain, [a, c, b, d]) of ab, cd -> ac, bd for candidates ac."""
    paired = (mate[source] != ALONE) & (mate[target] != ALONE) & (mate[source] != target)
    a, c = source[paired], target[paired]
    b, d = mate[a], mate[c]
    allowed = net.open[b, d]
    a, b, c, d = a[allowed], b[allowed], c[allowed], d[allowed]
    gain = net.nearness(a, c) + net.nearness(b, d) - net.nearness(a, b) - net.nearness(c, d)
    return gain, np.stack((a, c, b, d))


def _of_three(
    net: Net, mate: IntArray, source: IntArray, target: IntArray, starts: IntArray, neighbours: IntArray
) -> tuple[FloatArray, IntArray]:
    """(gain, [a, c, d, e, b, f]) of ab, cd, ef -> ac, de, fb for candidates ac, de.

    Some turn of every gainful exchange gains after its first half already (Lin and Kernighan 1973), so only those that
    do are followed further.
    """
    paired = (mate[source] != ALONE) & (mate[target] != ALONE) & (mate[source] != target)
    a, c = source[paired], target[paired]
    half = net.nearness(a, c) - net.nearness(a, mate[a])
    a, c, half = a[half > GAIN], c[half > GAIN], half[half > GAIN]
    d = mate[c]
    half = half - net.nearness(c, d)
    width = starts[d + 1] - starts[d]
    each = np.repeat(np.arange(len(d)), width)
    offset = np.arange(len(each)) - np.repeat(np.cumsum(width) - width, width)
    e = neighbours[starts[d[each]] + offset]
    a, c, d, half = a[each], c[each], d[each], half[each]
    b, f = mate[a], mate[e]
    allowed = (f != ALONE) & (e != a) & (e != b) & (e != c)
    allowed &= net.open[b, f]
    a, b, c, d, e, f, half = (array[allowed] for array in (a, b, c, d, e, f, half))
    gain = half + net.nearness(d, e) - net.nearness(e, f) + net.nearness(f, b)
    return gain, np.stack((a, c, d, e, b, f))


def _carry_out(mate: IntArray, gain: FloatArray, groups: IntArray) -> BoolArray:
    """Exchanges in descending order of gain, each if nobody in it has moved yet; who has moved.

    groups: new partners stand next to each other, one column an exchange.
    """
    worth = np.flatnonzero(gain > GAIN)
    moved = [False] * len(mate)
    for group in groups[:, worth[np.argsort(-gain[worth], kind="stable")]].T.tolist():
        if not any(moved[position] for position in group):
            for one, other in zip(group[::2], group[1::2], strict=True):
                mate[one], mate[other] = other, one
                moved[one] = moved[other] = True
    return np.array(moved)
