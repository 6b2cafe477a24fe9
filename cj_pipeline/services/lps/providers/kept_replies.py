"""This module keeps what judges replied, byte for byte, where somebody asks for it: to see why there is no verdict.

Replies quote essays. They are kept in a folder of their own, readable by its owner alone, and never in a trace.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from pathlib import Path

from cj_pipeline.foundation.clock import utc_now
from cj_pipeline.services.lps.queue.queued_request import QueuedRequest

_log = logging.getLogger(__name__)

_ENDING = ".reply.json"
# Of one reply; no verdict is longer, and a page of something in between says in its first lines what it is.
_MOST_BYTES = 256 * 1024


class KeptReplies:
    """A folder of the latest replies, the oldest of which go. most_bytes: of all files together."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._kept: deque[tuple[Path, int]] | None = None
        self._bytes = 0

    def keep(self, request: QueuedRequest, model_id: str, ask: int, status: int, body: bytes) -> None:
        """Keep one reply. A folder that cannot be written to costs a line in the log and no verdict."""
        now = utc_now()
        entry = {
            "received_at": now.isoformat(),
            "correlation_id": str(request.correlation_id),
            "queue_id": str(request.queue_id),
            "attempt": request.attempts,
            "ask": ask,
            "provider": request.provider.value,
            "model": model_id,
            "http_status": status,
            "size_bytes": len(body),
            "reply": body[:_MOST_BYTES].decode("utf-8", "replace"),
        }
        name = f"{now:%Y%m%dT%H%M%S%f}-{request.queue_id}-{request.attempts}-{ask}{_ENDING}"
        try:
            self._write(self._folder / name, json.dumps(entry, ensure_ascii=False, indent=1).encode())
        except OSError as error:
            _log.error("a reply could not be kept in the folder of replies (%s)", type(error).__name__)

    def _write(self, file: Path, content: bytes) -> None:
        kept = self._files()
        file.touch(mode=0o600)
        try:
            file.write_bytes(content)
        except OSError:
            file.unlink(missing_ok=True)  # half a reply is none
            raise
        kept.append((file, len(content)))
        self._bytes += len(content)
        while self._bytes > self._most_bytes and len(kept) > 1:
            oldest, size = kept.popleft()
            oldest.unlink(missing_ok=True)
            self._bytes -= size

    def _files(self) -> deque[tuple[Path, int]]:
        """Those of earlier processes count, too."""
        if self._kept is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._kept = deque((file, file.stat().st_size) for file in sorted(self._folder.glob(f"*{_ENDING}")))
            self._bytes = sum(size for _, size in self._kept)
        return self._kept


def kept_replies(folder: Path | None, most_mb: float) -> KeptReplies | None:
    """Return where replies are kept; None where nobody asked for it."""
    return None if folder is None else KeptReplies(folder, round(most_mb * 2**20))
