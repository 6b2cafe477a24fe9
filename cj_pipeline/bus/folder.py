"""This module is a bus in a folder: one file per topic, `<topic>.jsonl`, one message a line.

A served LPS publishes callbacks so where there is no broker. A line is the message's value and nothing else, so a
topic's file is a callbacks file as it is. The rules that make it safe:

- A message counts as published once it is in the file with its newline. Readers do not deliver the unfinished line of a
  killed writer, and the next writer mends it before it writes.
- Everyone who reads or writes holds the file's advisory lock (flock) for that moment. A writer that finds an unfinished
  line under the lock therefore knows that its author is dead.
- No file stays open between two calls. Opening costs 1 us of the 5 us that a write takes; in return there is nothing to
  close, and a folder that was removed under a running service is made again.

POSIX only (fcntl), and on file systems whose flock works between all writers.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from cj_pipeline.bus.protocol import Message, Outgoing
from cj_pipeline.contracts.topics import is_topic_name
from cj_pipeline.foundation.errors import BadInput

# Growth made by another process is seen at most this late; a reader in the writer's own process is woken at once.
POLL_S = 0.02

_READ_BYTES = 1 << 20

_log = logging.getLogger(__name__)


class FolderBus:
    """The bus protocol over files. One event loop; any number of processes on one folder.

    A folder keeps no keys: they choose a partition where there are several, and a file is one, in order for every
    reader. `Message.key` is None for everything that is read back.

    What is published in one turn of the event loop goes to its file in one write.
    """

    def __init__(self, folder: Path) -> None:
        """Open a bus in a folder, which the first publish makes. Raises BadInput when it is something else."""
        if folder.exists() and not folder.is_dir():
            raise BadInput("is not a folder.", path=folder, remedy="Name a folder, or a path that does not exist yet.")
        self._folder = folder
        self._pending: defaultdict[str, list[tuple[bytes, asyncio.Future[None]]]] = defaultdict(list)
        # Dictionaries for their order: readers wake in the order in which they came.
        self._waiting: defaultdict[str, dict[asyncio.Future[None], None]] = defaultdict(dict)

    def __str__(self) -> str:
        return f"folder {self._folder}"

    def path_of(self, topic: str) -> Path:
        """Return the topic's file, whether it exists or not. Raises BadInput for a name that Kafka would not take."""
        if not is_topic_name(topic):  # 249 characters and `.jsonl` are the 255 of a file name
            raise BadInput(
                f"{topic[:60]!r} is not a topic name.",
                path=self._folder,
                field="topic",
                remedy="Use 1 to 249 letters, digits, dots, underscores and hyphens; not '.' or '..'.",
            )
        return self._folder / f"{topic}.jsonl"

    async def publish(self, topic: str, value: bytes, *, key: bytes | None = None) -> None:
        """Append one line; returns once it is in the file. key: not kept.

        The message outlives the process, kill -9 included; a power cut may take the last seconds. It is written also
        when the caller is cancelled meanwhile. Raises BadInput for an illegal topic and for a value with a newline,
        OSError (with the file) when the system did not take it: the message is not in the file then.
        """
        await self._enqueue(topic, value)

    async def publish_all(self, messages: Sequence[Outgoing]) -> list[Exception | None]:
        """Append each as `publish` does; those of one topic in one write."""
        results: list[Exception | None] = [None] * len(messages)
        under_way: dict[int, asyncio.Future[None]] = {}
        for position, message in enumerate(messages):
            try:
                under_way[position] = self._enqueue(message.topic, message.value)
            except BadInput as refused:
                results[position] = refused
        ends = await asyncio.gather(*under_way.values(), return_exceptions=True)
        for position, end in zip(under_way, ends, strict=True):
            results[position] = end if isinstance(end, Exception) else None
        return results

    def _enqueue(self, topic: str, value: bytes) -> asyncio.Future[None]:
        path = self.path_of(topic)
        if b"\n" in value:
            raise BadInput(
                "a message with a newline in it cannot be one line.",
                path=path,
                remedy="Encode it as JSON on a single line.",
            )
        loop = asyncio.get_running_loop()
        if not self._pending:
            loop.call_soon(self._flush)
        done: asyncio.Future[None] = loop.create_future()
        self._pending[topic].append((value, done))
        return done

    def subscribe(self, topic: str, start: Mapping[int, int] | None = None) -> FolderSubscription:
        """Read a topic from its first line on, or from the line (from 0) that start gives for partition 0.

        Its file need not exist yet. Raises BadInput as path_of does.
        """
        return FolderSubscription(self, topic, self.path_of(topic), (start or {}).get(0, 0))

    async def end(self, topic: str) -> Mapping[int, int]:
        """Return the number of whole lines in its file, for partition 0. Counted by reading: about 1 s for 2 GB.

        Raises BadInput as path_of does.
        """
        return {0: _count_lines(self.path_of(topic))}

    async def prepare(self, topics: Sequence[str]) -> None:
        """Do nothing: a topic is made by its first message."""

    async def aclose(self) -> None:
        """Write what is pending. Nothing else is held: the bus may be used again."""
        self._flush()

    async def wait_for_growth(self, topic: str) -> None:
        """Wait until the topic may have grown: it did here, or it is time to look whether another process made it."""
        loop = asyncio.get_running_loop()
        growth: asyncio.Future[None] = loop.create_future()
        waiting = self._waiting[topic]
        waiting[growth] = None
        timer = loop.call_later(POLL_S, _settle, growth)
        try:
            await growth
        finally:
            timer.cancel()
            del waiting[growth]

    def _flush(self) -> None:
        pending = dict(self._pending)
        self._pending.clear()
        for topic, batch in pending.items():
            path = self.path_of(topic)
            taken, error = _append(path, [value for value, _ in batch])
            for _, done in batch[:taken]:
                _settle(done)
            for _, done in batch[taken:]:
                if error is not None and not done.done():
                    # One each: a traceback grows on an exception every time that it is raised.
                    done.set_exception(OSError(error.errno, error.strerror, str(path)))
            for growth in self._waiting.get(topic, ()):
                _settle(growth)


