"""This module tests the links from an asset to its code."""

from __future__ import annotations

from pathlib import Path

import pytest
from dagster import AssetSpec, CodeReferencesMetadataValue, LocalFileCodeReference, UrlCodeReference

from assets.code_references import METADATA
from cj_pipeline.definitions import build_defs
from tests.house import REPOSITORY


def specs() -> list[AssetSpec]:
    return list(build_defs().resolve_all_asset_specs())


def references(spec: AssetSpec) -> list[LocalFileCodeReference | UrlCodeReference]:
    found = spec.metadata[METADATA]
    assert isinstance(found, CodeReferencesMetadataValue)
    return list(found.code_references)


def test_every_asset_links_to_its_function_on_this_machine() -> None:
    for spec in specs():
        (reference,) = references(spec)
        assert isinstance(reference, LocalFileCodeReference)
        line = Path(reference.file_path).read_text().splitlines()[(reference.line_number or 0) - 1]
        assert "@multi_asset" in line or "@multi_observable_source_asset" in line, (spec.key, line)


def test_a_deployment_links_to_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CJ_PIPELINE_CODE_URL", "https://code.example/cj/blob/v1/")
    for spec in specs():
        (reference,) = references(spec)
        assert isinstance(reference, UrlCodeReference)
        path, line = reference.url.removeprefix("https://code.example/cj/blob/v1/").split("#L")
        assert "@multi" in (REPOSITORY / path).read_text().splitlines()[int(line) - 1]


def test_an_empty_url_leaves_the_links_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CJ_PIPELINE_CODE_URL", "")
    assert not any(METADATA in spec.metadata for spec in specs())
