from __future__ import annotations

from tests.cli.conftest import cj_pipeline

__all__ = ["cj_pipeline"]
