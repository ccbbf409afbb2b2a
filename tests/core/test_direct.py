"""Receiving and sending on a plain socket without an exception where it would block."""

from __future__ import annotations

import socket

import pytest

import treadle
from treadle._core.direct import number, receive_now, send_now


def test_what_is_there_is_received(socket_pair):
    ours, theirs = socket_pair
    theirs.send(b"there")
    assert receive_now(ours, 3) == b"the"
    assert receive_now(ours, 100) == b"re"


def test_nothing_there_is_none(socket_pair):
    ours, _ = socket_pair
    assert receive_now(ours, 100) is None


def test_the_end_of_the_stream_is_empty(socket_pair):
    ours, theirs = socket_pair
    theirs.close()
    assert receive_now(ours, 100) == b""


@pytest.mark.parametrize("size", [1, 65_535, 65_536, 65_537, 1_000_000])
def test_no_more_is_received_than_was_asked_for(socket_pair, size):
    ours, theirs = socket_pair
    for sock in socket_pair:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1_000_000)
    sent = theirs.send(bytes(100_000))
    assert len(receive_now(ours, size)) == min(size, sent)


@pytest.mark.parametrize(("size", "error"), [(-1, ValueError), ("1", TypeError), (1.0, TypeError)])
def test_useless_sizes_are_refused_as_the_socket_refuses_them(socket_pair, size, error):
    with pytest.raises(error):
        receive_now(socket_pair[0], size)


def test_a_size_of_nothing_receives_nothing(socket_pair):
    assert receive_now(socket_pair[0], 0) == b""


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_what_is_sent_arrives(socket_pair, kind):
    ours, theirs = socket_pair
    assert send_now(ours, kind(b"hello")) == 5
    assert send_now(ours, kind(b"")) == 0
    assert theirs.recv(100) == b"hello"


def test_a_full_kernel_is_told_from_a_short_count(socket_pair):
    ours, _ = socket_pair
    sent = 0
    while (count := send_now(ours, bytes(50_000))) > 0:
        sent += count
    assert count == -1
    assert sent > 0


def test_a_broken_connection_raises_and_kills_nobody(socket_pair):
    ours, theirs = socket_pair
    theirs.close()
    with pytest.raises(BrokenPipeError):
        send_now(ours, b"x")


def test_a_closed_socket_raises(socket_pair):
    ours, _ = socket_pair
    ours.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        receive_now(ours, 10)
    with pytest.raises(OSError, match="Bad file descriptor"):
        send_now(ours, b"x")


def test_what_is_no_buffer_is_refused(socket_pair):
    with pytest.raises(TypeError):
        send_now(socket_pair[0], "text")


def test_the_number_is_the_sockets(socket_pair):
    for sock in socket_pair:
        assert number(sock) == sock.fileno()
        sock.close()
        assert number(sock) == -1


@pytest.mark.skipif(not treadle.COMPILED, reason="the plain twin calls the method, which waits")
def test_a_socket_that_blocks_is_not_waited_for(socket_pair):
    ours, _ = socket_pair
    ours.setblocking(True)
    assert receive_now(ours, 100) is None
    while send_now(ours, bytes(50_000)) > 0:
        pass


@pytest.mark.parametrize("name", ["recv", "send"])
def test_a_method_that_somebody_has_replaced_is_called(socket_pair, monkeypatch, name):
    called = []
    original = getattr(socket.socket, name)

    def replacement(sock, what):
        called.append(name)
        return original(sock, what)

    monkeypatch.setattr(socket.socket, name, replacement, raising=False)
    ours, theirs = socket_pair
    assert send_now(theirs, b"x") == 1
    assert receive_now(ours, 10) == b"x"
    assert receive_now(ours, 10) is None
    assert set(called) == {name}
