"""The memory that TLS connections share: data that is read into what the protocol gets."""

from __future__ import annotations

import pytest

from treadle._net.scratch import RECORD_SIZE, Scratch

SMALL = 1_000
LARGE = 100_000  # so much is read into a `bytes` that is not finished yet


def read(scratch, start, data):
    """What an SSL object does with an order for one record."""
    _, room = scratch.order(start)
    with memoryview(room) as view:
        view[: len(data)] = data


def records(size):
    return [bytes([65 + i % 26]) * min(RECORD_SIZE, size - i) for i in range(0, size, RECORD_SIZE)]


@pytest.mark.parametrize("size", [1, SMALL, 50_000, LARGE - 100, LARGE])
@pytest.mark.parametrize("expected", [0, SMALL, LARGE])
def test_what_was_read_is_taken(size, expected):
    scratch = Scratch()
    scratch.expect(expected)
    at = 0
    for record in records(size):
        read(scratch, at, record)
        at += len(record)
    assert scratch.take(size) == b"".join(records(size))


def test_bytes_that_were_taken_stay_as_they_are():
    scratch = Scratch()
    scratch.expect(LARGE)
    read(scratch, 0, b"first")
    first = scratch.take(LARGE - 10)
    before = bytes(bytearray(first))
    for _ in range(2):
        scratch.expect(LARGE)
        read(scratch, 0, b"other")
        scratch.take(LARGE - 10)
    assert first == before


def test_who_still_looks_cannot_write_into_what_was_taken():
    scratch = Scratch()
    scratch.expect(LARGE)
    view = memoryview(scratch.order(0)[1])
    view[:5] = b"mine!"
    taken = scratch.take(LARGE - 10)
    view[:5] = b"yours"
    assert taken[:5] == b"mine!"


def test_what_was_read_and_not_taken_is_forgotten():
    scratch = Scratch()
    scratch.expect(LARGE)
    read(scratch, 0, b"data")
    scratch.expect(0)
    read(scratch, 0, b"more")
    assert scratch.take(4) == b"more"


def test_a_part_of_what_is_sent_is_at_most_a_record():
    scratch = Scratch()
    data = bytes(range(256)) * 200
    for start in (0, 5, RECORD_SIZE, len(data) - 3, len(data)):
        part = memoryview(scratch.part(data, start))
        assert part.readonly
        assert part == data[start : start + RECORD_SIZE]
    scratch.end_part()
