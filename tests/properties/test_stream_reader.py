"""A reader gives what asyncio's gives, whatever is fed and read in whatever order."""

from __future__ import annotations

import asyncio
import sys

from hypothesis import given
from hypothesis import strategies as st

from treadle.aio.streams import StreamReader

BYTES = st.text("ab;\n", max_size=9).map(str.encode)
SEPARATOR = st.text("ab;\n", min_size=1, max_size=3).map(str.encode)
if sys.version_info >= (3, 13):  # asyncio takes several from there on
    SEPARATOR = st.one_of(SEPARATOR, st.lists(SEPARATOR, min_size=1, max_size=3).map(tuple))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("feed"), BYTES),
        st.tuples(st.just("feed"), BYTES),
        st.tuples(st.just("feed"), st.sampled_from([b"b" * 40, b"a\n" * 30])),
        st.tuples(st.just("read"), st.integers(0, 12)),
        st.tuples(st.just("readexactly"), st.integers(0, 12)),
        st.tuples(st.just("readline")),
        st.tuples(st.just("readuntil"), SEPARATOR),
        st.tuples(st.just("look")),
    ),
    max_size=25,
)


class Tap:
    def __init__(self):
        self.paused = False

    def pause_reading(self):
        assert not self.paused
        self.paused = True

    def resume_reading(self):
        assert self.paused
        self.paused = False


def outcome(task):
    exc = task.exception()
    if exc is None:
        return task.result()
    details = getattr(exc, "partial", None), getattr(exc, "consumed", None)
    return type(exc), str(exc), *details


async def play(kind, limit, steps):
    """What came of the steps; a read that waits is the last until it is done."""
    reader = kind(limit)
    tap = Tap()
    reader.set_transport(tap)
    seen = []
    waiting = None
    for name, *arguments in steps:
        if name == "feed":
            reader.feed_data(*arguments)
        elif name == "look":
            seen.append(bytes(reader._buffer) if waiting is None else None)
        elif waiting is None:
            waiting = asyncio.ensure_future(getattr(reader, name)(*arguments))
        for _ in range(3):
            await asyncio.sleep(0)
        if waiting is not None and waiting.done():
            seen.append((outcome(waiting), tap.paused))
            waiting = None
    reader.feed_eof()
    if waiting is not None:
        await asyncio.wait([waiting])
        seen.append(outcome(waiting))
    seen.append(await reader.read())
    return seen


@given(st.integers(1, 8), STEPS)
def test_ours_does_what_asyncio_s_does(limit, steps):
    ours = asyncio.run(play(StreamReader, limit, steps))
    assert ours == asyncio.run(play(asyncio.StreamReader, limit, steps))