class FolderSubscription:
    """A position in one topic of a FolderBus."""

    def __init__(self, bus: FolderBus, topic: str, path: Path, start: int) -> None:
        self._bus = bus
        self._topic = topic
        self._path = path
        self._start = start
        self._file: tuple[int, int] | None = None
        self._position = 0  # bytes
        self._offset = 0  # messages
        self._read: deque[bytes] = deque()

    async def next(self) -> Message:
        """Return the next message, waiting for it if need be; cancelling the wait loses nothing.

        While it waits it looks at the file every 20 ms. On a loop of virtual time, where another process can never be
        in time, a wait without an end is therefore a search without an end.
        Raises BadInput when the file was removed, replaced or cut: a position in it then means nothing.
        """
        while not self._read:
            self._read_on()
            if not self._read:
                await self._bus.wait_for_growth(self._topic)
            # Lines are found by counting them: what lies before the start is read and passed over.
            while self._read and self._offset < self._start:
                self._read.popleft()
                self._offset += 1
        message = Message(topic=self._topic, offset=self._offset, key=None, value=self._read.popleft())
        self._offset += 1
        return message

    def _read_on(self) -> None:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            if self._file is not None:
                raise self._lost() from None
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            found = os.fstat(descriptor)
            file = (found.st_dev, found.st_ino)
            if self._file not in {None, file} or found.st_size < self._position:
                raise self._lost()
            self._file = file
            block = _whole_lines(descriptor, self._position)
        finally:
            os.close(descriptor)
        self._position += len(block)
        if block:
            self._read.extend(block[:-1].split(b"\n"))

    def _lost(self) -> BadInput:
        return BadInput(
            f"was removed, replaced or cut after {self._offset} messages had been read from it.",
            path=self._path,
            remedy="Subscribe again to read what it holds now from the start.",
        )


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _whole_lines(descriptor: int, position: int) -> bytes:
    """Return lines from a position on, about 1 MiB of them, up to and with the newline of the last."""
    size = _READ_BYTES
    while True:
        block = os.pread(descriptor, size, position)
        end = block.rfind(b"\n") + 1
        if end or len(block) < size:
            return block[:end]
        size *= 2


def _count_lines(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    count = 0
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        while block := os.read(descriptor, _READ_BYTES):
            count += block.count(b"\n")
    finally:
        os.close(descriptor)
    return count


def _append(path: Path, values: list[bytes]) -> tuple[int, OSError | None]:
    """Append lines to a file; return how many of them it holds now, and the error that kept the rest out."""
    block = b"".join(value + b"\n" for value in values)
    written = 0
    try:
        descriptor = _open_for_append(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            start = _mend(descriptor, path)
            try:
                while written < len(block):  # one write, but for a disk that fills up under it
                    written += os.write(descriptor, memoryview(block)[written:])
            except OSError:
                os.ftruncate(descriptor, start + block.rfind(b"\n", 0, written) + 1)
                raise
        finally:
            os.close(descriptor)
    except OSError as error:
        return block.count(b"\n", 0, written), error
    return len(values), None


def _open_for_append(path: Path) -> int:
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, 0o666)


def _mend(descriptor: int, path: Path) -> int:
    """End the file with a whole line, under the lock; return its size then.

    An unfinished line is cut off: no publish of it ever returned. Unless it is a whole JSON object that lacks only its
    newline, as files edited by hand do: then it gets one.
    """
    size = os.fstat(descriptor).st_size
    if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n":
        return size
    start = _start_of_last_line(descriptor, size)
    if _is_json_object(os.pread(descriptor, size - start, start)):
        return size + os.write(descriptor, b"\n")
    os.ftruncate(descriptor, start)
    _log.warning(
        "%s: cut off an unfinished last line of %d bytes, left by a writer that was killed", path, size - start
    )
    return start


def _start_of_last_line(descriptor: int, size: int) -> int:
    end = size
    while end > 0:
        begin = max(0, end - _READ_BYTES)
        newline = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        end = begin
    return 0


def _is_json_object(line: bytes) -> bool:
    # Objects alone: part of one is never one, whereas 12 is JSON and may be what is left of 123.
    if not line.startswith(b"{"):
        return False
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
