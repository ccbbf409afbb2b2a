"""What every driver promises (``_drivers/base.py``), as tests that each driver's module inherits.

`Connection` hands over data by C-level methods in the compiled treadle, which Python classes cannot
override: what it receives is tested through transports (tests/net), and here in the plain treadle.
"""

from __future__ import annotations

import errno
import os
import resource
import socket
import threading
import time
import warnings
from _thread import interrupt_main
from functools import partial
from operator import call

import pytest

from tests.drivers.datagrams import DatagramContract, plain_only
from treadle._drivers.base import (
    HANGUP,
    LASTING,
    READ,
    WRITE,
    Connection,
    Endpoint,
    Listener,
    Pipe,
)


class Watch(Endpoint):
    """Notes the masks that it is told; `action` may do more."""

    def __init__(self, action=None):
        super().__init__()
        self.masks = []
        self.evictions = 0
        self.action = action

    def evicted(self):
        self.evictions += 1

    def ready(self, mask):
        self.masks.append(mask)
        if self.action is not None:
            self.action()


class Door(Listener):
    """Keeps the descriptors that came through it."""

    def __init__(self, sock, batch=100, action=None):
        super().__init__()
        self.sock = sock
        self.batch = batch
        self.action = action
        self.came = []
        self.failures = []

    def accepted(self, fd, peer):
        self.came.append((fd, peer))
        if self.action is not None:
            self.action()

    def accept_failed(self, exc):
        self.failures.append(exc)


class Line(Connection):
    """Notes what a driver hands over (plain treadle only)."""

    def __init__(self, buffer=None):
        super().__init__()
        self.heard = []
        self.buffer = buffer
        self.fills_buffer = buffer is not None
        self.action = None

    def note(self, what):
        self.heard.append(what)
        if self.action is not None:
            self.action(self)

    def received(self, data):
        self.note(bytes(data))

    def receive_buffer(self):
        return self.buffer

    def received_into(self, count):
        self.note(bytes(self.buffer[:count]))

    def received_eof(self):
        self.note("eof")

    def receive_failed(self, exc):
        self.note(exc)

    def send_ready(self):
        self.note("send ready")


class Tube(Pipe):
    """Notes what a driver tells a pipe (plain treadle only)."""

    def __init__(self):
        super().__init__()
        self.heard = []

    def received(self, data):
        self.heard.append(bytes(data))

    def received_eof(self):
        self.heard.append("eof")

    def receive_failed(self, exc):
        self.heard.append(exc)

    def send_ready(self):
        self.heard.append("send ready")

    def hung_up(self):
        self.heard.append("hung up")


