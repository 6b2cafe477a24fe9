"""Nets the tests share: who met whom, and who won."""

from __future__ import annotations

import numpy as np

from cj_pipeline.bt.comparisons import Comparisons
from tests.bt.simulate import simulate


def ladder(n_items: int, rounds: int = 1) -> Comparisons:
    """Every pair compared `rounds` times; the smaller index always wins."""
    winners, losers = np.triu_indices(n_items, 1)
    return Comparisons(np.tile(winners, rounds), np.tile(losers, rounds), n_items)


def random_net(n_items: int, n_rows: int, seed: int, spread: float = 1.0) -> Comparisons:
    """Random pairs, outcomes drawn from normal scores."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, n_items, n_rows)
    second = (first + rng.integers(1, n_items, n_rows)) % n_items
    return outcome(first, second, simulate(rng.normal(0, spread, n_items), first, second, rng), n_items)


def cycle_net(n_items: int, n_rows: int, seed: int) -> Comparisons:
    """A random net plus one round in which everybody beats the next: the maximum-likelihood estimate exists."""
    net = random_net(n_items, n_rows, seed)
    ring = np.arange(n_items)
    return Comparisons(np.concatenate((net.winners, ring)), np.concatenate((net.losers, np.roll(ring, -1))), n_items)


def outcome(first: np.ndarray, second: np.ndarray, first_won: np.ndarray, n_items: int) -> Comparisons:
    return Comparisons(np.where(first_won, first, second), np.where(first_won, second, first), n_items)
