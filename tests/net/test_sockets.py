"""The ``sock_*`` coroutines: calls on the user's own sockets, and what a cancellation leaves."""

from __future__ import annotations

import array
import asyncio
import contextlib
import random
import socket
import ssl

import pytest

from tests.net.wire import Recorder, listening, read_exactly, settle

pytestmark = pytest.mark.every_driver

LOCAL = "127.0.0.1"


@pytest.fixture
def pair():
    """Two sockets that are connected and do not block."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    with ours, theirs:
        yield ours, theirs


async def started(awaitable):
    """A task that has begun to wait."""
    task = asyncio.ensure_future(awaitable)
    await asyncio.sleep(0)
    return task


async def cancelled(task):
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# receiving ------------------------------------------------------------------------------------


async def test_what_is_there_is_received(loop, pair):
    ours, theirs = pair
    theirs.send(b"there")
    assert await loop.sock_recv(ours, 3) == b"the"
    assert await loop.sock_recv(ours, 100) == b"re"


async def test_receiving_waits_until_something_comes(loop, pair):
    ours, theirs = pair
    task = await started(loop.sock_recv(ours, 100))
    await settle(loop)
    assert not task.done()
    theirs.send(b"late")
    assert await task == b"late"


async def test_the_end_of_the_stream_is_empty(loop, pair):
    ours, theirs = pair
    task = await started(loop.sock_recv(ours, 100))
    theirs.close()
    assert await task == b""


async def test_receiving_into_a_buffer_says_how_much(loop, pair):
    ours, theirs = pair
    buffer = bytearray(8)
    task = await started(loop.sock_recv_into(ours, buffer))
    theirs.send(b"late")
    assert await task == 4
    assert buffer == b"late\0\0\0\0"


async def test_an_error_of_the_call_is_raised(loop):
    with socket.socket() as sock:
        sock.setblocking(False)
        with pytest.raises(OSError, match="not connected"):
            await loop.sock_recv(sock, 1)
        with pytest.raises(OSError, match=r"Invalid|not connected"):
            await loop.sock_accept(sock)


async def test_a_cancelled_receive_leaves_no_watch_and_no_data_is_lost(loop, pair):
    ours, theirs = pair
    await cancelled(await started(loop.sock_recv(ours, 100)))
    assert not loop.remove_reader(ours)
    theirs.send(b"kept")
    assert await loop.sock_recv(ours, 100) == b"kept"


async def test_a_finished_receive_leaves_no_watch(loop, pair):
    ours, theirs = pair
    task = await started(loop.sock_recv(ours, 100))
    theirs.send(b"x")
    await task
    assert not loop.remove_reader(ours)


async def test_cancelling_one_receiver_does_not_stop_another_on_the_same_socket(loop, pair):
    ours, theirs = pair
    first = await started(loop.sock_recv(ours, 100))
    second = await started(loop.sock_recv(ours, 100))
    await cancelled(first)
    theirs.send(b"for the second")
    await settle(loop)
    assert second.done(), "nobody watches for the second one any more"
    assert await second == b"for the second"


async def test_cancelling_one_sender_does_not_stop_another_on_the_same_socket(loop, pair):
    ours, theirs = pair
    while True:
        try:
            ours.send(bytes(65536))
        except BlockingIOError:
            break
    first = await started(loop.sock_sendall(ours, b"1"))
    second = await started(loop.sock_sendall(ours, b"2"))
    await cancelled(first)
    task = asyncio.ensure_future(drain(loop, theirs))
    while not await is_idle(loop, theirs):
        pass
    assert second.done(), "nobody watches for the second one any more"
    ours.close()
    assert (await task).endswith(b"\x002")


async def is_idle(loop, sock):
    """Say whether nothing more has come for a socket after everything was dispatched."""
    await settle(loop)
    try:
        return not sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True


async def drain(loop, sock):
    parts = []
    while part := await loop.sock_recv(sock, 65536):
        parts.append(part)
    return b"".join(parts)


async def test_a_receiver_whose_number_went_to_another_socket_leaves_that_one_alone(loop):
    """The user closed a socket while somebody received from it; the number was given away."""
    first, other = socket.socketpair()
    first.setblocking(False)
    task = await started(loop.sock_recv(first, 100))
    fd = first.fileno()
    loop.remove_reader(first)  # as asyncio wants it before a watched socket is closed
    first.close()
    second, peer = socket.socketpair()
    while second.fileno() != fd and peer.fileno() != fd:
        first, second = second, socket.socket()
        first.close()
    second, peer = (second, peer) if second.fileno() == fd else (peer, second)
    with other, second, peer:
        second.setblocking(False)
        heir = await started(loop.sock_recv(second, 100))
        await cancelled(task)
        peer.send(b"for the heir")
        await settle(loop)
        assert heir.done(), "nobody watches for the heir any more"
        assert await heir == b"for the heir"


@pytest.mark.treadle_only  # with asyncio it waits for ever
async def test_a_receiver_whose_number_went_to_a_transport_is_told(loop):
    first, other = socket.socketpair()
    first.setblocking(False)
    with other:
        task = await started(loop.sock_recv(first, 100))
        fd = first.fileno()
        first.close()
        ours, theirs = socket.socketpair()
        assert fd in (ours.fileno(), theirs.fileno())
        if theirs.fileno() == fd:
            ours, theirs = theirs, ours
        with theirs:
            transport, protocol = await loop.create_connection(Recorder, sock=ours)
            with pytest.raises(OSError, match="Bad file descriptor"):
                await task
            theirs.send(b"x")
            assert await protocol.gets(1) == b"x"
            transport.close()
            await protocol.hears("connection_lost")


# sending --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_everything_is_sent_however_little_the_kernel_takes(loop, pair, kind):
    ours, theirs = pair
    data = random.Random(7).randbytes(1_000_000)
    task = asyncio.ensure_future(loop.sock_sendall(ours, kind(data)))
    assert await read_exactly(loop, theirs, len(data)) == data
    assert await task is None
    assert not loop.remove_writer(ours)


async def test_nothing_is_sent_at_once(loop, pair):
    ours, theirs = pair
    await loop.sock_sendall(ours, b"")
    with pytest.raises(BlockingIOError):
        theirs.recv(1)


@pytest.mark.treadle_only  # asyncio counts items where it should count bytes
async def test_wider_items_are_sent_whole(loop, pair):
    ours, theirs = pair
    items = array.array("I", range(200_000))
    task = asyncio.ensure_future(loop.sock_sendall(ours, memoryview(items)))
    assert await read_exactly(loop, theirs, 800_000) == items.tobytes()
    await task


async def test_a_cancelled_send_leaves_no_watch(loop, pair):
    ours, _ = pair
    await cancelled(await started(loop.sock_sendall(ours, bytes(10_000_000))))
    assert not loop.remove_writer(ours)


async def test_sending_to_a_peer_that_is_gone_raises(loop, pair):
    ours, theirs = pair
    task = await started(loop.sock_sendall(ours, bytes(10_000_000)))
    theirs.close()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        await task
    assert not loop.remove_writer(ours)


async def test_sending_and_receiving_on_one_socket_at_once(loop, pair):
    data = bytes(range(256)) * 4000

    async def both(sock):
        sending = asyncio.ensure_future(loop.sock_sendall(sock, data))
        got = await read_exactly(loop, sock, len(data))
        await sending
        return got

    assert await asyncio.gather(*map(both, pair)) == [data, data]


# connecting and accepting ---------------------------------------------------------------------


async def test_connecting_and_accepting(loop):
    with listening() as listener, socket.socket() as sock:
        listener.setblocking(False)
        sock.setblocking(False)
        accepting = await started(loop.sock_accept(listener))
        assert await loop.sock_connect(sock, listener.getsockname()) is None
        conn, address = await accepting
        with conn:
            assert address == sock.getsockname()
            assert conn.gettimeout() == 0
            await loop.sock_sendall(conn, b"hello")
            assert await loop.sock_recv(sock, 5) == b"hello"


async def test_connecting_to_a_name(loop):
    with listening() as listener, socket.socket() as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, ("localhost", listener.getsockname()[1]))
        assert sock.getpeername() == listener.getsockname()


async def test_connecting_to_nobody_is_refused(loop):
    with socket.socket() as taken, socket.socket() as sock:
        taken.bind((LOCAL, 0))
        sock.setblocking(False)
        with pytest.raises(ConnectionRefusedError, match=str(taken.getsockname()[1])):
            await loop.sock_connect(sock, taken.getsockname())
        assert not loop.remove_writer(sock)


async def test_connecting_to_a_path(loop, tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as sock:
        listener.bind(path)
        listener.listen()
        sock.setblocking(False)
        await loop.sock_connect(sock, path)
        assert sock.getpeername() == path
        with socket.socket(socket.AF_UNIX) as lost:
            lost.setblocking(False)
            with pytest.raises(FileNotFoundError):
                await loop.sock_connect(lost, path + "-")


@pytest.mark.treadle_only  # asyncio says that it is connected
async def test_connecting_to_a_listener_that_takes_no_more_fails(loop, tmp_path):
    path = str(tmp_path / "socket")
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(path)
        listener.listen(0)

        async def connect_many():
            for _ in range(10):
                sock = stack.enter_context(socket.socket(socket.AF_UNIX))
                sock.setblocking(False)
                await loop.sock_connect(sock, path)

        with pytest.raises(BlockingIOError):
            await connect_many()


async def test_a_cancelled_connect_leaves_no_watch(loop):
    with socket.socket(type=socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        with listening() as listener:
            task = await started(loop.sock_connect(sock, listener.getsockname()))
            task.cancel()
            await asyncio.wait([task])
        assert not loop.remove_writer(sock)


@pytest.mark.parametrize(
    "call",
    [
        lambda loop, sock: loop.sock_recv(sock, 1),
        lambda loop, sock: loop.sock_recv_into(sock, bytearray(1)),
        lambda loop, sock: loop.sock_recvfrom(sock, 1),
        lambda loop, sock: loop.sock_recvfrom_into(sock, bytearray(1)),
        lambda loop, sock: loop.sock_sendall(sock, b"x"),
        lambda loop, sock: loop.sock_sendto(sock, b"x", (LOCAL, 1)),
        lambda loop, sock: loop.sock_accept(sock),
        lambda loop, sock: loop.sock_connect(sock, (LOCAL, 1)),
    ],
)
async def test_calls_on_a_closed_socket_raise(loop, call):
    sock = socket.socket()
    sock.setblocking(False)
    sock.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        await call(loop, sock)


async def test_a_call_can_be_made_a_task(loop, pair):
    ours, theirs = pair
    task = loop.create_task(loop.sock_recv(ours, 100))
    sending = loop.sock_sendall(theirs, b"x")
    assert asyncio.iscoroutine(sending)
    await loop.create_task(sending)
    assert await task == b"x"


async def test_a_cancelled_accept_leaves_no_watch_and_no_caller_is_lost(loop):
    with listening() as listener:
        listener.setblocking(False)
        await cancelled(await started(loop.sock_accept(listener)))
        assert not loop.remove_reader(listener)
        with socket.create_connection(listener.getsockname()):
            conn, _ = await loop.sock_accept(listener)
            conn.close()


# arguments ------------------------------------------------------------------------------------


async def test_a_socket_of_the_ssl_module_is_refused(loop):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with context.wrap_socket(socket.socket(), server_hostname="x") as sock:
        for call in (
            loop.sock_recv(sock, 1),
            loop.sock_recv_into(sock, bytearray(1)),
            loop.sock_recvfrom(sock, 1),
            loop.sock_recvfrom_into(sock, bytearray(1)),
            loop.sock_sendto(sock, b"x", (LOCAL, 1)),
            loop.sock_sendall(sock, b"x"),
            loop.sock_connect(sock, (LOCAL, 1)),
            loop.sock_accept(sock),
        ):
            with pytest.raises(TypeError, match="Socket cannot be of type SSLSocket"):
                await call
        with pytest.raises(TypeError, match="Socket cannot be of type SSLSocket"):
            await loop.create_connection(Recorder, sock=sock)
        with pytest.raises(TypeError, match="Socket cannot be of type SSLSocket"):
            await loop.create_server(Recorder, sock=sock)


async def test_in_debug_mode_a_socket_that_blocks_is_refused(loop):
    loop.set_debug(True)
    with socket.socket() as sock:
        for call in (
            loop.sock_recv(sock, 1),
            loop.sock_recv_into(sock, bytearray(1)),
            loop.sock_recvfrom(sock, 1),
            loop.sock_recvfrom_into(sock, bytearray(1)),
            loop.sock_sendto(sock, b"x", (LOCAL, 1)),
            loop.sock_sendall(sock, b"x"),
            loop.sock_connect(sock, (LOCAL, 1)),
            loop.sock_accept(sock),
        ):
            with pytest.raises(ValueError, match="the socket must be non-blocking"):
                await call


async def test_a_socket_that_has_a_transport_is_refused(loop, dial):
    transport, _, peer = await dial()
    with socket.socket(fileno=transport.get_extra_info("socket").fileno()) as view:
        view.setblocking(False)
        with pytest.raises(RuntimeError, match="is used by transport"):
            await loop.sock_recv(view, 1)
        view.detach()
    peer.close()


# datagrams ------------------------------------------------------------------------------------


@pytest.fixture
def ports():
    """Two bound datagram sockets that do not block."""
    with (
        socket.socket(type=socket.SOCK_DGRAM) as ours,
        socket.socket(type=socket.SOCK_DGRAM) as theirs,
    ):
        for sock in (ours, theirs):
            sock.setblocking(False)
            sock.bind((LOCAL, 0))
        yield ours, theirs


async def test_a_datagram_is_received_with_its_senders_address(loop, ports):
    ours, theirs = ports
    task = await started(loop.sock_recvfrom(ours, 100))
    assert await loop.sock_sendto(theirs, b"hello", ours.getsockname()) == 5
    assert await task == (b"hello", theirs.getsockname())


async def test_a_datagram_is_received_into_a_buffer(loop, ports):
    ours, theirs = ports
    buffer = bytearray(8)
    task = await started(loop.sock_recvfrom_into(ours, buffer))
    await loop.sock_sendto(theirs, b"hello", ours.getsockname())
    assert await task == (5, theirs.getsockname())
    assert buffer == b"hello\0\0\0"


async def test_not_more_of_a_datagram_is_received_into_a_buffer_than_was_asked_for(loop, ports):
    ours, theirs = ports
    buffer = bytearray(8)
    await loop.sock_sendto(theirs, b"hello", ours.getsockname())
    assert await loop.sock_recvfrom_into(ours, buffer, 2) == (2, theirs.getsockname())
    assert buffer == b"he\0\0\0\0\0\0"


async def test_datagrams_are_received_in_their_order(loop, ports):
    ours, theirs = ports
    for number in range(20):
        await loop.sock_sendto(theirs, b"%d" % number, ours.getsockname())
    got = [(await loop.sock_recvfrom(ours, 100))[0] for _ in range(20)]
    assert got == [b"%d" % number for number in range(20)]


async def test_a_datagram_that_the_kernel_does_not_take_yet_waits(loop):
    ours, theirs = socket.socketpair(type=socket.SOCK_DGRAM)
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        sent = 0
        try:
            while True:
                sent += bool(ours.send(bytes(1000)))
        except BlockingIOError:
            pass
        task = await started(loop.sock_sendall(ours, b"last"))
        await settle(loop)
        assert not task.done()
        for _ in range(sent):
            assert len(await loop.sock_recv(theirs, 2000)) == 1000
        await task
        assert await loop.sock_recv(theirs, 2000) == b"last"


async def test_a_datagram_nobody_receives_is_reported_to_the_next_call(loop, ports):
    ours, theirs = ports
    nobody = theirs.getsockname()
    theirs.close()
    ours.connect(nobody)
    task = await started(loop.sock_recvfrom(ours, 100))
    await loop.sock_sendall(ours, b"anybody?")
    with pytest.raises(ConnectionRefusedError):
        await task


async def test_cancelled_receivers_of_datagrams_lose_none(loop, ports):
    ours, theirs = ports
    for call in (loop.sock_recvfrom(ours, 100), loop.sock_recvfrom_into(ours, bytearray(100))):
        await cancelled(await started(call))
    await loop.sock_sendto(theirs, b"kept", ours.getsockname())
    assert await loop.sock_recvfrom(ours, 100) == (b"kept", theirs.getsockname())
