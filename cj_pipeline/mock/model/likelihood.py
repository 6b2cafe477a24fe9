"""This module scores winners: how likely a mode thought the answers that came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log

import numpy as np

from cj_pipeline.mock.answers import probability_of_a, share_fixed
from cj_pipeline.mock.mode.mode import AbilityWinner, Mode
from cj_pipeline.mock.model.answers import FloatArray, Prompt

# What a fixed answer that came out otherwise costs; its probability is 0.
LEAST_LIKELIHOOD = 1e-9

COIN = -log(2.0)


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Log-likelihoods of the answers to some prompts: (p,) by the mode and by its scale alone, of (p,) answers."""

    mode: FloatArray
    scale: FloatArray
    answers: FloatArray


def scores_of(mode: Mode, table: Mapping[Prompt, tuple[int, int]]) -> Scores:
    """Score the answers to some prompts. table: how often each was answered, and how often for A."""
    model = mode.winner
    if not isinstance(model, AbilityWinner):
        raise ValueError(f"mode '{mode.name}' has no abilities to score answers by")
    by_mode, by_scale = [], []
    for (_, first, second), (asked, wins) in table.items():
        chance = min(max(probability_of_a(model, mode.name, first, second), LEAST_LIKELIHOOD), 1 - LEAST_LIKELIHOOD)
        free = chance**wins * (1 - chance) ** (asked - wins)
        letters = model.answers.get(first, {}).get(second, "")
        fixed_a = (1.0 if letters[0] == "A" else 0.0) if letters else chance
        fixed = fixed_a if wins == asked else 1 - fixed_a if wins == 0 else 0.0
        share = share_fixed(model.repeatability, chance, letters)
        by_scale.append(log(max(free, LEAST_LIKELIHOOD**asked)))
        by_mode.append(log(max((1 - share) * free + share * fixed, LEAST_LIKELIHOOD**asked)))
    asked_all = np.array([asked for asked, _ in table.values()], dtype=float)
    return Scores(np.array(by_mode), np.array(by_scale), asked_all)


def mean_and_error(differences: FloatArray, answers: FloatArray) -> tuple[float, float]:
    """Return the mean of differences an answer, and its standard error; a prompt is one observation.

    differences, answers: (p,) by prompt.
    """
    mean = float(differences.sum() / answers.sum())
    left = differences - mean * answers
    spread = float(np.sqrt((left**2).sum() * len(left) / max(len(left) - 1, 1)))
    return mean, spread / float(answers.sum())
