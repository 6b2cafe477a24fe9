"""Which meetings a coverage wave is made of: a maximum matching, as heavy as there is time for.

Here: the choice between the exact method and the near one. Not here: either of them.

Every result is a maximum matching: no other has more pairs. Up to `EXACT_WORK` it is also the heaviest of these; above,
it loses 0.2 % of the weight on average, and 1.5 % in the worst of 240 nets of 60 to 100 essays, whole, half asked at
random, or with the nearest asked (`python -m benchmarks.waves` has larger ones).
"""

from __future__ import annotations

import numpy as np

from cj_pipeline.engine.pairing.augmenting import ALONE
from cj_pipeline.engine.pairing.exact_matching import exact_matching
from cj_pipeline.engine.pairing.near_matching import near_matching
from cj_pipeline.engine.pairing.net import IntArray, Net

# Essays times open pairs. The blossom algorithm needs about 0.6 us of it each on one core: 0.12 s at the limit, which
# is a net of 74 essays at its first wave; 300 essays would take 18 s.
EXACT_WORK = 200_000


def best_matching(net: Net) -> tuple[IntArray, IntArray]:
    """(one side, other side) of the chosen pairs, positions in the net; both empty when no pair is open."""
    playing = np.flatnonzero(net.open.any(axis=1))
    if not len(playing):
        return playing, playing
    # Whoever has met everybody is no part of the question, not even of whether the net is odd.
    part = net if len(playing) == len(net) else net.part(playing)
    pairs = int(np.count_nonzero(part.open)) // 2
    mate = exact_matching(part) if len(part) * pairs <= EXACT_WORK else near_matching(part)
    one = np.flatnonzero((mate != ALONE) & (mate > np.arange(len(mate))))
    return playing[one], playing[mate[one]]
