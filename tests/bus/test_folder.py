"""A folder as a bus, in one process: its files, its limits, and what a full disk or a torn line leaves behind."""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import logging
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cj_pipeline.bus.folder import FolderBus
from cj_pipeline.bus.protocol import Message, Outgoing
from cj_pipeline.foundation.errors import BadInput
from cj_pipeline.runs.virtual_time import NothingLeftToWaitFor, run_virtual

TOPIC = "results"
FILE = "results.jsonl"


def publish(folder: Path, *values: bytes) -> None:
    """All at once, by a bus of their own."""

    async def scene() -> None:
        bus = FolderBus(folder)
        await asyncio.gather(*(bus.publish(TOPIC, value) for value in values))

    asyncio.run(scene())


def read(folder: Path, number: int) -> list[bytes]:
    """So many messages, by a bus of their own, and none after them."""

    async def scene() -> list[bytes]:
        subscription = FolderBus(folder).subscribe(TOPIC)
        async with asyncio.timeout(60):
            values = [(await subscription.next()).value for _ in range(number)]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await subscription.next()
        return values

    return run_virtual(scene())


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_topics_file_holds_the_values_alone(tmp_path: Path) -> None:
    publish(tmp_path / "not" / "yet", b'{"winner":"Essay A"}', b'{"winner":"Essay B"}')
    assert (tmp_path / "not" / "yet" / FILE).read_bytes() == b'{"winner":"Essay A"}\n{"winner":"Essay B"}\n'
    assert os.listdir(tmp_path / "not" / "yet") == [FILE]  # noqa: PTH208


def test_a_second_bus_on_the_folder_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    publish(tmp_path, b"1", b"2")
    publish(tmp_path, b"3")
    assert read(tmp_path, 3) == [b"1", b"2", b"3"]


@settings(max_examples=60, deadline=None)
@given(
    turns=st.lists(
        st.lists(
            st.tuples(st.sampled_from(["one", "two"]), st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"\r"))),
            max_size=5,
        ),
        max_size=8,
    ),
    restart_after=st.integers(0, 8),
)
def test_whatever_is_published_reads_back_identical(turns: list[list[tuple[str, bytes]]], restart_after: int) -> None:
    async def scene(folder: Path) -> dict[str, list[Message]]:
        bus = FolderBus(folder)
        for number, turn in enumerate(turns):
            if number == restart_after:
                bus = FolderBus(folder)
            await asyncio.gather(*(bus.publish(topic, value) for topic, value in turn))
        subscriptions = {topic: bus.subscribe(topic) for topic in expected}
        return {topic: [await subscriptions[topic].next() for _ in expected[topic]] for topic in expected}

    expected = {name: [v for turn in turns for topic, v in turn if topic == name] for name in ("one", "two")}
    with tempfile.TemporaryDirectory() as folder:
        found = run_virtual(scene(Path(folder)))
        sizes = {path.name: path.stat().st_size for path in Path(folder).iterdir()}
    for topic, values in expected.items():
        assert [message.value for message in found[topic]] == values
        assert [message.offset for message in found[topic]] == list(range(len(values)))
        assert sizes.get(f"{topic}.jsonl", 0) == sum(len(value) + 1 for value in values)


def test_a_message_longer_than_a_read_arrives_whole(tmp_path: Path) -> None:
    values = [b"a" * 3_000_000, b"b", b"c" * (1 << 20)]  # a read is 1 MiB
    publish(tmp_path, *values)
    assert read(tmp_path, 3) == values


def test_what_is_published_in_one_turn_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks: list[int] = []
    write = os.write

    def counting(descriptor: int, block: bytes) -> int:
        blocks.append(len(block))
        return write(descriptor, block)

    monkeypatch.setattr(os, "write", counting)
    publish(tmp_path, *[b"%03d" % number for number in range(100)])
    assert blocks == [400]


def test_a_short_write_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, block: write(descriptor, block[:3]))
    publish(tmp_path, b"first", b"second")
    assert (tmp_path / FILE).read_bytes() == b"first\nsecond\n"


