"""This module makes `python -m cj_pipeline` the command line."""

from __future__ import annotations

from cj_pipeline.cli.main import main

main()
