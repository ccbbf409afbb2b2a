"""Datagrams arrive whole, with the sender's address; an error does not end the endpoint."""

from __future__ import annotations

import array
import asyncio
import contextvars
import errno
import gc
import logging
import os
import socket
import struct
import sys
import warnings

import pytest

from tests.net.wire import Letterbox, settle

pytestmark = pytest.mark.every_driver

LOCAL = {"ipv4": "127.0.0.1", "ipv6": "::1"}
word = contextvars.ContextVar("word", default="none")


class Trouble(Exception):
    """Raised by protocols on purpose."""


class Echo(Letterbox):
    def datagram_received(self, data, addr):
        super().datagram_received(data, addr)
        self.transport.sendto(data, addr)


@pytest.fixture(params=LOCAL)
def host(request):
    """An address of this host, of each family."""
    return LOCAL[request.param]


def address_of(transport):
    return transport.get_extra_info("sockname")


async def pair(post, host="127.0.0.1", factory=Letterbox):
    """Return an endpoint that is bound, one that is connected to it, and their protocols."""
    bound, there = await post((host, 0), factory=factory)
    connected, here = await post(None, address_of(bound)[:2])
    return bound, there, connected, here


# what arrives ---------------------------------------------------------------------------------


async def test_a_datagram_goes_there_and_back(post, host):
    _, there, connected, here = await pair(post, host, Echo)
    connected.sendto(b"hello")
    assert await here.brings(1) == [b"hello"]
    assert there.letters == [(b"hello", address_of(connected))]


async def test_the_sender_of_an_answer_is_the_address_it_was_sent_to(post, host):
    bound, _, connected, here = await pair(post, host, Echo)
    connected.sendto(b"hello")
    await here.brings(1)
    assert here.letters == [(b"hello", address_of(bound))]


async def test_the_boundaries_between_datagrams_are_kept(post):
    _, there, connected, _ = await pair(post)
    sent = [bytes([i]) * (i * 7 % 50 + 1) for i in range(100)]
    for data in sent:
        connected.sendto(data)
    assert await there.brings(100) == sent


async def test_the_largest_datagram_arrives_whole(post):
    _, there, connected, _ = await pair(post)
    connected.sendto(b"x" * 65507)
    assert await there.brings(1) == [b"x" * 65507]


async def test_an_empty_datagram_is_received(loop, post):
    bound, there = await post(("127.0.0.1", 0))
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.sendto(b"", address_of(bound))
        assert await there.brings(1) == [b""]


@pytest.mark.treadle_only
async def test_an_empty_datagram_is_sent(post):
    _, there, connected, _ = await pair(post)
    connected.sendto(b"")
    connected.sendto(bytearray())
    assert await there.brings(2) == [b"", b""]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_every_kind_of_bytes_is_sent(post, kind):
    bound, there, connected, _ = await pair(post)
    other, _ = await post(("127.0.0.1", 0))
    connected.sendto(kind(b"connected"))
    other.sendto(kind(b"not connected"), address_of(bound))
    assert sorted(await there.brings(2)) == [b"connected", b"not connected"]


async def test_a_view_of_wider_items_is_sent_whole(post):
    _, there, connected, _ = await pair(post)
    items = array.array("I", range(100))
    connected.sendto(memoryview(items))
    assert await there.brings(1) == [items.tobytes()]


async def test_many_peers_get_their_own_answers(post, host):
    bound, _ = await post((host, 0), factory=Echo)
    clients = [await post(None, address_of(bound)[:2]) for _ in range(20)]
    for turn in range(5):
        for i, (transport, _) in enumerate(clients):
            transport.sendto(b"%d of %d" % (turn, i))
    for i, (_, protocol) in enumerate(clients):
        assert await protocol.brings(5) == [b"%d of %d" % (turn, i) for turn in range(5)]