@pytest.mark.parametrize(
    ("room", "taken"),
    # Bytes left on the disk, for two lines of 8. With 7 or 15 a line lacks only its newline, and still is none.
    [(0, 0), (3, 0), (7, 0), (8, 1), (15, 1), (16, 2)],
)
def test_a_full_disk_takes_whole_messages_or_says_that_it_did_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int, taken: int
) -> None:
    write = os.write
    left = room
    lines = [b'{"n":1}', b'{"n":2}']

    def until_full(descriptor: int, block: bytes) -> int:
        nonlocal left
        if left == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = write(descriptor, block[:left])
        left -= written
        return written

    async def scene() -> list[BaseException | None]:
        bus = FolderBus(tmp_path)
        await bus.publish(TOPIC, b"before")
        monkeypatch.setattr(os, "write", until_full)
        publishing = (bus.publish(TOPIC, value) for value in lines)
        outcomes = await asyncio.gather(*publishing, return_exceptions=True)
        monkeypatch.undo()
        await bus.publish(TOPIC, b"after")
        return outcomes

    outcomes = asyncio.run(scene())
    assert [outcome is None for outcome in outcomes] == [number < taken for number in range(2)]
    assert all(str(tmp_path / FILE) in str(outcome) for outcome in outcomes[taken:])
    assert read(tmp_path, 2 + taken) == [b"before", *lines[:taken], b"after"]


WHOLE = b'{"n":1}\n'
LAST = b'{"n":2,"text":"\xc3\xa5 {\\"m\\":3}"}'


@pytest.mark.parametrize("length", range(1, len(LAST)))
def test_a_torn_last_line_is_not_delivered_and_not_merged_with_the_next(tmp_path: Path, length: int) -> None:
    (tmp_path / FILE).write_bytes(WHOLE + LAST[:length])
    assert read(tmp_path, 1) == [WHOLE.strip()]
    publish(tmp_path, b'{"n":4}')
    assert (tmp_path / FILE).read_bytes() == WHOLE + b'{"n":4}\n'


def test_a_last_line_that_lacks_only_its_newline_is_kept(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(WHOLE + LAST)
    publish(tmp_path, b'{"n":4}')
    assert (tmp_path / FILE).read_bytes() == WHOLE + LAST + b'\n{"n":4}\n'


@pytest.mark.parametrize("left", [b"12", b'"a"', b"null", b"[1]"])
def test_of_torn_lines_only_an_object_counts_as_whole(tmp_path: Path, left: bytes) -> None:
    # 12 is JSON, and may be what is left of 123.
    (tmp_path / FILE).write_bytes(WHOLE + left)
    publish(tmp_path, b"next")
    assert (tmp_path / FILE).read_bytes() == WHOLE + b"next\n"


@pytest.mark.parametrize("length", [1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_000_000])
def test_a_torn_line_of_any_length_is_cut_off_whole(tmp_path: Path, length: int) -> None:
    (tmp_path / FILE).write_bytes(WHOLE + b"x" * length)
    publish(tmp_path, b"next")
    assert (tmp_path / FILE).read_bytes() == WHOLE + b"next\n"


def test_a_torn_first_line_leaves_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b'{"n":')
    publish(tmp_path, b"next")
    assert (tmp_path / FILE).read_bytes() == b"next\n"


def test_cutting_off_is_logged_by_length_and_not_by_content(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / FILE).write_bytes(WHOLE + b'{"justification":"Essay A argues')
    with caplog.at_level(logging.WARNING):
        publish(tmp_path, b"next")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"{FILE}: cut off an unfinished last line of 32 bytes" in caplog.text
    assert "argues" not in caplog.text


