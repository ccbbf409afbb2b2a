"""The first turn of a run: what was queued before it comes before what the kernel has to tell."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytestmark = pytest.mark.every_driver


class Listener(asyncio.Protocol):
    """Notes what it receives in a list."""

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes

    def data_received(self, data: bytes) -> None:
        self.notes.append(data.decode())


def once(loop: Any) -> None:
    """Run the loop for one turn."""
    loop.call_soon(loop.stop)
    loop.run_forever()


@pytest.fixture
def connected(loop: Any, socket_pair: Any) -> Any:
    """A connection between runs: what it received, and the socket at its other end."""
    ours, theirs = socket_pair
    notes: list[str] = []
    transport, _ = loop.run_until_complete(
        loop.create_connection(lambda: Listener(notes), sock=ours)
    )
    yield notes, theirs
    transport.abort()
    once(loop)
    once(loop)


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
def test_what_was_queued_before_the_run_comes_before_data_that_was_there(loop, connected, debug):
    notes, peer = connected
    loop.set_debug(debug)
    peer.send(b"data")
    loop.call_soon(notes.append, "queued")
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    assert notes == ["queued", "data"]


def test_a_task_that_is_run_can_get_ready_for_data_that_was_there(loop, connected):
    notes, peer = connected
    peer.send(b"data")

    async def receive() -> list[str]:
        assert notes == []
        while not notes:
            await asyncio.sleep(0)
        return notes

    assert loop.run_until_complete(receive()) == ["data"]


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
def test_a_run_of_one_turn_receives_what_was_there(loop, connected, debug):
    notes, peer = connected
    loop.set_debug(debug)
    peer.send(b"data")
    once(loop)
    assert notes == ["data"]


def test_a_run_of_one_turn_calls_the_reader_of_what_was_there(loop, socket_pair):
    ours, theirs = socket_pair
    theirs.send(b"data")
    calls: list[bytes] = []
    loop.add_reader(ours, lambda: calls.append(ours.recv(4)))
    once(loop)
    assert calls == [b"data"]
    loop.remove_reader(ours)


def test_a_run_of_one_turn_leaves_what_its_callbacks_queued(loop, socket_pair):
    ours, theirs = socket_pair
    theirs.send(b"data")
    calls: list[str] = []

    def read() -> None:
        ours.recv(4)
        calls.append("reader")
        loop.call_soon(calls.append, "queued by the reader")

    def callback() -> None:
        calls.append("callback")
        loop.call_soon(calls.append, "queued by the callback")

    loop.add_reader(ours, read)
    loop.call_soon(callback)
    once(loop)
    assert calls == ["callback", "reader"]
    once(loop)
    assert calls[2:] == ["queued by the callback", "queued by the reader"]
    loop.remove_reader(ours)


def test_a_run_of_one_turn_runs_the_timers_that_are_due(loop):
    calls: list[str] = []
    loop.call_later(0, calls.append, "timer")
    loop.call_soon(calls.append, "callback")
    once(loop)
    assert calls == ["callback", "timer"]


def test_stop_before_the_run_runs_what_was_queued_and_asks_the_kernel(loop, connected):
    notes, peer = connected
    peer.send(b"data")
    loop.call_soon(notes.append, "queued")
    loop.stop()
    loop.run_forever()
    assert notes == ["queued", "data"]


def test_an_interrupt_in_the_first_turn_leaves_the_rest_for_the_next_run(loop):
    calls: list[str] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    loop.call_soon(calls.append, "first")
    loop.call_soon(interrupt)
    loop.call_soon(calls.append, "second")
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert calls == ["first"]
    once(loop)
    assert calls == ["first", "second"]


def test_a_protocol_that_interrupts_a_run_of_one_turn_loses_no_callback(loop, socket_pair):
    ours, theirs = socket_pair
    calls: list[str] = []

    class Interrupting(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            raise KeyboardInterrupt

    transport, _ = loop.run_until_complete(loop.create_connection(Interrupting, sock=ours))
    theirs.send(b"data")
    loop.call_soon(lambda: loop.call_soon(calls.append, "kept"))
    loop.call_soon(loop.stop)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    once(loop)
    assert calls == ["kept"]
    transport.abort()
    once(loop)
    once(loop)
