"""Reading from a stream, asyncio's and ours."""

from __future__ import annotations

import asyncio
import gc
import sys
import warnings

import pytest

from tests.aio.flowing import STREAMS, Tap, ended, failure_of, on_loop, started
from treadle.aio.streams import StreamReader


@pytest.fixture(params=["stock", "ours"])
def make(request, loop):
    """Makes a reader that has been fed."""

    def make(data=b"", limit=2**16, eof=False):
        reader = STREAMS[request.param].StreamReader(limit, loop)
        reader.feed_data(data)
        if eof:
            reader.feed_eof()
        return reader

    return make


@pytest.fixture
def our(loop):
    """Makes one of ours, fed."""

    def make(data=b"", limit=2**16, eof=False):
        reader = StreamReader(limit, loop)
        reader.feed_data(data)
        if eof:
            reader.feed_eof()
        return reader

    return make


READS = {
    "read": lambda reader: reader.read(10),
    "all": lambda reader: reader.read(),
    "readexactly": lambda reader: reader.readexactly(4),
    "readline": lambda reader: reader.readline(),
    "readuntil": lambda reader: reader.readuntil(b"\r\n"),
    "anext": lambda reader: reader.__anext__(),
}
EVERY_READ = pytest.mark.parametrize("read", READS.values(), ids=READS)


@on_loop
async def test_what_is_there_is_read_in_order(loop, make):
    reader = make(b"0123one\ntwo;rest", eof=True)
    assert await reader.readexactly(4) == b"0123"
    assert await reader.readline() == b"one\n"
    assert await reader.readuntil(b";") == b"two;"
    assert await reader.read(2) == b"re"
    assert await reader.read() == b"st"
    assert await reader.read() == b""
    assert reader.at_eof()


@on_loop
async def test_a_line_may_come_in_any_pieces(loop, make):
    reader = make()
    (task,) = await started(reader.readuntil(b"\r\n"))
    for piece in (b"a", b"bc", b"\r", b"d\r", b"\nrest"):
        reader.feed_data(piece)
        await asyncio.sleep(0)
    assert await task == b"abc\rd\r\n"
    assert await reader.read(10) == b"rest"


@on_loop
async def test_pieces_before_and_behind_a_long_rest_keep_their_order(loop, make):
    reader = make(b"x" * 5000)
    expected = b"x" * 5000
    for number in range(200):
        piece = b"%d;" % number * (number % 7 + 1)
        reader.feed_data(piece)
        expected += piece
        taken = await reader.read(number)
        assert taken == expected[: len(taken)]
        expected = expected[len(taken) :]
    reader.feed_eof()
    assert await reader.read() == expected


@on_loop
async def test_lines_can_be_iterated_over(loop, make):
    reader = make(b"one\n\nthree", eof=True)
    assert [line async for line in reader] == [b"one\n", b"\n", b"three"]


@on_loop
async def test_an_incomplete_read_gives_what_was_left(loop, make):
    exc = await failure_of(make(b"abc", eof=True).readexactly(4))
    assert isinstance(exc, asyncio.IncompleteReadError)
    assert (exc.partial, exc.expected) == (b"abc", 4)
    exc = await failure_of(make(b"abc", eof=True).readuntil())
    assert (exc.partial, exc.expected) == (b"abc", None)


@pytest.mark.parametrize(
    ("data", "consumed"),
    [(b"0123456789\n", 10), (b"0123456789", 10), (b"01234567\n9", 8)],
)
@on_loop
async def test_a_line_over_the_limit_stays_and_its_length_is_told(loop, make, data, consumed):
    reader = make(data, limit=7)
    exc = await failure_of(reader.readuntil(b"\n"))
    assert isinstance(exc, asyncio.LimitOverrunError)
    assert exc.consumed == consumed
    assert await reader.readexactly(len(data)) == data


@on_loop
async def test_readline_drops_a_line_over_the_limit_and_no_more(loop, make):
    reader = make(b"0123456789\nnext\n", limit=7)
    assert isinstance(await failure_of(reader.readline()), ValueError)
    assert await reader.readline() == b"next\n"