def test_an_unfinished_line_is_delivered_once_it_is_finished(tmp_path: Path) -> None:
    async def scene() -> bytes:
        with (tmp_path / FILE).open("ab", buffering=0) as file:
            file.write(b'{"n":')
            reading = asyncio.create_task(FolderBus(tmp_path).subscribe(TOPIC).next())
            await asyncio.sleep(0.1)
            assert not reading.done()
            file.write(b"1}")
            await asyncio.sleep(0.1)
            assert not reading.done()
            file.write(b"\n")
            return (await reading).value

    assert run_virtual(scene()) == b'{"n":1}'


def test_growth_made_elsewhere_is_seen_within_20_ms_and_growth_made_here_at_once(tmp_path: Path) -> None:
    async def scene() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        bus = FolderBus(tmp_path)
        subscription = bus.subscribe(TOPIC)
        reading = asyncio.create_task(subscription.next())
        await asyncio.sleep(0.0301)
        here = loop.time()
        await bus.publish(TOPIC, b"1")
        await reading
        here = loop.time() - here
        reading = asyncio.create_task(subscription.next())
        await asyncio.sleep(0.0301)
        elsewhere = loop.time()
        (tmp_path / FILE).write_bytes(b"1\n2\n")  # in place: the same file, one line longer
        await reading
        return here, loop.time() - elsewhere

    here, elsewhere = run_virtual(scene())
    assert here == 0.0
    assert elsewhere == pytest.approx(0.0099, abs=1e-6)  # the second look is at 40 ms


def test_nothing_runs_while_nobody_waits(tmp_path: Path) -> None:
    async def scene() -> None:
        bus = FolderBus(tmp_path)
        await bus.publish(TOPIC, b"1")
        subscription = bus.subscribe(TOPIC)
        await subscription.next()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await subscription.next()
        await asyncio.get_running_loop().create_future()  # nobody reads now: had a timer been left, this would go on

    with pytest.raises(NothingLeftToWaitFor):
        run_virtual(scene())


def test_waiting_for_long_piles_nothing_up(tmp_path: Path) -> None:
    def futures() -> int:
        return sum(isinstance(thing, asyncio.Future) for thing in gc.get_objects())

    async def scene() -> int:
        bus = FolderBus(tmp_path)
        reading = asyncio.create_task(bus.subscribe(TOPIC).next())
        await asyncio.sleep(1)
        before = futures()
        await asyncio.sleep(10)  # 500 looks
        after = futures()
        await bus.publish(TOPIC, b"1")
        await reading
        return after - before

    assert abs(run_virtual(scene())) < 10


def test_no_file_stays_open(tmp_path: Path) -> None:
    async def scene() -> int:
        bus = FolderBus(tmp_path)
        before = open_descriptors()
        for number in range(50):
            await bus.publish(f"topic-{number}", b"1")
            await bus.subscribe(f"topic-{number}").next()
        return open_descriptors() - before

    assert asyncio.run(scene()) == 0


def test_a_publish_given_up_while_it_waits_is_written_once(tmp_path: Path) -> None:
    async def scene() -> None:
        bus = FolderBus(tmp_path)
        publishing = asyncio.create_task(bus.publish(TOPIC, b"1"))
        asyncio.get_running_loop().call_soon(publishing.cancel)  # after it began, before the write
        with pytest.raises(asyncio.CancelledError):
            await publishing
        await bus.publish(TOPIC, b"2")

    asyncio.run(scene())
    assert (tmp_path / FILE).read_bytes() == b"1\n2\n"


def test_closing_writes_what_is_pending(tmp_path: Path) -> None:
    async def scene() -> bytes:
        bus = FolderBus(tmp_path)
        publishing = asyncio.create_task(bus.publish(TOPIC, b"1"))
        closing = asyncio.create_task(bus.aclose())  # runs in the same turn, before the flush
        await closing
        written = (tmp_path / FILE).read_bytes()
        await publishing
        return written

    assert asyncio.run(scene()) == b"1\n"
    assert (tmp_path / FILE).read_bytes() == b"1\n"


