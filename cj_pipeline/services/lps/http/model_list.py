"""This module shows the manifest's models as `GET /api/v1/models` does."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, time
from email.utils import format_datetime

from cj_pipeline.contracts.enums import Provider
from cj_pipeline.services.lps.http.answers import ModelInfo, ModelList
from cj_pipeline.services.lps.providers.manifest import Manifest, Model


def model_list(manifest: Manifest, providers: Iterable[Provider], *, include_deprecated: bool) -> ModelList:
    """Return the models of these providers."""
    listed = {
        provider.value: [
            model_info(model) for model in manifest.models(provider, include_deprecated=include_deprecated)
        ]
        for provider in providers
    }
    return ModelList(providers=listed, total_models=sum(len(models) for models in listed.values()))


def model_info(model: Model) -> ModelInfo:
    """Return one model. Its date is an HTTP date: what production's clients parse, although not ISO."""
    released = model.release_date
    http_date = None if released is None else format_datetime(datetime.combine(released, time(), UTC), usegmt=True)
    shown = model.model_dump(include=set(ModelInfo.model_fields) - {"release_date"})
    return ModelInfo(**shown, release_date=http_date)