@on_loop
async def test_readline_drops_what_came_of_a_line_without_end(loop, make):
    reader = make(b"0123456789", limit=7)
    assert isinstance(await failure_of(reader.readline()), ValueError)
    reader.feed_data(b"89\n")
    assert await reader.readline() == b"89\n"


@on_loop
async def test_the_transport_is_paused_above_twice_the_limit_and_resumed_at_it(loop, make):
    reader, tap = make(limit=4), Tap()
    reader.set_transport(tap)
    reader.feed_data(b"01234567")
    assert tap.calls == []
    reader.feed_data(b"8")
    reader.feed_data(b"9")
    assert tap.calls == ["pause"]
    await reader.read(5)
    assert tap.calls == ["pause"]
    await reader.read(1)
    assert tap.calls == ["pause", "resume"]


@on_loop
async def test_to_wait_for_more_than_the_buffer_may_hold_resumes_the_transport(loop, make):
    reader, tap = make(limit=4), Tap()
    reader.set_transport(tap)
    reader.feed_data(b"0123456789")
    (task,) = await started(reader.readexactly(20))
    assert tap.calls == ["pause", "resume"]
    reader.feed_data(b"0123456789")
    assert await task == b"0123456789" * 2


@on_loop
async def test_a_transport_that_cannot_be_paused_is_not_asked_again(loop, make):
    class Stubborn(Tap):
        def pause_reading(self):
            super().pause_reading()
            raise NotImplementedError

    reader, tap = make(limit=4), Stubborn()
    reader.set_transport(tap)
    reader.feed_data(b"0123456789")
    reader.feed_data(b"0123456789")
    assert tap.calls == ["pause"]


@EVERY_READ
@on_loop
async def test_an_exception_is_raised_by_the_read_that_waits_and_by_all_that_follow(
    loop, make, read
):
    reader = make()
    (task,) = await started(read(reader))
    reader.set_exception(ConnectionError("lost"))
    assert isinstance(await failure_of(task), ConnectionError)
    assert isinstance(await failure_of(read(reader)), ConnectionError)
    assert isinstance(reader.exception(), ConnectionError)


@EVERY_READ
@on_loop
async def test_a_second_read_may_not_wait(loop, make, read):
    reader = make()
    (task,) = await started(read(reader))
    assert isinstance(await failure_of(read(reader)), RuntimeError)
    await ended(task)


@EVERY_READ
@on_loop
async def test_a_cancelled_read_leaves_every_byte(loop, our, read):
    reader = our(b"ab")
    if read is READS["read"]:
        reader = our()
    (task,) = await started(read(reader))
    reader.feed_data(b"c")
    await ended(task)
    reader.feed_eof()
    assert (await reader.read()).endswith(b"c")
    assert reader._waiter is None


@EVERY_READ
@on_loop
async def test_a_read_that_is_cancelled_when_its_bytes_have_come_leaves_them(loop, make, read):
    reader = make()
    (task,) = await started(read(reader))
    reader.feed_data(b"1234\r\n")
    reader.feed_eof()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert await reader.read() == b"1234\r\n"


@on_loop
async def test_a_timeout_leaves_what_came(loop, our):
    reader = our(b"half a li")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.readline(), 0.001)
    reader.feed_data(b"ne\n")
    assert await asyncio.wait_for(reader.readline(), 60) == b"half a line\n"


@EVERY_READ
@on_loop
async def test_a_read_is_a_coroutine_to_all_that_take_one(loop, our, read):
    operation = read(our(b"1234\r\n", eof=True))
    assert asyncio.iscoroutine(operation)
    assert "StreamReader." in repr(asyncio.ensure_future(operation))
    task = asyncio.create_task(read(our(b"1234\r\n", eof=True)))
    assert await task
    assert (await asyncio.gather(read(our(b"1234\r\n", eof=True))))[0]


