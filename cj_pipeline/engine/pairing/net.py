"""This module holds the net of a coverage wave as arrays: which essays may meet, and what a pair weighs.

Numbers instead of ids, and a matrix of bytes instead of a list of pairs: 5,000 essays have 12.5 million pairs, which
are 25 MB as a matrix and several GB as tuples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]

# Scores this far apart tell nothing about each other's neighbourhood (production's limit, logits).
PROXIMITY_REACH = 2.0

# Breaks ties and nothing else: the next smaller thing that counts, one comparison more in a hundred, is worth 0.0001.
JITTER = 0.001


@dataclass(frozen=True, slots=True)
class Net:
    """Essays in ascending order of their scores, so that neighbours on the scale are neighbours in every array.

    essay: position in Batch.items; score: logits; compared: comparisons submitted; luck: uniform on [0, 1), drawn per
    essay and wave; open: whether two may meet, n by n, symmetric, False on the diagonal;
    evenness, closeness: the weights Wc and Wp of the settings.
    """

    essay: IntArray
    score: FloatArray
    compared: IntArray
    luck: FloatArray
    open: BoolArray
    evenness: float
    closeness: float

    def __len__(self) -> int:
        return len(self.essay)

    def weight(self, first: IntArray, second: IntArray) -> FloatArray:
        """Return Wc (1/(1+c_a) + 1/(1+c_b)) + Wp exp(-|d|) for |d| < 2, plus a jitter below 0.001, by pair."""
        alone = self.evenness / (1 + self.compared)
        weight: FloatArray = alone[first] + alone[second] + self.nearness(first, second)
        return weight

    def nearness(self, first: IntArray, second: IntArray) -> FloatArray:
        """Return the part of the weight that depends on who meets whom; the rest only on who plays at all."""
        distance = np.abs(self.score[first] - self.score[second])
        proximity = np.where(distance < PROXIMITY_REACH, np.exp(-distance), 0.0)
        nearness: FloatArray = self.closeness * proximity + JITTER * chance(self.luck, first, second)
        return nearness

    def sits_out_first(self) -> IntArray:
        """Return positions in the order in which essays sit out: the most compared first, of those the smallest id."""
        return np.lexsort((self.essay, -self.compared))

    def part(self, positions: IntArray) -> Net:
        """Return the net of some of its essays, in the same order."""
        return Net(
            essay=self.essay[positions],
            score=self.score[positions],
            compared=self.compared[positions],
            luck=self.luck[positions],
            open=self.open[np.ix_(positions, positions)],
            evenness=self.evenness,
            closeness=self.closeness,
        )


def chance(luck: FloatArray, first: IntArray, second: IntArray) -> FloatArray:
    """Return a number in [0, 1) per pair, made of one draw per essay, the same for (a, b) and (b, a).

    One draw per pair would be 12.5 million of them at 5,000 essays. The product, not the sum: of four essays the two
    pairings (ab, cd) and (ac, bd) have the same sum, and the tie would stay.
    """
    scaled: FloatArray = 65536.0 * luck[first] * luck[second]
    fraction: FloatArray = scaled - np.floor(scaled)
    return fraction
