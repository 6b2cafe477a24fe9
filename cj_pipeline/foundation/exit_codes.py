"""This module defines the exit codes of `cj-pipeline`, which are the same for every command."""

from __future__ import annotations

PASSED = 0

CHECK_FAILED = 1
"""A check of parity, a suite or a preflight failed, or an alignment missed its target. Nothing else exits with 1."""

BAD_INPUT = 2
"""An input cannot be used, something needed is missing, or the command was called wrongly."""

CANNOT_TELL = 3
"""The evidence settles nothing, the result is partial, or everything was skipped."""

INTERNAL_ERROR = 70
"""A defect of this program (EX_SOFTWARE of sysexits.h)."""

INTERRUPTED = 130
"""Ctrl-C, as shells report it."""
