"""What every driver promises about datagrams; the driver contract inherits these tests.

`Datagrams` has C-level methods in the compiled treadle, which Python classes cannot override: what
it hears is tested through transports (tests/net), and here in the plain treadle.
"""

from __future__ import annotations

import contextlib
import errno
import socket

import pytest

import treadle
from treadle._drivers.base import READ, Datagrams

plain_only = pytest.mark.skipif(treadle.COMPILED, reason="C-level methods cannot be overridden")


class Mail(Datagrams):
    """Notes what a driver hands over (plain treadle only)."""

    def __init__(self, sock, batch=10, action=None):
        super().__init__(sock)
        self.batch = batch
        self.action = action
        self.heard = []

    def note(self, what):
        self.heard.append(what)
        if self.action is not None:
            self.action(self)

    def datagram_received(self, data, address):
        self.note((bytes(data), address))

    def receive_failed(self, exc):
        self.note(exc)

    def send_ready(self):
        self.note("send ready")


class DatagramContract:
    """The tests; they need a fixture `driver` that is open."""

    @pytest.fixture
    def udp(self):
        """Makes bound non-blocking UDP sockets."""
        made = []

        def make(host="127.0.0.1"):
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            made.append(socket.socket(family, socket.SOCK_DGRAM))
            made[-1].bind((host, 0))
            made[-1].setblocking(False)
            return made[-1]

        yield make
        for sock in made:
            sock.close()

    @pytest.fixture
    def full(self):
        """Two Unix sockets that are connected to each other; the kernel holds only some letters."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.setblocking(False)
        theirs.setblocking(False)
        yield ours, theirs
        ours.close()
        theirs.close()

    def mail(self, driver, sock, **options):
        endpoint = Mail(sock, **options)
        driver.attach(endpoint, sock.fileno())
        driver.start_receiving(endpoint)
        return endpoint

    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_a_datagram_is_sent_to_an_address(self, driver, udp, host, kind):
        ours, theirs = udp(host), udp(host)
        endpoint = Datagrams(ours)
        driver.attach(endpoint, ours.fileno())
        assert driver.send_to(endpoint, kind(b"hello"), theirs.getsockname()) is True
        assert driver.send_to(endpoint, kind(b""), theirs.getsockname()) is True
        assert theirs.recvfrom(10) == (b"hello", ours.getsockname())
        assert theirs.recvfrom(10) == (b"", ours.getsockname())
        driver.detach(endpoint)

    def test_a_datagram_without_an_address_goes_to_the_peer(self, driver, udp):
        ours, theirs = udp(), udp()
        ours.connect(theirs.getsockname())
        endpoint = Datagrams(ours)
        driver.attach(endpoint, ours.fileno())
        assert driver.send_to(endpoint, b"hello", None) is True
        assert theirs.recv(10) == b"hello"
        driver.detach(endpoint)

    def test_a_full_kernel_is_no_failure(self, driver, full):
        ours, _ = full
        endpoint = Datagrams(ours)
        driver.attach(endpoint, ours.fileno())
        while driver.send_to(endpoint, bytes(1000), None):
            pass
        assert driver.send_to(endpoint, bytes(1000), None) is False
        driver.detach(endpoint)

    @pytest.mark.parametrize("address", [("127.0.0.1", 80.0), ("127.0.0.1",), "127.0.0.1", 7])
    def test_what_is_no_address_is_an_error_even_when_it_equals_one(self, driver, udp, address):
        ours = udp()
        endpoint = Datagrams(ours)
        driver.attach(endpoint, ours.fileno())
        driver.send_to(endpoint, b"x", ("127.0.0.1", 80))
        with pytest.raises(TypeError):
            driver.send_to(endpoint, b"x", address)
        driver.detach(endpoint)

    def test_a_datagram_that_is_too_long_is_an_error(self, driver, udp):
        ours = udp()
        endpoint = Datagrams(ours)
        driver.attach(endpoint, ours.fileno())
        with pytest.raises(OSError, match="too long") as info:
            driver.send_to(endpoint, bytes(70_000), ours.getsockname())
        assert info.value.errno == errno.EMSGSIZE
        driver.detach(endpoint)

    @plain_only
    def test_datagrams_are_handed_over_one_by_one_with_their_sender(self, driver, udp):
        ours, theirs = udp(), udp()
        endpoint = self.mail(driver, ours)
        for data in (b"one", b"", b"three"):
            theirs.sendto(data, ours.getsockname())
        driver.wait(-1)
        sender = theirs.getsockname()
        assert endpoint.heard == [(b"one", sender), (b"", sender), (b"three", sender)]

    @plain_only
    def test_a_batch_ends_and_the_next_wait_goes_on(self, driver, udp):
        ours, theirs = udp(), udp()
        endpoint = self.mail(driver, ours, batch=2)
        for data in (b"1", b"2", b"3"):
            theirs.sendto(data, ours.getsockname())
        driver.wait(-1)
        assert [data for data, _ in endpoint.heard] == [b"1", b"2"]
        driver.wait(-1)
        assert [data for data, _ in endpoint.heard] == [b"1", b"2", b"3"]

    @plain_only
    @pytest.mark.parametrize("end", ["detach", "stop_receiving"])
    def test_a_batch_ends_with_its_endpoint(self, driver, udp, end):
        ours, theirs = udp(), udp()
        endpoint = self.mail(driver, ours, action=getattr(driver, end))
        theirs.sendto(b"1", ours.getsockname())
        theirs.sendto(b"2", ours.getsockname())
        driver.wait(-1)
        driver.wait(0)
        assert len(endpoint.heard) == 1

    @plain_only
    def test_an_error_of_the_network_is_handed_over_and_receiving_goes_on(self, driver, udp):
        ours, theirs = udp(), udp()
        address = theirs.getsockname()
        theirs.close()
        ours.connect(address)
        endpoint = self.mail(driver, ours)
        ours.send(b"x")
        driver.wait(-1)
        assert isinstance(endpoint.heard[0], ConnectionRefusedError)
        assert endpoint.interest == READ

    @plain_only
    def test_who_waits_to_send_datagrams_is_told(self, driver, full):
        ours, theirs = full
        endpoint = self.mail(driver, ours)
        while driver.send_to(endpoint, bytes(1000), None):
            pass
        driver.await_send(endpoint)
        driver.wait(0)
        assert endpoint.heard == []
        with contextlib.suppress(BlockingIOError):
            while theirs.recv(2000):
                pass
        driver.wait(-1)
        assert endpoint.heard == ["send ready"]
