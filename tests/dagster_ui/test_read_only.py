"""This module tests the viewer: everything can be looked at, and nothing changed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dagster_floor.floor import LOWER5
from tests.dagster_ui.served import Place, Served, served

pytestmark = [pytest.mark.servers("services"), pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def viewer(place: Place) -> Iterator[Served]:
    with served(place, "--read-only") as found:
        yield found


def test_it_shows_what_was_made(viewer: Served) -> None:
    found = viewer.ask(
        """{ assetNodes(assetKeys: [{path: ["parity", "suite"]}]) { assetMaterializations(limit: 1) { runId } }
        permissions { permission value } }"""
    )
    assert len(found["assetNodes"][0]["assetMaterializations"]) == 1
    assert {one["permission"] for one in found["permissions"] if one["value"]} == set()


def test_it_launches_and_changes_nothing(viewer: Served) -> None:
    assert viewer.launch("parity_all", LOWER5)["__typename"] == "UnauthorizedError"
    added = viewer.ask(
        """mutation { addDynamicPartition(partitionsDefName: "scenarios", partitionKey: "ghost", repositorySelector: {
        repositoryName: "__repository__", repositoryLocationName: "cj_pipeline"}) { __typename } }"""
    )
    assert added["addDynamicPartition"]["__typename"] == "UnauthorizedError"
    wiped = viewer.ask(
        """mutation { wipeAssets(assetPartitionRanges: [{assetKey: {path: ["trace"]}}]) { __typename } }"""
    )
    assert wiped["wipeAssets"]["__typename"] == "UnauthorizedError"
