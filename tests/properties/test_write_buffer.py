"""The write buffer does what one long bytes object does, and asks to pause and resume in turn."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from treadle._net.buffer import DEFAULT_HIGH, WriteBuffer

limits = st.one_of(st.none(), st.integers(0, 30), st.integers(-2, 200_000))
steps = st.one_of(
    st.tuples(st.just("append"), st.binary(min_size=1, max_size=12)),
    st.tuples(st.just("append"), st.binary(min_size=1, max_size=12)),
    st.tuples(st.just("append"), st.just(b"x" * 70_000)),
    st.tuples(st.just("append"), st.binary(min_size=2, max_size=12), st.integers(1, 11)),
    st.tuples(st.just("consume"), st.one_of(st.integers(0, 20), st.integers(0, 200_000))),
    st.tuples(st.just("clear")),
    st.tuples(st.just("set_limits"), limits, limits),
)


def marks(high, low):
    """The marks that asyncio's documentation derives, or None where it refuses."""
    if high is None:
        high = 64 * 1024 if low is None else 4 * low
    if low is None:
        low = high // 4
    return (high, low) if high >= low >= 0 else None


def content(buffer):
    return b"".join(buffer.chunks)[buffer.offset :]


def check(buffer, model):
    assert content(buffer) == model
    assert buffer.size == len(model)
    if buffer.chunks:
        assert 0 <= buffer.offset < len(buffer.chunks[0])
        assert b"" not in buffer.chunks
    else:
        assert buffer.offset == 0


@settings(max_examples=100)
@given(st.lists(steps, max_size=30))
@example([("append", b"abc"), ("append", b"de"), ("consume", 3), ("consume", 1), ("consume", 1)])
@example([("append", b"abc", 2), ("append", b"de"), ("consume", 2), ("append", b"fg", 1)])
@example([("set_limits", 0, None), ("append", b"a"), ("append", b"b"), ("consume", 2)])
def test_it_does_what_bytes_do(program):
    buffer, model = WriteBuffer(), b""
    high, low, paused = 64 * 1024, 16 * 1024, False
    for name, *arguments in program:
        if name == "append":
            data, sent = arguments[0], 0
            if len(arguments) == 2 and not model:  # the kernel took the beginning
                sent = min(arguments[1], len(data) - 1)
            buffer.append(data, sent)
            model += data[sent:]
        elif name == "consume":
            count = min(arguments[0], len(model))
            buffer.consume(count)
            model = model[count:]
        elif name == "clear":
            buffer.clear()
            model = b""
        elif (expected := marks(*arguments)) is None:
            with pytest.raises(ValueError, match="must be >="):
                buffer.set_limits(*arguments)
        else:
            buffer.set_limits(*arguments)
            high, low = expected
        check(buffer, model)
        assert (buffer.high, buffer.low) == (high, low)
        # what the marks say is said once, and only in turn
        crosses = not paused and len(model) > high
        assert [buffer.crossed_high(), buffer.crossed_high()] == [crosses, False]
        paused = paused or crosses
        crosses = paused and len(model) <= low
        assert [buffer.crossed_low(), buffer.crossed_low()] == [crosses, False]
        paused = paused and not crosses
        assert buffer.paused == paused


@settings(max_examples=100)
@given(
    high=st.integers(0, 40),
    low=st.integers(0, 40),
    moves=st.lists(st.integers(-30, 30).filter(bool), max_size=40),
)
def test_every_pause_is_followed_by_one_resume_when_it_runs_empty(high, low, moves):
    assume(high >= low)
    buffer = WriteBuffer()
    buffer.set_limits(high, low)
    asked = []
    for move in [*moves, -10_000]:
        if move > 0:
            buffer.append(bytes(move))
            if buffer.crossed_high():
                asked.append("pause")
        else:
            buffer.consume(min(-move, buffer.size))
            if buffer.crossed_low():
                asked.append("resume")
    assert asked == ["pause", "resume"] * (len(asked) // 2)


def test_the_marks_begin_with_asyncios_defaults():
    buffer = WriteBuffer()
    assert (buffer.high, buffer.low) == marks(None, None) == (DEFAULT_HIGH, DEFAULT_HIGH // 4)