async def test_a_burst_does_not_keep_the_loop_from_other_work(loop, post):
    bound, there = await post(("127.0.0.1", 0))
    heard = []
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        for _ in range(100):
            sock.sendto(b"x", address_of(bound))
        there.datagram_received = lambda data, addr: heard.append(loop.call_soon(heard.append, 0))
        while len(heard) < 200:
            await asyncio.sleep(0)
    assert heard.index(0) < 100  # a callback ran before all of them were received


async def test_what_arrives_before_connection_made_is_handed_over_after_it(loop, post):
    with socket.socket(type=socket.SOCK_DGRAM) as sock, socket.socket(type=sock.type) as sender:
        sock.bind(("127.0.0.1", 0))
        sender.sendto(b"early", sock.getsockname())
        _, protocol = await post(sock=sock)
        assert await protocol.brings(1) == [b"early"]
        assert protocol.calls == ["connection_made", "datagram_received"]
        protocol.transport.abort()
        await settle(loop)


# where it goes --------------------------------------------------------------------------------


async def test_an_endpoint_of_ipv6_sends_to_a_full_address(post):
    bound, there = await post(("::1", 0))
    other, _ = await post(("::1", 0))
    other.sendto(b"four", address_of(bound))
    other.sendto(b"two", address_of(bound)[:2])
    assert sorted(await there.brings(2)) == [b"four", b"two"]


async def test_a_name_is_looked_up(post):
    bound, there = await post(("127.0.0.1", 0))
    other, _ = await post(("127.0.0.1", 0))
    other.sendto(b"hello", ("localhost", address_of(bound)[1]))
    assert await there.brings(1) == [b"hello"]


async def test_a_connected_endpoint_takes_its_own_remote_address(post):
    bound, there, connected, _ = await pair(post)
    connected.sendto(b"hello", address_of(bound))
    assert await there.brings(1) == [b"hello"]


async def test_a_connected_endpoint_refuses_another_address(post):
    _, _, connected, _ = await pair(post)
    with pytest.raises(ValueError, match="Invalid address: must be None or"):
        connected.sendto(b"x", ("127.0.0.1", 9))
    assert not connected.is_closing()


async def test_a_connected_endpoint_hears_its_peer_only(loop, post):
    bound, _, connected, here = await pair(post)
    stranger, _ = await post(("127.0.0.1", 0))
    stranger.sendto(b"stranger", address_of(connected))
    bound.sendto(b"peer", address_of(connected))
    await here.brings(1)
    await settle(loop)
    assert [data for data, _ in here.letters] == [b"peer"]


async def test_with_allow_broadcast_the_answer_may_come_from_another_address(post):
    bound, there = await post(("127.0.0.1", 0))
    caller, heard = await post(None, address_of(bound), allow_broadcast=True)
    stranger, _ = await post(("127.0.0.1", 0))
    caller.sendto(b"anybody?")
    (_, address), *_ = there.letters if await there.brings(1) else []
    assert caller.get_extra_info("peername") is None
    stranger.sendto(b"me", ("127.0.0.1", address[1]))
    await heard.brings(1)
    assert heard.letters == [(b"me", address_of(stranger))]


async def test_with_allow_broadcast_another_address_is_refused(post):
    bound, _ = await post(("127.0.0.1", 0))
    caller, _ = await post(None, address_of(bound), allow_broadcast=True)
    with pytest.raises(ValueError, match="Invalid address"):
        caller.sendto(b"x", ("127.0.0.1", 9))


async def test_a_multicast_socket_is_taken_as_it_is(loop, post):
    group = "239.255.77.77"
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.bind(("", 0))
    loopback = socket.inet_aton("127.0.0.1")
    member = struct.pack("4s4s", socket.inet_aton(group), loopback)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, loopback)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
    transport, protocol = await post(sock=sock)
    transport.sendto(b"to all", (group, sock.getsockname()[1]))
    assert await protocol.brings(1) == [b"to all"]


# errors ---------------------------------------------------------------------------------------


