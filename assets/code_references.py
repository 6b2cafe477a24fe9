"""This module links every asset to the code that declares it: in a repository by its URL, or on this machine."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from dagster import (
    AssetsDefinition,
    AssetSpec,
    BetaWarning,
    CodeReferencesMetadataValue,
    LocalFileCodeReference,
    UrlCodeReference,
    with_source_code_references,
)

from assets.code_versions import PACKAGE

ROOT = PACKAGE.parent

METADATA = "dagster/code_references"


def with_code_references(assets: Sequence[AssetsDefinition], code_url: str | None) -> list[AssetsDefinition]:
    """Return the assets, each with a link to its code. code_url: see PipelineSettings."""
    if code_url == "":
        return list(assets)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BetaWarning)  # it says nothing to a user of the command line
        linked = [one for one in with_source_code_references(assets) if isinstance(one, AssetsDefinition)]
        if code_url is None:
            return linked
        return [one.map_asset_specs(lambda spec: _at(spec, code_url)) for one in linked]


def _at(spec: AssetSpec, code_url: str) -> AssetSpec:
    """Return the spec with links below a URL. Dagster's own function knows two hosts only."""
    found: CodeReferencesMetadataValue = spec.metadata[METADATA]
    local = [one for one in found.code_references if isinstance(one, LocalFileCodeReference)]
    urls = [
        UrlCodeReference(url=f"{code_url.rstrip('/')}/{_path(one)}#L{one.line_number}", label=_path(one))
        for one in local
    ]
    return spec.replace_attributes(
        metadata={**spec.metadata, METADATA: CodeReferencesMetadataValue(code_references=[*urls])}
    )


def _path(reference: LocalFileCodeReference) -> str:
    return Path(reference.file_path).relative_to(ROOT).as_posix()
