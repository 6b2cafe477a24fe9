"""This module counts real tokens with tiktoken's cl100k_base, where it is there without asking the network.

tiktoken downloads an encoding that it does not find in its cache. A mock does not wait for a download, and where the
cache lies by default differs between releases; so the encoding counts as there only when TIKTOKEN_CACHE_DIR names a
folder that holds it.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

ENCODING = "cl100k_base"

# tiktoken's name for it: the SHA-1 of the address it is downloaded from.
ENCODING_FILE = "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"

TokenCounter = Callable[[str], int]

_log = logging.getLogger(__name__)


def cl100k_counter() -> TokenCounter | None:
    """Counts the tokens of a text; None, with one warning in the log, when the library or its encoding is not there."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", "")
    if not folder or not (Path(folder) / ENCODING_FILE).is_file():
        return _words_instead(f"TIKTOKEN_CACHE_DIR names no folder with {ENCODING_FILE} ({ENCODING})")
    try:
        encoding = importlib.import_module("tiktoken").get_encoding(ENCODING)
    except ImportError:
        return _words_instead("the package tiktoken is not installed")
    except Exception as error:  # a damaged file makes it try the download, which fails in many ways
        return _words_instead(f"tiktoken could not load {ENCODING} ({type(error).__name__})")
    # encode_ordinary: an essay may contain '<|endoftext|>', on which encode() raises.
    return lambda text: len(encoding.encode_ordinary(text))


def _words_instead(reason: str) -> TokenCounter | None:
    _log.warning("tokens are estimated from words, as the tokenizer 'simple' does: %s", reason)
    return None