async def closed_port(post):
    transport, _ = await post(("127.0.0.1", 0))
    transport.abort()
    await settle(asyncio.get_running_loop())
    return address_of(transport)


async def test_a_peer_that_refuses_is_told_to_error_received(post):
    transport, protocol = await post(None, await closed_port(post))
    transport.sendto(b"x")
    await protocol.hears("error_received")
    assert isinstance(protocol.errors[0], ConnectionRefusedError)


async def test_after_an_error_the_endpoint_goes_on(loop, post):
    gone = await closed_port(post)
    transport, protocol = await post(None, gone)
    transport.sendto(b"x")
    await protocol.hears("error_received")
    _, there = await post(gone)
    transport.sendto(b"again")
    assert await there.brings(1) == [b"again"]


async def test_a_datagram_that_is_too_long_is_told_to_error_received(post):
    _, there, connected, here = await pair(post)
    connected.sendto(bytes(70_000))
    assert [exc.errno for exc in here.errors] == [errno.EMSGSIZE]
    connected.sendto(b"shorter")
    assert await there.brings(1) == [b"shorter"]


class Shouter(Letterbox):
    """Answers to everybody, which it is not allowed to."""

    def datagram_received(self, data, addr):
        super().datagram_received(data, addr)
        self.transport.sendto(data, ("255.255.255.255", 9))


async def test_what_fails_within_a_protocol_method_is_told_to_error_received(post):
    _, there, connected, _ = await pair(post, factory=Shouter)
    connected.sendto(b"hello")
    await there.hears("error_received")
    assert [isinstance(error, OSError) for error in there.errors] == [True]


async def test_a_name_that_nobody_knows_is_told_to_error_received(post):
    transport, protocol = await post(("127.0.0.1", 0))
    transport.sendto(b"x", ("no-such-host.invalid", 9))
    assert isinstance(protocol.errors[0], socket.gaierror)
    assert not transport.is_closing()


async def test_an_address_of_the_other_family_is_told_to_error_received(post):
    transport, protocol = await post(("127.0.0.1", 0))
    transport.sendto(b"x", ("::1", 9))
    assert isinstance(protocol.errors[0], OSError)
    assert not transport.is_closing()


@pytest.mark.parametrize(
    "address",
    [None, "127.0.0.1", ("127.0.0.1",), ("127.0.0.1", 80.5), ("127.0.0.1", 65536), (1, 2)],
    ids=repr,
)
async def test_what_is_no_address_is_reported_and_ends_the_endpoint(loop, post, reports, address):
    transport, protocol = await post(("127.0.0.1", 0))
    transport.sendto(b"x", address)
    await protocol.hears("connection_lost")
    [report] = reports
    assert report["message"] == "Fatal write error on datagram transport"
    assert isinstance(report["exception"], (TypeError, OverflowError))
    assert protocol.reason is report["exception"]


@pytest.mark.parametrize("data", ["text", 1, None, [1], array.array("b", b"x")], ids=repr)
async def test_what_is_not_bytes_is_refused(post, data):
    transport, _ = await post(("127.0.0.1", 0))
    with pytest.raises(TypeError, match="data argument must be a bytes-like object"):
        transport.sendto(data, ("127.0.0.1", 9))
    assert not transport.is_closing()


# protocols that raise -------------------------------------------------------------------------


class Raises(Letterbox):
    def __init__(self, where):
        super().__init__()
        self.where = where

    def note(self, name):
        super().note(name)
        if name == self.where:
            raise Trouble(name)


async def test_datagram_received_that_raises_is_reported_and_the_endpoint_stays(post, reports):
    _, there, connected, _ = await pair(post, factory=lambda: Raises("datagram_received"))
    connected.sendto(b"one")
    connected.sendto(b"two")
    assert await there.brings(2) == [b"one", b"two"]
    assert [str(report["exception"]) for report in reports] == ["datagram_received"] * 2