def test_a_folder_removed_under_the_writer_is_made_again(tmp_path: Path) -> None:
    async def scene() -> None:
        bus = FolderBus(tmp_path / "bus")
        await bus.publish(TOPIC, b"1")
        (tmp_path / "bus" / FILE).unlink()
        (tmp_path / "bus").rmdir()
        await bus.publish(TOPIC, b"2")

    asyncio.run(scene())
    assert read(tmp_path / "bus", 1) == [b"2"]


@pytest.mark.parametrize("spoil", ["remove", "replace", "cut"])
def test_a_reader_whose_file_is_no_longer_the_same_is_told(tmp_path: Path, spoil: str) -> None:
    async def scene() -> None:
        bus = FolderBus(tmp_path)
        await bus.publish(TOPIC, b"1")
        subscription = bus.subscribe(TOPIC)
        await subscription.next()
        if spoil == "remove":
            (tmp_path / FILE).unlink()
        elif spoil == "replace":
            (tmp_path / "other").write_bytes(b"another 1\n2\n")
            (tmp_path / "other").replace(tmp_path / FILE)
        else:
            (tmp_path / FILE).write_bytes(b"")
        async with asyncio.timeout(60):
            await subscription.next()

    with pytest.raises(BadInput, match=f"{FILE}: was removed, replaced or cut after 1 messages.*Subscribe again"):
        run_virtual(scene())


@pytest.mark.parametrize("topic", ["", ".", "..", "../up", "a/b", "/etc/passwd", "a b", "å", "a\x00", "a\n", "a" * 250])
def test_a_topic_that_kafka_would_not_take_is_refused(tmp_path: Path, topic: str) -> None:
    bus = FolderBus(tmp_path / "bus")
    with pytest.raises(BadInput, match=r"is not a topic name\. Use 1 to 249 letters"):
        asyncio.run(bus.publish(topic, b"1"))
    with pytest.raises(BadInput, match="is not a topic name"):
        bus.subscribe(topic)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("topic", ["a", "...", "huleedu.llm_provider.comparison_result.v1", "A-z_0.9", "a" * 249])
def test_a_topic_that_kafka_takes_is_taken(tmp_path: Path, topic: str) -> None:
    asyncio.run(FolderBus(tmp_path).publish(topic, b"1"))
    assert (tmp_path / f"{topic}.jsonl").read_bytes() == b"1\n"


def test_a_message_of_two_lines_is_refused_without_being_quoted(tmp_path: Path) -> None:
    value = json.dumps({"justification": "Essay A argues"}, indent=1).encode()
    with pytest.raises(BadInput, match=r"newline.*Encode it as JSON on a single line") as caught:
        publish(tmp_path, value)
    assert "argues" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_the_folder_should_be_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "bus").write_bytes(b"")
    with pytest.raises(BadInput, match=r"bus: is not a folder\. Name a folder"):
        FolderBus(tmp_path / "bus")


def test_a_message_that_cannot_be_written_fails_with_its_file_and_the_next_one_is_taken(tmp_path: Path) -> None:
    async def scene() -> None:
        bus = FolderBus(tmp_path)
        (tmp_path / FILE).mkdir()
        with pytest.raises(IsADirectoryError, match=FILE):
            await bus.publish(TOPIC, b"1")
        (tmp_path / FILE).rmdir()
        await bus.publish(TOPIC, b"2")

    asyncio.run(scene())
    assert (tmp_path / FILE).read_bytes() == b"2\n"


def test_of_many_handed_over_at_once_each_that_cannot_be_taken_says_why(tmp_path: Path) -> None:
    (tmp_path / "a-folder.jsonl").mkdir()
    handed = [(TOPIC, b"1"), ("no topic", b"2"), (TOPIC, b"two\nlines"), ("a-folder", b"4"), (TOPIC, b"5")]
    messages = [Outgoing(topic=topic, key=b"key", value=value) for topic, value in handed]
    results = asyncio.run(FolderBus(tmp_path).publish_all(messages))
    assert [type(result) for result in results] == [type(None), BadInput, BadInput, IsADirectoryError, type(None)]
    assert (tmp_path / FILE).read_bytes() == b"1\n5\n"
