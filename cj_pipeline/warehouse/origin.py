"""This module says where a part of a dataset comes from: which run made it, of whose answers, with which code.

It is written into each Parquet file's own metadata, so a file that is copied elsewhere keeps it.
"""

from __future__ import annotations

import os
import subprocess
from datetime import datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cj_pipeline.contracts.model import FileModel

METADATA_KEY = b"cj_pipeline"
"""Under which a Parquet file holds its stamp."""


class SideAnswers(FileModel):
    """Who answered on one side of a run, and what.

    judge: name of the trace or mode; judge_sha256: of its content; seed: of everything drawn; answers_sha256: of what
    was answered, apart from when.
    """

    judge: str
    judge_sha256: str
    seed: int
    answers_sha256: str

    def in_words(self) -> str:
        """Name the judge and the answers, shortened for people."""
        return f"judge '{self.judge}', seed {self.seed}, answers {self.answers_sha256[:12]}"


class Origin(FileModel):
    """What a part is made of. answers: by side; trial: whether the run is not the scenario's own."""

    answers: dict[str, SideAnswers]
    trial: bool = False

    def joined(self, other: Origin) -> Origin:
        """Return the origin of a part that is made of both."""
        return Origin(answers={**self.answers, **other.answers}, trial=self.trial or other.trial)

    def marked(self, trial: bool) -> Origin:
        """Return the same origin, of a trial if this is one."""
        return self.model_copy(update={"trial": self.trial or trial})


class CodeVersion(FileModel):
    """The code that made something. git_sha: empty where the code is no checkout."""

    version: str
    git_sha: str


class Stamp(FileModel):
    """What a Parquet file says about itself."""

    run_id: str
    scenario_id: str
    written_at: datetime
    code: CodeVersion
    origin: Origin


REVISION = "CJ_PIPELINE_REVISION"
"""Variable that names the commit where the code is no checkout; the image sets it."""


@cache
def code_version() -> CodeVersion:
    """Return the version of the code that runs."""
    try:
        installed = version("cj-pipeline")
    except PackageNotFoundError:
        installed = ""
    return CodeVersion(version=installed, git_sha=_git_sha(Path(__file__).parents[2]) or os.environ.get(REVISION, ""))


def _git_sha(checkout: Path) -> str:
    # Without this, an environment inside somebody else's repository would give that one's commit.
    if not (checkout / ".git").exists():
        return ""
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ""