async def test_error_received_that_raises_is_reported_and_the_endpoint_stays(post, reports):
    gone = await closed_port(post)
    transport, protocol = await post(None, gone, factory=lambda: Raises("error_received"))
    transport.sendto(b"x")
    await protocol.hears("error_received")
    assert [str(report["exception"]) for report in reports] == ["error_received"]
    assert not transport.is_closing()


async def test_connection_made_that_raises_is_reported_and_the_endpoint_stays(post, reports):
    _, there, connected, _ = await pair(post, factory=lambda: Raises("connection_made"))
    connected.sendto(b"one")
    assert await there.brings(1) == [b"one"]
    assert [str(report["exception"]) for report in reports] == ["connection_made"]


async def test_connection_lost_that_raises_is_reported_and_the_socket_is_closed(
    loop, post, reports
):
    transport, protocol = await post(("127.0.0.1", 0), factory=lambda: Raises("connection_lost"))
    number = transport.get_extra_info("socket").fileno()
    transport.close()
    await protocol.hears("connection_lost")
    await settle(loop)
    assert [str(report["exception"]) for report in reports] == ["connection_lost"]
    assert number >= 0
    assert transport.get_extra_info("socket").fileno() == -1


def test_keyboard_interrupt_leaves_the_loop(loop):
    class Interrupted(Letterbox):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            if data == b"stop":
                raise KeyboardInterrupt

    async def begin():
        return await loop.create_datagram_endpoint(Interrupted, ("127.0.0.1", 0))

    transport, protocol = loop.run_until_complete(begin())
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.sendto(b"stop", address_of(transport))
        sock.sendto(b"later", address_of(transport))
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert loop.run_until_complete(protocol.brings(2)) == [b"stop", b"later"]
    transport.close()
    loop.run_until_complete(protocol.hears("connection_lost"))
    loop.run_until_complete(asyncio.sleep(0))


# the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_an_end_is_told_once(loop, post, end):
    transport, protocol = await post(("127.0.0.1", 0))
    getattr(transport, end)()
    assert transport.is_closing()
    assert protocol.calls == ["connection_made"]  # later, not at once
    getattr(transport, end)()
    transport.abort()
    await protocol.hears("connection_lost")
    await settle(loop)
    assert protocol.calls == ["connection_made", "connection_lost"]
    assert protocol.reason is None


async def test_nothing_is_received_after_close(loop, post):
    bound, there, connected, _ = await pair(post)
    connected.sendto(b"late")
    bound.close()
    await there.hears("connection_lost")
    await settle(loop)
    assert there.letters == []


async def test_an_endpoint_closed_by_a_datagram_hears_no_other(loop, post):
    class Once(Letterbox):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            self.transport.close()

    _, there, connected, _ = await pair(post, factory=Once)
    for i in range(5):
        connected.sendto(b"%d" % i)
    await there.hears("connection_lost")
    await settle(loop)
    assert there.letters == [(b"0", address_of(connected))]


@pytest.mark.treadle_only
async def test_what_is_sent_after_the_end_is_dropped_with_a_warning_from_the_fifth_time_on(
    loop, post, caplog
):
    bound, there, connected, _ = await pair(post)
    other, _ = await post(("127.0.0.1", 0))
    for transport, address in ((connected, None), (other, address_of(bound))):
        transport.abort()
        caplog.clear()
        for _ in range(4):
            transport.sendto(b"x", address)
        assert caplog.messages == []
        transport.sendto(b"x", address)
        assert caplog.messages == ["socket.send() raised exception."]
    await settle(loop)
    assert there.letters == []


@pytest.mark.treadle_only
def test_a_transport_that_is_dropped_when_the_loop_is_closed_warns_and_closes(make_loop):
    loop = make_loop()
    opening = loop.create_datagram_endpoint(Letterbox, ("127.0.0.1", 0))
    transport, protocol = loop.run_until_complete(opening)
    number = transport.get_extra_info("socket").fileno()
    loop.close()
    protocol.transport = None
    with warnings.catch_warnings(record=True) as caught:  # the socket object warns as well
        warnings.simplefilter("always")
        del transport, protocol, opening
        gc.collect()
    assert any("unclosed transport <Datagram" in str(warning.message) for warning in caught)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


