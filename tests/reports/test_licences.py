"""Every package that the locks name has a licence that is known and allowed."""

from __future__ import annotations

import tomllib

import pytest

from cj_pipeline.reports.licences import SHIPPED, UNKNOWN, licence_of, licences, locked, refused
from cj_pipeline.reports.rooms import REPOSITORY


@pytest.mark.parametrize("lock", [*SHIPPED, "development.txt"])
def test_no_licence_of_a_locked_package_is_unknown_or_refused(lock: str) -> None:
    packages = locked(lock)
    assert packages
    assert {name: licence for name in packages if refused(licence := licence_of(name))} == {}


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ("MIT", []),
        ("GPL-3.0-only", ["GPL-3.0-only"]),
        ("MIT AND AGPL-3.0", ["AGPL-3.0"]),
        ("GPL-2.0 OR MIT", []),
        ("GPL-2.0 OR SSPL-1.0", ["GPL-2.0", "SSPL-1.0"]),
        ("Apache-2.0 AND (MIT AND Zlib)", []),
        (UNKNOWN, [UNKNOWN]),
        ("Proprietary", ["Proprietary"]),
    ],
)
def test_a_licence_is_refused_by_its_parts(expression: str, wrong: list[str]) -> None:
    assert refused(expression) == wrong


def test_what_is_not_known_is_unknown() -> None:
    assert licence_of("no-such-package-anywhere") == UNKNOWN
    assert len(list(licences())) > 100


def test_the_project_names_its_own_licence() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert (project["license"], project["license-files"]) == ("Apache-2.0", ["LICENSE"])
    assert "Version 2.0, January 2004" in (REPOSITORY / "LICENSE").read_text()