def in_a_fork(function):
    """Run a function in a forked child, to its end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other tests have left threads
        pid = os.fork()
    if pid == 0:
        try:
            function()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0


class Contract(DatagramContract):
    """The tests; a subclass has a fixture `driver` that is open, and closes it."""

    @pytest.fixture
    def pairs(self):
        """Makes pairs of connected non-blocking sockets."""
        made = []

        def make(kind=socket.AF_UNIX):
            ours, theirs = socket.socketpair(kind)
            ours.setblocking(False)
            theirs.setblocking(False)
            made.extend((ours, theirs))
            return ours, theirs

        yield make
        for sock in made:
            sock.close()

    @pytest.fixture
    def listening(self):
        """A listening TCP socket."""
        with socket.create_server(("127.0.0.1", 0), backlog=128) as sock:
            sock.setblocking(False)
            yield sock

    def watch(self, driver, sock, interest, action=None):
        endpoint = Watch(action)
        driver.attach(endpoint, sock.fileno())
        driver.set_interest(endpoint, interest)
        return endpoint

    # waiting -------------------------------------------------------------------------------

    def test_a_wait_for_nothing_returns_at_once(self, driver):
        driver.wait(0)

    @pytest.mark.parametrize("timeout", [1, 1_000, 1_234_567, 3_000_000])
    def test_a_wait_does_not_return_early(self, driver, timeout):
        start = time.monotonic_ns()
        driver.wait(timeout)
        assert time.monotonic_ns() - start >= timeout

    def test_a_wake_up_from_another_thread_ends_a_wait(self, driver):
        waker = threading.Timer(0.02, driver.wake)
        waker.start()
        driver.wait(-1)
        waker.join()

    def test_a_wake_up_before_the_wait_ends_it(self, driver):
        driver.wake()
        driver.wait(-1)

    def test_many_wake_ups_end_one_wait_and_leave_nothing(self, driver, pairs):
        for _ in range(100_000):
            driver.wake()
        driver.wait(-1)
        start = time.monotonic_ns()
        driver.wait(2_000_000)
        assert time.monotonic_ns() - start >= 2_000_000

    def test_a_wake_up_after_the_end_does_nothing(self, driver):
        driver.close_driver()
        driver.wake()

    def test_a_closed_driver_fails_instead_of_waiting(self, driver):
        driver.close_driver()
        with pytest.raises((OSError, AttributeError)):
            driver.wait(0)

    def test_closing_a_driver_twice_does_nothing(self, driver):
        driver.close_driver()
        driver.close_driver()

    def test_an_event_ends_a_wait(self, driver, pairs):
        ours, theirs = pairs()
        endpoint = self.watch(driver, ours, READ)
        sender = threading.Timer(0.02, theirs.send, [b"x"])
        sender.start()
        driver.wait(-1)
        sender.join()
        assert endpoint.masks == [READ]

    # ownership -----------------------------------------------------------------------------

    def test_an_attached_endpoint_owns_its_number(self, driver, pairs):
        ours, _ = pairs()
        endpoint = Watch()
        assert driver.owner(ours.fileno()) is None
        driver.attach(endpoint, ours.fileno())
        assert driver.owner(ours.fileno()) is endpoint
        assert endpoint.fd == ours.fileno()
        assert endpoint.generation > 0
        assert endpoint.interest == 0

    def test_a_detached_endpoint_owns_nothing(self, driver, pairs):
        ours, _ = pairs()
        endpoint = self.watch(driver, ours, READ | WRITE)
        assert driver.detach(endpoint) == ours.fileno()
        assert (endpoint.fd, endpoint.generation, endpoint.interest) == (-1, 0, 0)
        assert driver.owner(ours.fileno()) is None
        ours.send(b"still open")

    def test_detaching_twice_does_nothing(self, driver, pairs):
        ours, _ = pairs()
        endpoint = self.watch(driver, ours, READ)
        driver.detach(endpoint)
        assert driver.detach(endpoint) == -1

    def test_detaching_what_was_never_attached_does_nothing(self, driver):
        assert driver.detach(Watch()) == -1

    def test_no_number_below_zero_and_none_unheard_of_has_an_owner(self, driver):
        assert driver.owner(-1) is None
        assert driver.owner(1_000_000) is None

    def test_every_attachment_gets_a_new_generation(self, driver, pairs):
        ours, _ = pairs()
        seen = set()
        for _ in range(100):
            endpoint = Watch()
            driver.attach(endpoint, ours.fileno())
            seen.add(endpoint.generation)
            driver.detach(endpoint)
        assert len(seen) == 100

    def test_a_number_with_a_living_owner_is_refused(self, driver, pairs):
        ours, _ = pairs()
        connection = Connection()
        driver.attach(connection, ours.fileno())
        for other in (Connection(), Watch()):
            with pytest.raises(ValueError, match="already in use"):
                driver.attach(other, ours.fileno())
        assert driver.owner(ours.fileno()) is connection

    def test_a_watch_gives_way_to_a_new_owner(self, driver, pairs):
        ours, theirs = pairs()
        old = self.watch(driver, ours, READ)
        new = self.watch(driver, ours, READ)
        theirs.send(b"x")
        driver.wait(0)
        assert old.masks == []
        assert old.fd == -1
        assert new.masks == [READ]

    def test_a_watch_that_gave_way_is_told_so_when_its_number_is_gone(self, driver, pairs):
        ours, _ = pairs()
        told = []

        class Evicted(Watch):
            def evicted(self):
                told.append((self.fd, self.generation, driver.owner(ours.fileno())))

        old = Evicted()
        driver.attach(old, ours.fileno())
        driver.attach(Connection(), ours.fileno())
        assert told == [(-1, 0, None)]

    def test_who_is_detached_is_not_told_that_it_gave_way(self, driver, pairs):
        ours, _ = pairs()
        endpoint = self.watch(driver, ours, READ)
        driver.detach(endpoint)
        assert endpoint.evictions == 0

    def test_closing_closes_the_descriptor_once(self, driver):
        reading, writing = os.pipe()
        endpoint = Watch()
        driver.attach(endpoint, reading)
        driver.close(endpoint)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(reading)
        os.dup2(writing, reading)
        driver.close(endpoint)
        os.fstat(reading)  # somebody else's now
        os.close(reading)
        os.close(writing)

    def test_the_drivers_end_closes_no_endpoint(self, driver, pairs):
        ours, theirs = pairs()
        endpoint = self.watch(driver, ours, READ)
        driver.close_driver()
        assert endpoint.fd == -1
        ours.send(b"x")
        assert theirs.recv(10) == b"x"

    # interest ------------------------------------------------------------------------------

    def test_only_what_is_of_interest_is_told(self, driver, pairs):
        ours, theirs = pairs()
        endpoint = self.watch(driver, ours, READ)
        driver.wait(0)
        assert endpoint.masks == []
        driver.set_interest(endpoint, WRITE)
        driver.wait(0)
        assert endpoint.masks == [WRITE]
        theirs.send(b"x")
        driver.set_interest(endpoint, READ | WRITE)
        driver.wait(0)
        assert endpoint.masks == [WRITE, READ | WRITE]
        driver.set_interest(endpoint, 0)
        driver.wait(0)
        assert endpoint.masks == [WRITE, READ | WRITE]

    def test_interest_is_what_was_set_last(self, driver, pairs):
        ours, _ = pairs()
        endpoint = Watch()
        driver.attach(endpoint, ours.fileno())
        for interest in (READ, READ | WRITE, WRITE, WRITE, 0, 0, READ):
            driver.set_interest(endpoint, interest)
            assert endpoint.interest == interest

    def test_an_event_that_is_not_taken_is_told_again(self, driver, pairs):
        ours, theirs = pairs()
        endpoint = self.watch(driver, ours, READ)
        theirs.send(b"x")
        for _ in range(3):
            driver.wait(0)
        assert endpoint.masks == [READ] * 3

    def test_the_end_of_the_stream_is_told_to_who_reads(self, driver, pairs):
        ours, theirs = pairs()
        endpoint = self.watch(driver, ours, READ)
        theirs.close()
        driver.wait(0)
        assert len(endpoint.masks) == 1
        assert endpoint.masks[0] & READ

    def test_a_broken_connection_is_told_to_who_writes(self, driver, pairs):
        ours, theirs = pairs()
        endpoint = self.watch(driver, ours, WRITE)
        theirs.close()
        driver.wait(0)
        assert endpoint.masks[0] & WRITE

    def test_interest_in_a_detached_endpoint_does_nothing(self, driver):
        endpoint = Watch()
        driver.set_interest(endpoint, READ)
        assert endpoint.interest == 0

    def test_interest_in_a_regular_file_is_refused(self, driver, tmp_path):
        with (tmp_path / "file").open("w") as file:
            endpoint = Watch()
            driver.attach(endpoint, file.fileno())
            with pytest.raises(PermissionError):
                driver.set_interest(endpoint, WRITE)
            assert endpoint.interest == 0
            driver.detach(endpoint)

    def test_interest_in_a_closed_descriptor_is_refused(self, driver):
        reading, writing = os.pipe()
        os.close(reading)
        os.close(writing)
        endpoint = Watch()
        driver.attach(endpoint, reading)
        with pytest.raises(OSError, match="Bad file descriptor"):
            driver.set_interest(endpoint, READ)
        driver.detach(endpoint)

    # changes -------------------------------------------------------------------------------

    def await_edge(self, driver, sock, interest, action=None):
        endpoint = Watch(action)
        driver.attach(endpoint, sock.fileno())
        driver.await_edge(endpoint, interest)
        return endpoint

    def test_a_change_is_told_to_who_awaits_it(self, driver, pairs):
        ours, theirs = pairs()
        endpoint = self.await_edge(driver, ours, READ)
        driver.wait(0)
        assert endpoint.masks == []
        theirs.send(b"x")
        driver.wait(0)
        assert endpoint.masks == [READ]

    def test_a_change_from_before_it_was_awaited_is_told(self, driver, pairs):
        ours, theirs = pairs()
        theirs.send(b"x")
        endpoint = self.await_edge(driver, ours, READ)
        driver.wait(0)
        assert endpoint.masks[0] & READ

    def test_every_change_is_told_when_each_is_awaited(self, driver, pairs):
        ours, theirs = pairs()
        endpoint = self.await_edge(driver, ours, READ)
        for number in range(1, 5):
            theirs.send(b"x")
            driver.wait(0)
            assert len(endpoint.masks) >= number
            ours.recv(10)
            driver.await_edge(endpoint, READ)

    def test_awaiting_the_other_direction_as_well_tells_its_state(self, driver, pairs):
        ours, theirs = pairs()
        endpoint = self.await_edge(driver, ours, READ)
        driver.wait(0)
        driver.await_edge(endpoint, WRITE)
        driver.wait(0)
        assert endpoint.masks == [WRITE]
        endpoint.masks.clear()
        theirs.send(b"x")
        driver.wait(0)
        assert endpoint.masks[0] & READ

    def test_the_end_of_the_stream_is_a_change(self, driver, pairs):
        ours, theirs = pairs()
        endpoint = self.await_edge(driver, ours, READ)
        theirs.close()
        driver.wait(0)
        assert endpoint.masks[0] & READ
        assert endpoint.masks[0] & LASTING or not endpoint.edge

    def test_who_awaits_a_change_is_told_nothing_by_the_way(self, driver, pairs):
        ours, _ = pairs()
        endpoint = self.await_edge(driver, ours, READ)
        for _ in range(3):
            driver.wait(0)
        assert endpoint.masks == []

    def test_interest_that_is_set_after_a_change_was_awaited_tells_states_again(
        self, driver, pairs
    ):
        ours, theirs = pairs()
        endpoint = self.await_edge(driver, ours, READ)
        theirs.send(b"x")
        driver.wait(0)
        endpoint.masks.clear()
        driver.set_interest(endpoint, READ)
        assert not endpoint.edge
        for _ in range(3):
            driver.wait(0)
        assert endpoint.masks == [READ] * 3

    def test_a_change_is_awaited_anew_after_states_were_told(self, driver, pairs):
        ours, theirs = pairs()
        endpoint = self.watch(driver, ours, WRITE)
        driver.set_interest(endpoint, READ)
        driver.await_edge(endpoint, READ)
        theirs.send(b"x")
        driver.wait(0)
        assert endpoint.masks == [READ]

    def test_who_is_detached_awaits_no_change(self, driver, pairs):
        ours, theirs = pairs()
        endpoint = self.await_edge(driver, ours, READ)
        driver.detach(endpoint)
        assert (endpoint.interest, endpoint.edge) == (0, False)
        theirs.send(b"x")
        driver.wait(0)
        driver.await_edge(endpoint, READ)
        driver.wait(0)
        assert endpoint.masks == []

    def test_a_change_can_be_awaited_on_a_number_that_came_up_again(self, driver, pairs):
        (old, _), (new, peer) = pairs(), pairs()
        number = os.dup(old.fileno())
        for sock in (old, new):
            os.dup2(sock.fileno(), number)
            endpoint = Watch()
            driver.attach(endpoint, number)
            driver.await_edge(endpoint, READ)
        peer.send(b"x")
        driver.wait(0)
        assert endpoint.masks == [READ]
        driver.detach(endpoint)
        os.close(number)

    def test_changes_that_an_interruption_cut_off_are_told_by_the_next_wait(self, driver, pairs):
        def interrupt():
            raise KeyboardInterrupt

        endpoints = []
        for _ in range(3):
            ours, theirs = pairs()
            endpoints.append(self.await_edge(driver, ours, READ, interrupt))
            theirs.send(b"x")
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                driver.wait(0)
            for endpoint in endpoints:
                if endpoint.masks and endpoint.fd >= 0:
                    driver.detach(endpoint)
        assert [endpoint.masks for endpoint in endpoints] == [[READ]] * 3

    def test_a_wake_up_may_be_among_what_an_interruption_cut_off(self, driver, pairs):
        def interrupt():
            raise KeyboardInterrupt

        ours, theirs = pairs()
        endpoint = self.await_edge(driver, ours, READ, interrupt)
        theirs.send(b"x")
        driver.wake()
        with pytest.raises(KeyboardInterrupt):
            driver.wait(0)
        assert endpoint.masks == [READ]

    def test_changes_are_not_lost_to_a_signal_that_ends_the_wait(self, driver, pairs):
        ours, theirs = pairs()
        endpoint = self.await_edge(driver, ours, READ)
        theirs.send(b"x")
        # no Python code runs between the two: the signal is pending when the kernel is asked
        interrupted_wait = map(call, (interrupt_main, partial(driver.wait, 0)))
        with pytest.raises(KeyboardInterrupt):
            list(interrupted_wait)
        driver.wait(0)
        assert endpoint.masks == [READ]

    def test_what_an_interruption_cut_off_may_be_closed_meanwhile(self, driver):
        def close_and_interrupt():
            for reading in readings:
                os.close(reading)
            readings.clear()
            raise KeyboardInterrupt

        readings = []
        writings = []
        endpoints = []
        for _ in range(2):
            reading, writing = os.pipe()
            readings.append(reading)
            writings.append(writing)
            endpoint = Watch(close_and_interrupt)
            driver.attach(endpoint, reading)
            driver.await_edge(endpoint, READ)
            endpoints.append(endpoint)
            os.write(writing, b"x")
        with pytest.raises(KeyboardInterrupt):
            driver.wait(0)
        for writing in writings:
            os.close(writing)

    # descriptors that change hands ---------------------------------------------------------

    def test_interest_follows_a_number_that_was_closed_and_came_up_again(self, driver, pairs):
        (old, _), (new, new_peer) = pairs(), pairs()
        number = os.dup(old.fileno())
        endpoint = Watch()
        driver.attach(endpoint, number)
        driver.set_interest(endpoint, READ)
        os.close(number)
        assert os.dup2(new.fileno(), number) == number
        driver.set_interest(endpoint, READ | WRITE)
        new_peer.send(b"x")
        driver.wait(0)
        assert endpoint.masks == [READ | WRITE]
        driver.detach(endpoint)
        os.close(number)

    def test_interest_can_be_taken_back_from_a_closed_number(self, driver):
        reading, writing = os.pipe()
        endpoint = Watch()
        driver.attach(endpoint, reading)
        driver.set_interest(endpoint, READ)
        os.close(reading)
        driver.set_interest(endpoint, 0)
        assert endpoint.interest == 0
        assert driver.detach(endpoint) == reading
        os.close(writing)

    def test_a_duplicate_does_not_report_for_who_was_detached(self, driver, pairs):
        ours, theirs = pairs()
        copy = os.dup(ours.fileno())
        endpoint = self.watch(driver, ours, READ)
        driver.detach(endpoint)
        ours.close()
        theirs.send(b"x")
        driver.wait(0)
        assert endpoint.masks == []
        os.close(copy)

    def test_an_event_for_an_older_generation_is_dropped(self, driver, pairs):
        first, second = pairs(), pairs()
        endpoints = []
        replacements = []

        def replace():
            """Whoever is told first puts a new endpoint on the other's number."""
            if replacements:
                return
            told = next(endpoint for endpoint in endpoints if endpoint.masks)
            other = endpoints[1 - endpoints.index(told)]
            number = driver.detach(other)
            new = Watch()
            driver.attach(new, number)
            driver.set_interest(new, READ)
            replacements.append(new)

        for ours, theirs in (first, second):
            endpoints.append(self.watch(driver, ours, READ, replace))
            theirs.send(b"x")
        driver.wait(0)
        assert sum(len(endpoint.masks) for endpoint in endpoints) == 1
        assert replacements[0].masks == []
        driver.wait(0)
        assert replacements[0].masks == [READ]

    def test_an_endpoint_may_close_itself_while_it_is_told(self, driver):
        reading, writing = os.pipe()
        endpoint = Watch(lambda: driver.close(endpoint))
        driver.attach(endpoint, reading)
        driver.set_interest(endpoint, READ)
        os.write(writing, b"x")
        driver.wait(0)
        driver.wait(0)
        assert endpoint.masks == [READ]
        os.close(writing)

    def test_events_that_an_interruption_cut_off_are_told_by_the_next_wait(self, driver, pairs):
        def interrupt():
            raise KeyboardInterrupt

        endpoints = []
        for _ in range(3):
            ours, theirs = pairs()
            endpoints.append(self.watch(driver, ours, READ, interrupt))
            theirs.send(b"x")
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                driver.wait(0)
            for endpoint in endpoints:
                if endpoint.masks and endpoint.fd >= 0:
                    driver.detach(endpoint)
        assert [endpoint.masks for endpoint in endpoints] == [[READ]] * 3

    # accepting -----------------------------------------------------------------------------

    def door(self, driver, sock, batch=100, action=None):
        door = Door(sock, batch, action)
        driver.attach(door, sock.fileno())
        driver.start_accepting(door)
        return door

    def settle(self, driver, door, clients):
        """Wait until so many have come."""
        while len(door.came) < clients:
            driver.wait(-1)

    def leave(self, door, clients):
        for fd, _ in door.came:
            os.close(fd)
        for client in clients:
            client.close()

    def test_connections_are_accepted_with_their_peers(self, driver, listening):
        door = self.door(driver, listening)
        clients = [socket.create_connection(listening.getsockname()) for _ in range(10)]
        self.settle(driver, door, 10)
        peers = [driver.peer_name(peer) for _, peer in door.came]
        assert sorted(peers) == sorted(client.getsockname() for client in clients)
        self.leave(door, clients)

    def test_an_accepted_descriptor_does_not_block_and_is_not_inherited(self, driver, listening):
        door = self.door(driver, listening)
        clients = [socket.create_connection(listening.getsockname())]
        self.settle(driver, door, 1)
        fd, _ = door.came[0]
        assert os.get_blocking(fd) is False
        assert os.get_inheritable(fd) is False
        self.leave(door, clients)

    def test_no_more_than_a_batch_is_accepted_per_event(self, driver, listening):
        clients = [socket.create_connection(listening.getsockname()) for _ in range(5)]
        door = self.door(driver, listening, batch=2)
        counts = []
        while len(door.came) < 5:
            before = len(door.came)
            driver.wait(-1)
            counts.append(len(door.came) - before)
        assert max(counts) == 2
        self.leave(door, clients)

    @pytest.mark.parametrize("how", ["stop_accepting", "detach"])
    def test_a_listener_that_stops_is_told_of_no_further_connection(self, driver, listening, how):
        clients = [socket.create_connection(listening.getsockname()) for _ in range(5)]
        door = self.door(driver, listening)
        door.action = lambda: getattr(driver, how)(door)
        driver.wait(-1)
        assert len(door.came) == 1
        self.leave(door, clients)

    def test_what_waits_in_the_backlog_is_accepted_later(self, driver, listening):
        door = self.door(driver, listening)
        driver.stop_accepting(door)
        clients = [socket.create_connection(listening.getsockname())]
        driver.wait(0)
        assert door.came == []
        driver.start_accepting(door)
        self.settle(driver, door, 1)
        self.leave(door, clients)

    def test_a_lack_of_descriptors_is_told_as_a_failure(self, driver, listening):
        clients = [socket.create_connection(listening.getsockname())]
        door = self.door(driver, listening)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            driver.wait(-1)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert [exc.errno for exc in door.failures] == [errno.EMFILE]
        self.settle(driver, door, 1)
        self.leave(door, clients)

    @pytest.mark.parametrize("kind", ["inet6", "unix", "abstract"])
    def test_peers_of_every_family_have_names(self, driver, tmp_path, kind):
        if kind == "inet6":
            if not socket.has_ipv6:
                pytest.skip("no IPv6")
            sock, address = socket.socket(socket.AF_INET6), ("::1", 0)
        elif kind == "unix":
            sock, address = socket.socket(socket.AF_UNIX), str(tmp_path / "door")
        else:
            sock, address = socket.socket(socket.AF_UNIX), b"\0treadle-%d" % os.getpid()
        with sock:
            try:
                sock.bind(address)
            except OSError as exc:
                pytest.skip(f"cannot bind here: {exc}")
            sock.listen()
            sock.setblocking(False)
            door = self.door(driver, sock)
            client = socket.socket(sock.family)
            if kind == "unix":
                client.bind(str(tmp_path / "client"))
            client.connect(sock.getsockname())
            self.settle(driver, door, 1)
            expected = client.getsockname()
            assert driver.peer_name(door.came[0][1]) in (expected, expected or b"")
            self.leave(door, [client])

    # sending -------------------------------------------------------------------------------

    def connection(self, driver, sock):
        connection = Connection()
        driver.attach(connection, sock.fileno())
        return connection

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_what_is_sent_arrives(self, driver, pairs, kind):
        ours, theirs = pairs()
        connection = self.connection(driver, ours)
        assert driver.send(connection, kind(b"hello world"), 0) == 11
        assert driver.send(connection, kind(b"hello world"), 6) == 5
        assert theirs.recv(100) == b"hello worldworld"

    def test_sending_nothing_sends_nothing(self, driver, pairs):
        ours, _ = pairs()
        assert driver.send(self.connection(driver, ours), b"", 0) == 0

    def test_chunks_are_sent_in_one_piece_from_the_offset_on(self, driver, pairs):
        ours, theirs = pairs()
        connection = self.connection(driver, ours)
        assert driver.send_many(connection, [b"abc", b"de", b"f"], 1) == 5
        assert theirs.recv(100) == b"bcdef"

    def test_more_chunks_than_one_call_takes_are_sent_in_part(self, driver, pairs):
        ours, theirs = pairs()
        connection = self.connection(driver, ours)
        chunks = [bytes([i % 256]) for i in range(3000)]
        sent = driver.send_many(connection, chunks, 0)
        assert 0 < sent <= 3000
        assert theirs.recv(5000) == b"".join(chunks[:sent])

    def test_a_full_kernel_takes_nothing(self, driver, pairs):
        ours, _ = pairs()
        connection = self.connection(driver, ours)
        while driver.send(connection, b"x" * 100_000, 0):
            pass
        assert driver.send(connection, b"x", 0) == 0
        assert driver.send_many(connection, [b"x", b"y"], 0) == 0

    def test_sending_on_a_broken_connection_raises_and_kills_nobody(self, driver, pairs):
        ours, theirs = pairs()
        connection = self.connection(driver, ours)
        theirs.close()
        with pytest.raises(BrokenPipeError):
            driver.send(connection, b"x", 0)
        with pytest.raises(BrokenPipeError):
            driver.send_many(connection, [b"x"], 0)

    def test_what_is_no_buffer_is_not_sent(self, driver, pairs):
        ours, _ = pairs()
        with pytest.raises(TypeError):
            driver.send(self.connection(driver, ours), "text", 0)

    def test_after_shutdown_the_peer_reads_the_end(self, driver, pairs):
        ours, theirs = pairs()
        connection = self.connection(driver, ours)
        driver.send(connection, b"last", 0)
        driver.shutdown_send(connection)
        assert theirs.recv(100) == b"last"
        assert theirs.recv(100) == b""
        theirs.send(b"answer")
        assert ours.recv(100) == b"answer"

    def test_a_connection_that_cannot_be_shut_down_raises(self, driver):
        with socket.socket() as sock, pytest.raises(OSError, match="not connected"):
            driver.shutdown_send(self.connection(driver, sock))

    def test_local_name_is_the_address_that_the_socket_is_bound_to(self, driver, listening):
        assert driver.local_name(listening.fileno()) == listening.getsockname()

    # receiving -----------------------------------------------------------------------------

    def line(self, driver, sock, buffer=None):
        line = Line(buffer)
        driver.attach(line, sock.fileno())
        driver.start_receiving(line)
        return line

    @plain_only
    def test_what_arrives_is_handed_over(self, driver, pairs):
        ours, theirs = pairs()
        line = self.line(driver, ours)
        theirs.send(b"hello")
        driver.wait(-1)
        assert line.heard == [b"hello"]

    @plain_only
    def test_the_end_of_the_stream_is_handed_over(self, driver, pairs):
        ours, theirs = pairs()
        line = self.line(driver, ours)
        theirs.send(b"last")
        theirs.close()
        driver.wait(-1)
        driver.wait(-1)
        assert line.heard == [b"last", "eof"]

    @plain_only
    def test_a_connection_may_receive_into_its_own_buffer(self, driver, pairs):
        ours, theirs = pairs()
        line = self.line(driver, ours, bytearray(4))
        theirs.send(b"hello")
        driver.wait(-1)
        driver.wait(-1)
        assert line.heard == [b"hell", b"o"]

    @plain_only
    def test_a_connection_without_a_buffer_skips_its_turn(self, driver, pairs):
        ours, theirs = pairs()
        line = self.line(driver, ours)
        line.fills_buffer = True
        theirs.send(b"hello")
        driver.wait(0)
        assert line.heard == []
        line.buffer = bytearray(10)
        driver.wait(0)
        assert line.heard == [b"hello"]

    @plain_only
    def test_a_failure_to_receive_is_handed_over(self, driver, listening):
        client = socket.create_connection(listening.getsockname())
        listening.setblocking(True)
        conn, _ = listening.accept()
        line = self.line(driver, conn)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        driver.wait(-1)
        assert isinstance(line.heard[0], ConnectionResetError)
        conn.close()

    @plain_only
    def test_what_arrives_while_not_receiving_stays_in_the_kernel(self, driver, pairs):
        ours, theirs = pairs()
        line = self.line(driver, ours)
        driver.stop_receiving(line)
        theirs.send(b"hello")
        driver.wait(0)
        assert line.heard == []
        driver.start_receiving(line)
        driver.wait(0)
        assert line.heard == [b"hello"]

    @plain_only
    def test_who_waits_to_send_is_told_until_it_forgets(self, driver, pairs):
        ours, _ = pairs()
        line = self.line(driver, ours)
        driver.await_send(line)
        driver.wait(0)
        driver.forget_send(line)
        driver.wait(0)
        assert line.heard == ["send ready"]

    @plain_only
    def test_a_connection_closed_by_what_it_received_is_not_told_to_send(self, driver):
        ours, theirs = socket.socketpair()
        line = self.line(driver, ours)
        driver.await_send(line)
        line.action = driver.close
        theirs.send(b"x")
        driver.wait(-1)
        driver.wait(0)
        assert line.heard == [b"x"]
        ours.detach()
        theirs.close()

    # pipes ---------------------------------------------------------------------------------

    @pytest.fixture
    def pipe(self):
        """The two ends of a non-blocking pipe."""
        ends = os.pipe()
        for end in ends:
            os.set_blocking(end, False)
        yield ends
        for end in ends:
            try:
                os.close(end)
            except OSError:
                pass  # closed by the test

    def tube(self, driver, fd):
        tube = Tube()
        driver.attach(tube, fd)
        return tube

    def test_a_pipe_is_sent_to(self, driver, pipe):
        reading, writing = pipe
        tube = self.tube(driver, writing)
        assert driver.send(tube, b"hello", 1) == 4
        assert driver.send(tube, memoryview(b"hello"), 2) == 3
        assert driver.send_many(tube, [b"hello", b" ", b"world"], 3) == 8
        assert os.read(reading, 100) == b"ellollolo world"
        driver.detach(tube)

    def test_a_full_pipe_takes_nothing(self, driver, pipe):
        tube = self.tube(driver, pipe[1])
        while driver.send(tube, bytes(100_000), 0):
            pass
        assert driver.send_many(tube, [b"x", b"y"], 0) == 0
        driver.detach(tube)

    def test_a_broken_pipe_raises(self, driver, pipe):
        tube = self.tube(driver, pipe[1])
        os.close(pipe[0])
        with pytest.raises(BrokenPipeError):
            driver.send(tube, b"x", 0)
        with pytest.raises(BrokenPipeError):
            driver.send_many(tube, [b"x", b"y"], 0)
        driver.detach(tube)

    @plain_only
    def test_a_pipe_is_received_from(self, driver, pipe):
        tube = self.tube(driver, pipe[0])
        driver.start_receiving(tube)
        os.write(pipe[1], b"hello")
        driver.wait(-1)
        os.close(pipe[1])
        driver.wait(-1)
        assert tube.heard == [b"hello", "eof"]
        driver.detach(tube)

    @plain_only
    def test_a_pipe_may_be_received_from_without_an_event(self, driver, pipe):
        tube = self.tube(driver, pipe[0])
        driver.receive(tube)
        os.write(pipe[1], b"hello")
        driver.receive(tube)
        driver.receive(tube)
        assert tube.heard == [b"hello"]
        driver.detach(tube)

    @plain_only
    @pytest.mark.parametrize("interest", [HANGUP, HANGUP | WRITE])
    def test_a_writer_hears_that_the_reader_has_gone(self, driver, pipe, interest):
        tube = self.tube(driver, pipe[1])
        driver.set_interest(tube, interest)
        os.close(pipe[0])
        driver.wait(-1)
        assert tube.heard[0] == "hung up"
        driver.detach(tube)

    @plain_only
    def test_a_writer_that_is_detached_when_it_hears_hears_no_more(self, driver, pipe):
        tube = self.tube(driver, pipe[1])
        tube.hung_up = lambda: (tube.heard.append("hung up"), driver.detach(tube))
        driver.await_hangup(tube)
        driver.await_send(tube)
        os.close(pipe[0])
        driver.wait(-1)
        assert tube.heard == ["hung up"]

    @plain_only
    def test_data_that_nobody_reads_is_no_hang_up_and_keeps_nobody_busy(self, driver, pairs):
        ours, theirs = pairs()
        tube = self.tube(driver, ours.fileno())
        driver.await_hangup(tube)
        theirs.send(b"x")
        driver.wait(0)
        assert tube.heard == []
        start = time.monotonic_ns()
        driver.wait(2_000_000)
        assert time.monotonic_ns() - start >= 2_000_000
        driver.detach(tube)

    # forks ---------------------------------------------------------------------------------

    @pytest.mark.parametrize("harm", ["close", "detach", "close_driver", "wake"])
    def test_nothing_that_a_disowned_driver_does_reaches_the_parents(self, driver, pairs, harm):
        ours, theirs = pairs()
        endpoint = self.watch(driver, ours, READ)

        def child():
            driver.disown()
            if harm in ("close", "detach"):
                getattr(driver, harm)(endpoint)
            else:
                getattr(driver, harm)()

        in_a_fork(child)
        start = time.monotonic_ns()
        driver.wait(2_000_000)
        assert time.monotonic_ns() - start >= 2_000_000
        theirs.send(b"x")
        driver.wait(-1)
        assert endpoint.masks == [READ]

    def test_a_disowned_driver_says_why_it_watches_nothing(self, driver, pairs):
        driver.disown()
        with pytest.raises(RuntimeError, match="made in another process"):
            self.watch(driver, pairs()[0], READ)

    def test_a_closed_driver_says_why_it_watches_nothing(self, driver, pairs):
        driver.close_driver()
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            self.watch(driver, pairs()[0], READ)

    def test_a_driver_may_be_disowned_by_what_it_calls(self, driver, pairs):
        """Events of the same wait that are left are dropped."""
        endpoints = []
        for _ in range(3):
            ours, theirs = pairs()
            theirs.send(b"x")
            endpoints.append(self.watch(driver, ours, READ, driver.disown))
        driver.wake()
        driver.wait(0)
        assert sum(len(endpoint.masks) for endpoint in endpoints) == 1