async def test_closing_the_socket_behind_its_back_does_not_free_the_number(loop, post):
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    transport, protocol = await post(sock=sock)
    if isinstance(loop, asyncio.SelectorEventLoop):
        sock = sock.dup()  # asyncio does not hold it
    number = transport.get_extra_info("socket").fileno()
    sock.close()
    with socket.socket() as other:
        assert other.fileno() != number
    transport.sendto(b"me", address_of(transport))
    assert await protocol.brings(1) == [b"me"]


# what the transport tells ---------------------------------------------------------------------


async def test_it_passes_for_asyncios_classes(post):
    transport, _ = await post(("127.0.0.1", 0))
    assert isinstance(transport, asyncio.Transport)
    if sys.version_info >= (3, 13) or "treadle" in type(transport).__module__:
        assert isinstance(transport, asyncio.DatagramTransport)


async def test_the_names_of_both_ends_are_known(post):
    bound, _, connected, _ = await pair(post)
    assert bound.get_extra_info("peername") is None
    assert connected.get_extra_info("peername") == address_of(bound)
    assert address_of(bound) == bound.get_extra_info("socket").getsockname()


async def test_the_names_are_known_after_the_end(loop, post):
    bound, _, connected, _ = await pair(post)
    before = address_of(connected)
    connected.abort()
    await settle(loop)
    assert address_of(connected) == before
    assert connected.get_extra_info("peername") == address_of(bound)
    assert connected.get_extra_info("socket").fileno() == -1


async def test_what_it_does_not_know_is_the_default(post):
    transport, _ = await post(("127.0.0.1", 0))
    assert transport.get_extra_info("cipher") is None
    assert transport.get_extra_info("cipher", "none") == "none"


async def test_the_protocol_can_be_switched(loop, post):
    bound, there, connected, _ = await pair(post)
    other = Letterbox()
    bound.set_protocol(other)
    assert bound.get_protocol() is other
    connected.sendto(b"x")
    assert await other.brings(1) == [b"x"]
    assert there.letters == []


@pytest.mark.treadle_only
async def test_its_repr_tells_the_state(loop, post):
    transport, _ = await post(("127.0.0.1", 0))
    number = transport.get_extra_info("socket").fileno()
    states = [repr(transport)]
    transport.close()
    states.append(repr(transport))
    await settle(loop)
    states.append(repr(transport))
    assert states == [
        f"<DatagramTransport fd={number} read=polling write=<idle, bufsize=0>>",
        f"<DatagramTransport closing fd={number} read=idle write=<idle, bufsize=0>>",
        f"<DatagramTransport closed fd={number}>",
    ]


async def test_attributes_can_be_set(post):
    transport, _ = await post(("127.0.0.1", 0))
    transport.sendto = lambda data, addr=None: data
    assert transport.sendto(b"x") == b"x"


@pytest.mark.treadle_only
async def test_all_its_methods_run_in_one_copy_of_the_context(loop, post):
    words = []

    class Writer(Letterbox):
        def note(self, name):
            words.append((name, word.get()))
            word.set(name)
            super().note(name)

    word.set("creator")
    bound, there, connected, _ = await pair(post, factory=Writer)
    connected.sendto(b"x")
    await there.brings(1)
    bound.close()
    await there.hears("connection_lost")
    assert words == [
        ("connection_made", "creator"),
        ("datagram_received", "connection_made"),
        ("connection_lost", "datagram_received"),
    ]
    assert word.get() == "creator"


async def test_debug_mode_changes_nothing(loop, post, caplog):
    caplog.set_level(logging.ERROR)
    loop.set_debug(True)
    _, there, connected, _ = await pair(post)
    connected.sendto(b"x")
    assert await there.brings(1) == [b"x"]
