"""This module names models as metrics may.

Clients choose the names of models, and each would be a series: those that neither the manifest nor the mock has share
one label.
"""

from __future__ import annotations

from cj_pipeline.mock.judge import MOCK_MODEL
from cj_pipeline.services.lps.providers.manifest import Manifest

DEFAULT_MODEL = "default"
OTHER_MODEL = "other"


class ModelLabels:
    """The labels of one manifest's models."""

    def __init__(self, manifest: Manifest) -> None:
        models = manifest.models(include_deprecated=True)
        # A label is its own label: what is counted of a queued request has one already.
        self._labels = frozenset(model.model_id for model in models) | {MOCK_MODEL, DEFAULT_MODEL}

    def of(self, model: str | None) -> str:
        """The model itself where it is known, else `other`; `default` where the request names none."""
        if model is None:
            return DEFAULT_MODEL
        return model if model in self._labels else OTHER_MODEL
