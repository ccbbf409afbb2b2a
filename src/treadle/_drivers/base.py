"""The driver contract: what the loop asks of the kernel, and what it hears back.

A driver translates kernel events and holds no policy: fairness, flow control and cancellation live
above it. The contract is shaped by completion, so that readiness (epoll, selectors), completion
(io_uring) and a simulation fit behind it: a connection *receives* and is handed data, it does not
ask whether it could read.

Who owns what. An `Endpoint` owns its descriptor from `Driver.attach` on. The driver gives it a new
generation then; an event that the kernel reports for an older generation of the same number is
dropped. The descriptor is closed once, by `Driver.close`, and never otherwise.

What a driver may not assume. Whatever it calls may run user code, and that may close this or any
other endpoint, start new ones on the same descriptor numbers, or raise. After each call it looks at
`endpoint.fd` and `endpoint.generation` again. KeyboardInterrupt and SystemExit pass through `wait`;
events that were not dispatched by then are reported again by the next `wait`.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

__all__ = [
    "CONNECTION",
    "DATAGRAMS",
    "HANGUP",
    "LASTING",
    "LISTENER",
    "MADE_ELSEWHERE",
    "PIPE",
    "READ",
    "WATCH",
    "WRITE",
    "Connection",
    "Datagrams",
    "Driver",
    "Endpoint",
    "Listener",
    "Pipe",
]

READ = 1  # bits of `Endpoint.interest` and of the mask given to `Endpoint.ready`
WRITE = 2
LASTING = 4  # in the mask only, after `await_edge`: something that is not told a second time
HANGUP = 8  # in `Endpoint.interest` of a pipe only: the other end is gone

WATCH = 0  # values of `Endpoint.kind`: what a driver does with an event
CONNECTION = 1
LISTENER = 2
PIPE = 3
DATAGRAMS = 4

MADE_ELSEWHERE = (
    "this event loop was made in another process, of which this one is a fork: "
    "make a new event loop here, and run that"
)

DATAGRAM_SIZE = 256 * 1024  # bytes of a datagram that are received; what is longer is cut

_WOULD_BLOCK = (BlockingIOError, InterruptedError)


class Endpoint:
    """A descriptor with one owner. This kind is told of raw readiness by `ready`."""

    def __init__(self) -> None:
        self.fd = -1  # -1 before `Driver.attach` and after `Driver.detach`
        self.generation = 0  # given by the driver; 0 while detached
        self.interest = 0  # READ | WRITE; written by the driver only
        self.edge = False  # told of changes, not of states; written by the driver only
        self.kind = WATCH

    def ready(self, mask: int) -> None:
        """Hear that the descriptor can be read (READ), written (WRITE), or has failed (both).

        After `Driver.await_edge` the mask may hold LASTING: the stream has ended, the socket has
        failed, or urgent data has come. From then on an amount that is smaller than what was asked
        for does not prove that nothing is left.
        """
        raise NotImplementedError

    def evicted(self) -> None:
        """Hear, after the detachment, that `Driver.attach` gave the number to another endpoint."""


class Connection(Endpoint):
    """A stream of bytes. The driver receives for it while `start_receiving` is in force."""

    def __init__(self) -> None:
        Endpoint.__init__(self)
        self.kind = CONNECTION
        self.fills_buffer = False  # True: receive into what `receive_buffer` returns
        self.expects = 0  # bytes that came last, where they were many; the driver's own note

    def received(self, data: bytes) -> None:
        """Take what arrived; never empty."""
        raise NotImplementedError

    def receive_buffer(self) -> Any:
        """Return a writable buffer to receive into, or None to skip this time."""
        raise NotImplementedError

    def received_into(self, count: int) -> None:
        """Hear that `count` bytes, at least one, are now in the buffer returned last."""
        raise NotImplementedError

    def received_eof(self) -> None:
        """Hear that the peer will send nothing more."""
        raise NotImplementedError

    def receive_failed(self, exc: Exception) -> None:
        """Hear that receiving failed for good: an OSError, or what a useless buffer raised."""
        raise NotImplementedError

    def send_ready(self) -> None:
        """Hear that the kernel takes bytes again, after `Driver.await_send`."""
        raise NotImplementedError

    def turn_ended(self) -> None:
        """Hear from the loop, which was asked for it, that its turn is over."""
        raise NotImplementedError


class Pipe(Connection):
    """A stream of bytes behind a descriptor that may be no socket: a pipe, a terminal."""

    def __init__(self) -> None:
        Connection.__init__(self)
        self.kind = PIPE

    def hung_up(self) -> None:
        """Hear that nobody will read what is sent, after `Driver.await_hangup`."""
        raise NotImplementedError


class Listener(Endpoint):
    """A listening socket. The driver accepts for it while `start_accepting` is in force."""

    def __init__(self) -> None:
        Endpoint.__init__(self)
        self.kind = LISTENER
        self.sock: Any = None  # the listening socket.socket; owned by the server
        self.batch = 1  # how many connections to accept per event at most

    def accepted(self, fd: int, peer: Any) -> None:
        """Own a new non-blocking descriptor; `peer` is an address or what `peer_name` reads."""
        raise NotImplementedError

    def accept_failed(self, exc: OSError) -> None:
        """Hear that accept(2) failed with something else than "nothing there"."""
        raise NotImplementedError


class Datagrams(Endpoint):
    """A socket for datagrams. Driven as a connection is, by the same calls of the driver."""

    def __init__(self, sock: Any) -> None:
        Endpoint.__init__(self)
        self.kind = DATAGRAMS
        self.sock: Any = sock  # the socket object; owned by the transport
        self.family = int(sock.family)
        self.batch = 1  # how many datagrams to receive per event at most

    def datagram_received(self, data: bytes, address: Any) -> None:
        """Take a datagram, which may be empty, and what ``socket.recvfrom`` calls its address."""
        raise NotImplementedError

    def receive_failed(self, exc: Exception) -> None:
        """Hear that the socket reported an error; it goes on receiving."""
        raise NotImplementedError

    def send_ready(self) -> None:
        """Hear that the kernel takes datagrams again, after `Driver.await_send`."""
        raise NotImplementedError


class Driver:
    """The contract. `open` once, `close_driver` once, everything else in between."""

    name = "none"

    def open(self) -> None:
        """Take the kernel objects that the driver needs; OSError when there are none."""
        raise NotImplementedError

    def close_driver(self) -> None:
        """Give them back; forget the endpoints, which (but for watches) still own descriptors."""
        raise NotImplementedError

    def disown(self) -> None:
        """In a forked child, part with the parent's driver; `wait` may be on the stack.

        The kernel objects are the parent's too, so nothing is asked of them: this process only
        closes its descriptors of them. Endpoints are forgotten as by `close_driver`.
        """
        raise NotImplementedError

    def attach(self, endpoint: Endpoint, fd: int) -> None:
        """Make `endpoint` the owner of `fd`.

        ValueError when the number has a living owner. A watch is no owner: its descriptor is the
        user's, who must have closed it for the number to come up again; so it is detached, and told
        so by `Endpoint.evicted`.
        """
        raise NotImplementedError

    def detach(self, endpoint: Endpoint) -> int:
        """End the ownership without closing; return the descriptor (-1 when there was none)."""
        raise NotImplementedError

    def owner(self, fd: int) -> Endpoint | None:
        """Return the endpoint that owns `fd`, or None."""
        raise NotImplementedError

    def set_interest(self, endpoint: Endpoint, interest: int) -> None:
        """Watch for exactly these events from now on; OSError when the kernel cannot."""
        raise NotImplementedError

    def renew_interest(self, endpoint: Endpoint, interest: int) -> None:
        """Like `set_interest`, for a descriptor that may have been closed and opened meanwhile."""
        raise NotImplementedError

    def receive(self, connection: Connection) -> None:
        """Receive once now, whether or not an event came; nothing there is no failure."""
        raise NotImplementedError

    def await_edge(self, endpoint: Endpoint, interest: int) -> None:
        """Tell a watch once of what `interest` names, after a call would have blocked.

        What it is told may be repeated, and may be false by the time it tries. A driver that can
        tell *changes* sets `endpoint.edge`, goes on to tell them, and does nothing when it is asked
        again. This one tells states: the endpoint takes interest back when nobody waits any more.
        """
        self.set_interest(endpoint, endpoint.interest | interest)

    def wait(self, timeout_ns: int) -> None:
        """Wait for events and dispatch them.

        -1: until there is one; 0: do not wait. Returns early after a signal or `wake`. Never
        returns because of the timeout before `timeout_ns` have passed.
        """
        raise NotImplementedError

    def wake(self) -> None:
        """Make the `wait` that is under way, or the next one, return; from any thread."""
        raise NotImplementedError

    def send(self, connection: Connection, data: Any, offset: int) -> int:
        """Send from ``data[offset:]`` what the kernel takes now; return the count, 0 when full.

        Raises OSError when the connection is broken.
        """
        raise NotImplementedError

    def send_many(self, connection: Connection, chunks: Any, offset: int) -> int:
        """Send a sequence of bytes objects, the first from `offset` on, in one system call."""
        raise NotImplementedError

    # The rest is the same for every driver that watches real descriptors.

    def close(self, endpoint: Endpoint) -> None:
        """Detach and close the descriptor; the one place where a connection's is closed."""
        fd = self.detach(endpoint)
        if fd >= 0:
            try:
                os.close(fd)
            except OSError:
                # close(2): the descriptor is gone whatever it says; a retry could hit another's
                pass

    def send_to(self, endpoint: Datagrams, data: Any, address: Any) -> bool:
        """Send one datagram, without an address to where the socket is connected; False when full.

        Full means that it is worth while to try again later. Raises what ``socket.sendto`` raises.
        """
        try:
            if address is None:
                endpoint.sock.send(data)
            else:
                endpoint.sock.sendto(data, address)
        except _WOULD_BLOCK:
            return False
        except OSError as exc:
            if exc.errno != errno.ENOBUFS:
                raise
            return False
        return True

    def receive_from(self, endpoint: Datagrams) -> bool:
        """Receive one datagram and hand it over, or an error; False when it was no datagram."""
        try:
            data, address = endpoint.sock.recvfrom(DATAGRAM_SIZE)
        except _WOULD_BLOCK:
            return False
        except OSError as exc:
            endpoint.receive_failed(exc)
            return False
        endpoint.datagram_received(data, address)
        return True

    def start_receiving(self, endpoint: Endpoint) -> None:
        """Receive from now on."""
        self.set_interest(endpoint, endpoint.interest | READ)

    def stop_receiving(self, endpoint: Endpoint) -> None:
        """Stop receiving; what the kernel holds stays there."""
        self.set_interest(endpoint, endpoint.interest & ~READ)

    def await_send(self, endpoint: Endpoint) -> None:
        """Call `send_ready` when the kernel takes bytes, until `forget_send`."""
        self.set_interest(endpoint, endpoint.interest | WRITE)

    def forget_send(self, endpoint: Endpoint) -> None:
        """Stop calling `send_ready`."""
        self.set_interest(endpoint, endpoint.interest & ~WRITE)

    def await_hangup(self, pipe: Pipe) -> None:
        """Call `hung_up` when the other end is gone.

        A driver that cannot tell this from data that nobody reads gives up when such data comes;
        then the next `send` fails and tells.
        """
        self.set_interest(pipe, pipe.interest | HANGUP)

    def start_accepting(self, listener: Listener) -> None:
        """Accept from now on."""
        self.set_interest(listener, READ)

    def stop_accepting(self, listener: Listener) -> None:
        """Stop accepting; what waits in the backlog stays there."""
        self.set_interest(listener, 0)

    def peer_name(self, peer: Any) -> Any:
        """Return the address behind the `peer` of `Listener.accepted`."""
        return peer

    def local_name(self, fd: int) -> Any:
        """Return the address that the socket `fd` is bound to."""
        view = socket.socket(fileno=fd)
        try:
            return view.getsockname()
        finally:
            view.detach()

    def shutdown_send(self, connection: Connection) -> None:
        """Tell the peer that nothing more will be sent."""
        view = socket.socket(fileno=connection.fd)
        try:
            view.shutdown(socket.SHUT_WR)
        finally:
            view.detach()