@on_loop
async def test_a_read_does_nothing_until_it_is_awaited(loop, make):
    reader = make()
    operation = reader.readline()
    reader.feed_data(b"later\n")
    assert await operation == b"later\n"


@on_loop
async def test_a_read_can_be_awaited_once(loop, our):
    operation = our(b"one\ntwo\n").readline()
    await operation
    with pytest.raises(RuntimeError, match="already awaited"):
        await operation


@on_loop
async def test_a_read_that_was_never_awaited_says_so(loop, make):
    reader = make(b"line\n")
    with pytest.warns(RuntimeWarning, match=r"StreamReader.readline' was never awaited"):
        reader.readline()


@on_loop
async def test_a_closed_read_lets_another_one_wait(loop, our):
    reader = our()
    operation = reader.readline()
    assert operation.send(None) is reader._waiter
    operation.close()
    assert reader._waiter is None
    with pytest.raises(RuntimeError):
        operation.send(None)


@on_loop
async def test_an_answer_can_be_taken_out_by_hand(loop, our):
    for _ in range(3):
        operation = our(b"line\n").readline()
        with pytest.raises(StopIteration) as caught:
            next(operation)
        assert caught.value.value == b"line\n"


@on_loop
async def test_a_message_that_is_read_whole_is_not_copied(loop, our):
    message = b"x" * 1000
    assert await our(message).read(65536) is message
    assert await our(message).readexactly(1000) is message


@on_loop
async def test_the_buffer_can_be_looked_into_and_cleared(loop, make):
    reader = make(b"secret")
    assert len(reader._buffer) == 6
    assert reader._buffer == b"secret"
    reader._buffer.clear()
    reader.feed_data(b"next\n")
    assert await reader.readline() == b"next\n"


@on_loop
async def test_a_buffer_that_somebody_holds_stays_the_buffer(loop, make):
    reader = make(b"one")
    held = reader._buffer
    await reader.read(3)
    reader.feed_data(b"two")
    assert held == b"two"
    held += b"three"
    assert await reader.readexactly(8) == b"twothree"


@on_loop
async def test_a_small_rest_does_not_keep_a_large_piece(loop, our):
    reader = our(b"x" * 100_000 + b"rest")
    await reader.readexactly(100_000)
    (task,) = await started(reader.readline())
    assert sys.getsizeof(reader._buffer) < 1000
    await ended(task)


@on_loop
async def test_arguments_that_make_no_sense_are_refused(loop, make):
    assert isinstance(await failure_of(make().readexactly(-1)), ValueError)
    assert isinstance(await failure_of(make().readuntil(b"")), ValueError)
    with pytest.raises(ValueError, match="Limit"):
        make(limit=0)
    assert await make().read(0) == b""
    assert await make().readexactly(0) == b""
    assert await make(b"abc").read(2**80) == b"abc"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@on_loop
async def test_a_separator_and_what_is_fed_may_be_any_kind_of_bytes(loop, make, kind):
    reader = make()
    reader.feed_data(kind(b"one;two"))
    assert await reader.readuntil(bytearray(b";")) == b"one;"


@on_loop
async def test_a_subclass_is_asked_for_its_lines(loop):
    class Shouting(StreamReader):
        async def readline(self):
            return (await super().readline()).upper()

    reader = Shouting(loop=loop)
    reader.feed_data(b"one\ntwo\n")
    reader.feed_eof()
    assert [line async for line in reader] == [b"ONE\n", b"TWO\n"]


@on_loop
async def test_it_is_a_reader_of_asyncio(loop, our):
    reader = our()
    assert isinstance(reader, asyncio.StreamReader)
    reader.note = "attributes can be set"
    assert repr(reader).startswith("<StreamReader")


@on_loop
async def test_an_unlimited_reader_may_be_asked_for(loop, our):
    assert await our(b"one\n", limit=float("inf")).readline() == b"one\n"
    assert await our(b"one\n", limit=2**200).readline() == b"one\n"


@on_loop
async def test_nothing_is_warned_about_a_read_that_was_awaited(loop, our):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await our(b"one\n").readline()
        gc.collect()
