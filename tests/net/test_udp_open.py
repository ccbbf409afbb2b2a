"""Opening datagram endpoints: arguments, families, addresses, and what is closed when it fails."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import selectors
import socket
import sys

import pytest

from tests.net.wire import Letterbox, settle
from treadle._drivers.selector import SelectorDriver

pytestmark = pytest.mark.every_driver


class Trouble(Exception):
    """Raised by factories on purpose."""


def address_of(transport):
    return transport.get_extra_info("sockname")


@pytest.fixture
def opening(loop):
    """Calls create_datagram_endpoint; the no_descriptor_left fixture judges what it leaves."""

    async def call(*arguments, factory=Letterbox, **options):
        return await loop.create_datagram_endpoint(factory, *arguments, **options)

    return call


# arguments ------------------------------------------------------------------------------------


async def test_without_any_address_a_family_is_needed(opening):
    with pytest.raises(ValueError, match="unexpected address family"):
        await opening()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_a_family_alone_makes_an_endpoint_that_is_not_bound(post, family):
    transport, _ = await post(family=family)
    assert transport.get_extra_info("socket").family == family
    assert address_of(transport)[1] == 0


@pytest.mark.parametrize("name", ["local_addr", "remote_addr"])
@pytest.mark.parametrize("address", ["127.0.0.1", ["127.0.0.1", 1], ("::1", 1, 0, 0)], ids=repr)
async def test_an_address_is_a_tuple_of_two(opening, name, address):
    with pytest.raises(TypeError, match="2-tuple is expected"):
        await opening(**{name: address})


async def test_local_and_remote_address_need_one_family(opening):
    with pytest.raises(ValueError, match="can not get address information"):
        await opening(("127.0.0.1", 0), ("::1", 1))


async def test_a_stream_socket_is_refused(opening):
    with socket.socket() as sock, pytest.raises(ValueError, match=r"[Ss]ocket was expected"):
        await opening(sock=sock)


@pytest.mark.parametrize(
    "more",
    [
        {"local_addr": ("127.0.0.1", 0)},
        {"remote_addr": ("127.0.0.1", 1)},
        {"family": 1},
        {"proto": 1},
        {"flags": 1},
        {"reuse_port": True},
        {"allow_broadcast": True},
    ],
    ids=str,
)
async def test_a_socket_goes_with_no_other_argument(opening, more):
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        with pytest.raises(ValueError, match="modifier keyword arguments can not be used") as info:
            await opening(sock=sock, **more)
        [(name, value)] = more.items()
        assert f"{name}={value}" in str(info.value)


async def test_arguments_that_are_false_go_with_a_socket(post):
    sock = socket.socket(type=socket.SOCK_DGRAM)
    await post(None, None, sock=sock, family=0, reuse_port=False, allow_broadcast=None)
    assert sock.gettimeout() == 0  # non-blocking from now on


async def test_reuse_address_is_no_argument(opening):
    with pytest.raises(TypeError):
        await opening(("127.0.0.1", 0), reuse_address=True)


# what is opened -------------------------------------------------------------------------------


async def test_the_socket_has_the_options_that_were_asked_for(post):
    transport, _ = await post(("127.0.0.1", 0), reuse_port=True, allow_broadcast=True)
    sock = transport.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)
    assert sock.gettimeout() == 0


async def test_the_socket_has_no_other_options(post):
    transport, _ = await post(("127.0.0.1", 0))
    sock = transport.get_extra_info("socket")
    assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
    assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)


async def test_with_reuse_port_two_endpoints_have_one_address(post):
    first, _ = await post(("127.0.0.1", 0), reuse_port=True)
    second, _ = await post(address_of(first), reuse_port=True)
    assert address_of(first) == address_of(second)


async def test_a_name_is_resolved(post):
    transport, _ = await post(("localhost", 0), family=socket.AF_INET)
    assert address_of(transport)[0] == "127.0.0.1"


async def test_it_is_bound_and_connected(post):
    there, _ = await post(("127.0.0.1", 0))
    transport, _ = await post(("127.0.0.2", 0), address_of(there))
    assert address_of(transport)[0] == "127.0.0.2"
    assert transport.get_extra_info("peername") == address_of(there)


async def test_the_next_address_is_taken_when_the_first_does_not_do(loop, post, monkeypatch):
    async def two(host, port, **_):
        kind = (socket.SOCK_DGRAM, socket.IPPROTO_UDP, "")
        return [
            (socket.AF_INET6, *kind, ("2001:db8::1", port, 0, 0)),
            (socket.AF_INET, *kind, ("127.0.0.1", port)),
        ]

    monkeypatch.setattr(loop, "getaddrinfo", two)
    transport, _ = await post(("two.example", 0))
    assert address_of(transport)[0] == "127.0.0.1"


async def test_an_address_that_is_no_broadcast_address_is_connected_to(post):
    there, _ = await post(("127.0.0.1", 0))
    transport, _ = await post(None, address_of(there), allow_broadcast=False)
    assert transport.get_extra_info("peername") == address_of(there)


# Unix sockets ---------------------------------------------------------------------------------


async def test_unix_sockets_exchange_datagrams(tmp_path, post):
    paths = [str(tmp_path / name) for name in "ab"]
    first, here = await post(paths[0], family=socket.AF_UNIX)
    second, there = await post(paths[1], paths[0], family=socket.AF_UNIX)
    second.sendto(b"to a")
    first.sendto(b"to b", paths[1])
    await here.brings(1)
    await there.brings(1)
    assert here.letters == [(b"to a", paths[1])]
    assert there.letters == [(b"to b", paths[0])]


async def test_a_unix_sender_without_a_name_is_none(tmp_path, post):
    path = str(tmp_path / "a")
    _, here = await post(path, family=socket.AF_UNIX)
    sender, _ = await post(None, path, family=socket.AF_UNIX)
    sender.sendto(b"x")
    await here.brings(1)
    assert here.letters == [(b"x", None)]


async def test_a_unix_datagram_may_be_longer_than_any_of_udp(tmp_path, post):
    path = str(tmp_path / "a")
    _, here = await post(path, family=socket.AF_UNIX)
    sender, _ = await post(None, path, family=socket.AF_UNIX)
    sender.sendto(b"x" * 150_000)
    assert await here.brings(1) == [b"x" * 150_000]


async def test_abstract_names_are_taken(post):
    name = f"\0treadle-test-{os.getpid()}"
    _, here = await post(name, family=socket.AF_UNIX)
    sender, _ = await post(None, name, family=socket.AF_UNIX)
    sender.sendto(b"x")
    assert await here.brings(1) == [b"x"]


@pytest.mark.treadle_only
async def test_both_ends_of_a_pair_need_no_address(post, socket_pair_of_datagrams):
    ours, theirs = socket_pair_of_datagrams
    first, _ = await post(sock=ours)
    _, there = await post(sock=theirs)
    first.sendto(b"x")
    assert await there.brings(1) == [b"x"]


@pytest.fixture
def socket_pair_of_datagrams(loop):
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)


async def test_a_stale_unix_socket_is_removed(tmp_path, post):
    path = str(tmp_path / "a")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
    transport, _ = await post(path, family=socket.AF_UNIX)
    assert address_of(transport) == path


async def test_a_file_in_the_place_of_a_unix_socket_stays(tmp_path, opening):
    file = tmp_path / "a"
    file.write_text("precious")
    with pytest.raises(OSError, match="in use") as info:
        await opening(str(file), family=socket.AF_UNIX)
    assert info.value.errno == errno.EADDRINUSE
    assert file.read_text() == "precious"


async def test_a_unix_address_is_a_string(tmp_path, opening):
    for address in (tmp_path, ("127.0.0.1", 0), b"path"):
        with pytest.raises(TypeError, match="string is expected"):
            await opening(address, family=socket.AF_UNIX)


# failures -------------------------------------------------------------------------------------


async def test_an_address_in_use_is_an_error(post, opening):
    transport, _ = await post(("127.0.0.1", 0))
    with pytest.raises(OSError, match="in use") as info:
        await opening(address_of(transport))
    assert info.value.errno == errno.EADDRINUSE


async def test_of_several_failures_the_first_is_raised(loop, opening, monkeypatch):
    async def two(host, port, **_):
        kind = (socket.SOCK_DGRAM, socket.IPPROTO_UDP, "")
        return [
            (socket.AF_INET6, *kind, ("2001:db8::1", port, 0, 0)),
            (socket.AF_INET, *kind, ("127.0.0.1", 70_000)),
        ]

    monkeypatch.setattr(loop, "getaddrinfo", two)
    with pytest.raises((OSError, OverflowError)) as info:
        await opening(("two.example", 0))
    assert isinstance(info.value, OverflowError) or info.value.errno == errno.EADDRNOTAVAIL


async def test_a_name_that_nobody_knows_is_an_error(opening):
    with pytest.raises(socket.gaierror):
        await opening(("no-such-host.invalid", 9))


async def test_a_look_up_without_an_answer_is_an_error(loop, opening, monkeypatch):
    async def none(host, port, **_):
        return []

    monkeypatch.setattr(loop, "getaddrinfo", none)
    with pytest.raises(OSError, match="empty list"):
        await opening(("none.example", 9))


async def test_a_broadcast_without_permission_is_an_error(opening):
    with pytest.raises(PermissionError):
        await opening(None, ("255.255.255.255", 9))


@pytest.mark.parametrize("family", [-3, 9999])
async def test_a_family_that_does_not_exist_is_an_error(opening, family):
    with pytest.raises((OSError, ValueError)):
        await opening(family=family)


async def test_a_factory_that_raises_leaves_nothing_open(opening):
    def factory():
        raise Trouble

    if isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
        pytest.skip("asyncio leaves its socket to the garbage collector")
    with pytest.raises(Trouble):
        await opening(("127.0.0.1", 0), factory=factory)


async def test_a_factory_that_raises_leaves_the_users_socket_open(opening):
    def factory():
        raise Trouble

    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        with pytest.raises(Trouble):
            await opening(sock=sock, factory=factory)
        assert sock.fileno() >= 0


@pytest.mark.treadle_only
async def test_a_socket_that_another_transport_has_is_refused(post, opening):
    sock = socket.socket(type=socket.SOCK_DGRAM)
    await post(sock=sock)
    with pytest.raises(ValueError, match="already in use"):
        await opening(sock=sock)
    assert sock.fileno() >= 0


async def test_a_closed_socket_is_an_error(opening):
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.close()
    with pytest.raises((OSError, ValueError)):
        await opening(sock=sock)


async def test_out_of_descriptors_is_an_error(opening):
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open(os.devnull) as lowest:
        first_free = lowest.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (first_free, old[1]))
    try:
        with pytest.raises(OSError) as info:  # noqa: PT011 - the number is looked at
            await opening(("127.0.0.1", 0))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, old)
    assert info.value.errno == errno.EMFILE


# cancellation ---------------------------------------------------------------------------------


async def test_cancelled_during_the_look_up_nothing_is_open(loop, opening, monkeypatch):
    asked = asyncio.Event()

    async def never(host, port, **_):
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(loop, "getaddrinfo", never)
    task = loop.create_task(opening(("slow.example", 9)))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("turns", range(5))
async def test_cancelled_in_any_turn_nothing_is_open(loop, opening, turns):
    made = []

    def factory():
        made.append(Letterbox())
        return made[-1]

    task = loop.create_task(opening(("127.0.0.1", 0), ("127.0.0.1", 9), factory=factory))
    for _ in range(turns):
        await asyncio.sleep(0)
    if task.cancel():
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        task.result()[0].close()
    await settle(loop)
    assert all(box.calls == ["connection_made", "connection_lost"] for box in made)


class Full(selectors.DefaultSelector):
    """A kernel that watches no more than its user may watch."""

    limit = sys.maxsize

    def register(self, fileobj, events, data=None):
        if len(self.get_map()) >= self.limit:
            raise OSError(errno.ENOSPC, "as many as the user may watch")
        return super().register(fileobj, events, data)


def test_a_kernel_that_cannot_watch_it_is_an_error(make_loop, no_descriptor_left):
    selector = Full()
    loop = make_loop(driver=SelectorDriver(selector))
    box = Letterbox()

    async def play():
        selector.limit = len(selector.get_map())
        with pytest.raises(OSError, match="as many as") as info:
            await loop.create_datagram_endpoint(lambda: box, ("127.0.0.1", 0))
        await asyncio.sleep(0)
        assert box.calls == ["connection_made", "connection_lost"]
        assert box.reason is info.value

    loop.run_until_complete(play())
    loop.close()
