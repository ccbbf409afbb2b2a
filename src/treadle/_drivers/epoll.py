# cython: annotation_typing=True, boundscheck=False, wraparound=False
"""The epoll driver: the selector driver's work with the system calls at hand.

Kernel facts. epoll(7) watches open file *descriptions*: a descriptor that was duplicated (fork,
dup) goes on to report after it was closed here, unless it is deleted first. So a descriptor is
deleted before it is closed, and each event carries the generation of the endpoint that asked for
it next to the number: an event whose generation is not the living one is dropped.

Interest is level-triggered: what is not dispatched (an exception cut a batch short) is reported
again. A watch that asked by `await_edge` is told of changes instead (EPOLLET), and stays in the set
without a further call. The kernel looks at the state whenever an entry is added or modified, and
reports it as a change. So none is lost when the kind of interest changes, and `repeat` gets back
what an exception cut off.

epoll_wait(2) counts in milliseconds, which makes short timers up to one late. epoll_pwait2(2) takes
nanoseconds; where it is missing or forbidden, milliseconds are rounded up: late, never early.

Receiving goes through one buffer per driver and is copied into a `bytes` of the right size, so an
idle connection holds no buffer. A connection whose last receive was large is received for into the
`bytes` itself: cutting that to size costs less than the copy.

GIL: it is given up for every wait, also for one that does not block, so that other threads and
their signals get their turn; `send` and `recv` on non-blocking sockets keep it.

Only Linux has this; every logical step has its plain twin in `selector.py`.
"""

import os

import cython
from cython.cimports.cpython.buffer import (
    PyBUF_SIMPLE,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cython.cimports.cpython.mem import PyMem_Free, PyMem_Malloc
from cython.cimports.libc.errno import (
    EAGAIN,
    EBADF,
    ECONNABORTED,
    EEXIST,
    EINTR,
    ENOENT,
    ENOSYS,
    EPERM,
    errno,
)
from cython.cimports.libc.stdint import int64_t, uint32_t, uint64_t
from cython.cimports.posix.time import timespec
from cython.cimports.treadle._drivers.address import decode_address
from cython.cimports.treadle._drivers.epoll_datagrams import receive_datagrams, send_datagram
from cython.cimports.treadle._drivers.epoll_sending import send_bytes, send_pieces
from cython.cimports.treadle._sys.epoll import (
    EFD_CLOEXEC,
    EFD_NONBLOCK,
    EPOLL_CLOEXEC,
    EPOLL_CTL_ADD,
    EPOLL_CTL_DEL,
    EPOLL_CTL_MOD,
    EPOLLERR,
    EPOLLET,
    EPOLLHUP,
    EPOLLIN,
    EPOLLOUT,
    EPOLLPRI,
    EPOLLRDHUP,
    F_GETFD,
    close,
    epoll_create1,
    epoll_ctl,
    epoll_event,
    epoll_wait,
    eventfd,
    fcntl,
    read,
    treadle_epoll_pwait2,
    write,
)
from cython.cimports.treadle._sys.python import (
    PyBytes_FromStringAndSize,
    PyErr_CheckSignals,
    PyErr_SetFromErrno,
)
from cython.cimports.treadle._sys.socket import (
    SOCK_CLOEXEC,
    SOCK_NONBLOCK,
    accept4,
    recv,
    recv_bytes,
    sockaddr,
    sockaddr_storage,
    socklen_t,
)

from treadle._drivers.base import (
    MADE_ELSEWHERE,
    Connection,
    Datagrams,
    Driver,
    Endpoint,
    Listener,
    Pipe,
)

READ = cython.declare(cython.int, 1)
WRITE = cython.declare(cython.int, 2)
LASTING = cython.declare(cython.int, 4)
HANGUP = cython.declare(cython.int, 8)
WATCH = cython.declare(cython.int, 0)
CONNECTION = cython.declare(cython.int, 1)
LISTENER = cython.declare(cython.int, 2)
PIPE = cython.declare(cython.int, 3)
DATAGRAMS = cython.declare(cython.int, 4)

MAX_EVENTS = cython.declare(cython.int, 1024)  # per wait; what is left is reported by the next
SCRATCH_SIZE = cython.declare(cython.Py_ssize_t, 256 * 1024)  # bytes per receive at most
LARGE = cython.declare(cython.Py_ssize_t, 32 * 1024)  # bytes; from here on copying costs more
UNLIKELY_FD = cython.declare(cython.int, 1 << 22)  # numbers from here on are looked at first
WAKE_DATA = cython.declare(uint64_t, 0xFFFFFFFFFFFFFFFF)  # no descriptor has this number


class EpollDriver(Driver):
    """Watches descriptors with epoll(7)."""

    name = "epoll"

    def __init__(self):
        self.epoll_fd = -1
        self.wake_fd = -1
        self.generation = 0
        self.owners = []
        self.events = cython.NULL
        self.scratch = cython.NULL
        self.has_pwait2 = True
        self.ended = "Event loop is closed"

    def __dealloc__(self):
        self.release()

    def open(self):
        """Take the kernel objects that the driver needs; OSError when there are none."""
        self.events = cython.cast(
            cython.pointer(epoll_event), PyMem_Malloc(MAX_EVENTS * cython.sizeof(epoll_event))
        )
        self.scratch = cython.cast(cython.p_char, PyMem_Malloc(SCRATCH_SIZE))
        if self.events == cython.NULL or self.scratch == cython.NULL:
            raise MemoryError
        self.epoll_fd = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll_fd < 0:
            PyErr_SetFromErrno(OSError)
        self.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        if self.wake_fd < 0:
            PyErr_SetFromErrno(OSError)
        event: epoll_event
        event.events = EPOLLIN
        event.data.u64 = WAKE_DATA
        if epoll_ctl(self.epoll_fd, EPOLL_CTL_ADD, self.wake_fd, cython.address(event)) < 0:
            PyErr_SetFromErrno(OSError)

    def close_driver(self):
        """Give them back; forget the endpoints, which (but for watches) still own descriptors."""
        self.forget()
        self.release()

    def disown(self):
        """Part with the parent's driver in a forked child (see `Driver.disown`)."""
        self.ended = MADE_ELSEWHERE
        self.forget()
        self.close_descriptors()  # no more is freed: `wait` may be reading from the events

    def forget(self):
        """Let every endpoint go, without a word to the kernel."""
        endpoint: Endpoint
        forgotten: list = self.owners
        self.owners = []
        for owner in forgotten:
            if owner is not None:
                endpoint = owner
                endpoint.interest = 0
                endpoint.edge = False
                endpoint.generation = 0
                if endpoint.kind == WATCH:
                    endpoint.fd = -1

    def release(self):
        """Free what `open` took; harmless when repeated."""
        self.close_descriptors()
        PyMem_Free(self.events)
        PyMem_Free(self.scratch)
        self.events = cython.NULL
        self.scratch = cython.NULL

    def close_descriptors(self):
        """Close what `open` opened; harmless when repeated."""
        if self.epoll_fd >= 0:
            close(self.epoll_fd)
        if self.wake_fd >= 0:
            close(self.wake_fd)
        self.epoll_fd = -1
        self.wake_fd = -1

    def attach(self, endpoint: Endpoint, fd):
        """Make `endpoint` the owner of `fd`; ValueError when the number has a living owner."""
        if fd < 0:
            raise ValueError(f"invalid file descriptor: {fd}")
        if fd >= len(self.owners):
            if fd >= UNLIKELY_FD and fcntl(fd, F_GETFD) < 0:
                PyErr_SetFromErrno(OSError)  # no memory for a number that nobody has
            self.owners.extend([None] * (fd + 64 - len(self.owners)))
        owner = self.owners[fd]
        if owner is not None:
            if cython.cast(Endpoint, owner).kind != WATCH:
                raise ValueError(f"file descriptor {fd} is already in use by {owner!r}")
            self.detach(owner)  # its user closed the number, or hands it to a transport now
            cython.cast(Endpoint, owner).evicted()
        self.generation += 1
        if self.generation == 0xFFFFFFFF or self.generation == 0:  # 0: detached; all ones: wake
            self.generation = 1
        endpoint.fd = fd
        endpoint.generation = self.generation
        endpoint.interest = 0
        self.owners[fd] = endpoint

    def detach(self, endpoint: Endpoint):
        """End the ownership without closing; return the descriptor (-1 when there was none)."""
        fd: cython.int = endpoint.fd
        if fd < 0:
            return -1
        if endpoint.interest:
            epoll_ctl(self.epoll_fd, EPOLL_CTL_DEL, fd, cython.NULL)
            # ENOENT, EBADF: closed behind our back; the kernel has forgotten it already
        endpoint.fd = -1
        endpoint.generation = 0
        endpoint.interest = 0
        endpoint.edge = False
        if fd < len(self.owners) and self.owners[fd] is endpoint:
            self.owners[fd] = None
        return fd

    def owner(self, fd):
        """Return the endpoint that owns `fd`, or None."""
        if 0 <= fd < len(self.owners):
            return self.owners[fd]
        return None

    def set_interest(self, endpoint: Endpoint, interest):
        """Watch for exactly these events from now on; OSError when the kernel cannot."""
        if (interest != endpoint.interest or endpoint.edge) and endpoint.fd >= 0:
            self.renew_interest(endpoint, interest)

    def renew_interest(self, endpoint: Endpoint, interest):
        """Like `set_interest`, for a descriptor that may have been closed and opened meanwhile."""
        self.register(endpoint, interest, 0)
        endpoint.interest = interest
        endpoint.edge = False

    def await_edge(self, endpoint: Endpoint, interest):
        """Tell a watch of every change from now on, and of the state now (see the contract).

        A direction is added when it is first asked for and stays: a Unix socket reports each
        message that its peer takes as writable, which is of no use to who never had to wait.
        """
        if endpoint.fd < 0 or (endpoint.edge and not interest & ~endpoint.interest):
            return
        if endpoint.edge:
            interest |= endpoint.interest
        self.register(endpoint, interest, EPOLLET | EPOLLRDHUP | EPOLLPRI)
        endpoint.interest = interest
        endpoint.edge = True

    def register(self, endpoint: Endpoint, interest, flags: uint32_t):
        """Have the kernel watch for exactly this, whatever it watched for before."""
        event: epoll_event
        event.events = (
            (EPOLLIN if interest & READ else 0)
            | (EPOLLOUT if interest & WRITE else 0)
            | (EPOLLRDHUP if interest & HANGUP else 0)
            | flags
        )
        event.data.u64 = (cython.cast(uint64_t, endpoint.generation) << 32) | cython.cast(
            uint64_t, endpoint.fd
        )
        operation: cython.int = EPOLL_CTL_MOD
        if not interest:
            operation = EPOLL_CTL_DEL
        elif not endpoint.interest:
            operation = EPOLL_CTL_ADD
        if epoll_ctl(self.epoll_fd, operation, endpoint.fd, cython.address(event)) < 0:
            self.repair(endpoint, operation, cython.address(event))

    def repair(self, endpoint: Endpoint, operation, event):
        """Make up for a descriptor that the user closed, or opened again, behind our back."""
        if self.epoll_fd < 0:
            raise RuntimeError(self.ended)
        if operation == EPOLL_CTL_DEL and (errno == ENOENT or errno == EBADF):
            return
        if operation == EPOLL_CTL_MOD and errno == ENOENT:
            operation = EPOLL_CTL_ADD
        elif operation == EPOLL_CTL_ADD and errno == EEXIST:
            operation = EPOLL_CTL_MOD
        else:
            PyErr_SetFromErrno(OSError)
        if epoll_ctl(self.epoll_fd, operation, endpoint.fd, event) < 0:
            PyErr_SetFromErrno(OSError)

    def wait(self, timeout_ns):
        """Wait for events and dispatch them (see `Driver.wait`)."""
        count: cython.int = self.poll(timeout_ns)
        if count < 0:
            if errno != EINTR:
                PyErr_SetFromErrno(OSError)
            count = 0
        done: cython.int = 0
        try:
            PyErr_CheckSignals()
            while done < count:
                self.dispatch(self.events[done].data.u64, self.events[done].events)
                done += 1
        except BaseException:
            self.repeat(done, count)
            raise

    def repeat(self, first, count):
        """Have changes that were reported but not dispatched reported again."""
        i: cython.int
        fd: cython.int
        endpoint: Endpoint
        for i in range(first, count):
            if self.events[i].data.u64 == WAKE_DATA:
                continue
            fd = cython.cast(uint32_t, self.events[i].data.u64)  # the lower half
            found = self.owner(fd)
            if found is None:
                continue
            endpoint = found
            if endpoint.edge and endpoint.generation == self.events[i].data.u64 >> 32:
                try:
                    self.register(endpoint, endpoint.interest, EPOLLET | EPOLLRDHUP | EPOLLPRI)
                except OSError:
                    pass  # closed behind our back

    def poll(self, timeout_ns):
        """Ask the kernel; return the number of events, or -1 with errno set."""
        count: cython.int
        timeout_ms: int64_t
        timeout: timespec
        if timeout_ns > 0 and self.has_pwait2:
            timeout.tv_sec = timeout_ns // 1000000000
            timeout.tv_nsec = timeout_ns % 1000000000
            with cython.nogil:
                count = treadle_epoll_pwait2(
                    self.epoll_fd, self.events, MAX_EVENTS, cython.address(timeout)
                )
            if count >= 0 or (errno != ENOSYS and errno != EPERM):
                return count
            self.has_pwait2 = False
        timeout_ms = -1 if timeout_ns < 0 else (timeout_ns + 999999) // 1000000
        if timeout_ms > 0x7FFFFFFF:
            timeout_ms = 0x7FFFFFFF
        with cython.nogil:
            count = epoll_wait(
                self.epoll_fd, self.events, MAX_EVENTS, cython.cast(cython.int, timeout_ms)
            )
        return count

    def dispatch(self, data, mask):
        """Hand one event to the endpoint that asked for it, if that still lives."""
        if data == WAKE_DATA:
            self.drain_wake()
            return
        fd: cython.Py_ssize_t = cython.cast(uint32_t, data)  # the lower half
        generation: uint32_t = data >> 32
        found = self.owners[fd] if fd < len(self.owners) else None
        if found is None:
            return
        endpoint: Endpoint = found
        if endpoint.generation != generation:
            return
        failed: cython.bint = mask & (EPOLLERR | EPOLLHUP) != 0
        connection: Connection
        datagrams: Datagrams
        if endpoint.kind == CONNECTION:
            connection = cython.cast(Connection, endpoint)
            if connection.interest & READ and (failed or mask & EPOLLIN):
                self.receive(connection)
                if connection.generation != generation:
                    return
            if connection.interest & WRITE and (failed or mask & EPOLLOUT):
                connection.send_ready()
        elif endpoint.kind == LISTENER:
            self.accept(cython.cast(Listener, endpoint))
        elif endpoint.kind == PIPE:
            self.dispatch_pipe(cython.cast(Pipe, endpoint), mask)
        elif endpoint.kind == DATAGRAMS:
            datagrams = cython.cast(Datagrams, endpoint)
            if datagrams.interest & READ and (failed or mask & EPOLLIN):
                receive_datagrams(self, datagrams, self.scratch, SCRATCH_SIZE)
                if datagrams.generation != generation:
                    return
            if datagrams.interest & WRITE and (failed or mask & EPOLLOUT):
                datagrams.send_ready()
        else:
            self.tell(endpoint, failed, mask)

    def tell(self, endpoint: Endpoint, failed: cython.bint, mask: uint32_t):
        """Tell a watch what happened."""
        told: cython.int = 0
        if failed or mask & EPOLLIN:
            told |= READ
        if failed or mask & EPOLLOUT:
            told |= WRITE
        if endpoint.edge and (failed or mask & (EPOLLRDHUP | EPOLLPRI)):
            told |= READ | LASTING
        endpoint.ready(told)

    def dispatch_pipe(self, pipe: Pipe, mask):
        """Hand one event to a pipe."""
        generation: cython.uint = pipe.generation
        failed: cython.bint = mask & (EPOLLERR | EPOLLHUP) != 0
        if pipe.interest & HANGUP and (failed or mask & EPOLLRDHUP):
            pipe.hung_up()
        if pipe.generation == generation and pipe.interest & READ and (failed or mask & EPOLLIN):
            self.receive_from_pipe(pipe)
        if pipe.generation == generation and pipe.interest & WRITE and (failed or mask & EPOLLOUT):
            pipe.send_ready()

    def receive_from_pipe(self, pipe: Pipe):
        """Receive once from what may be no socket."""
        count: cython.Py_ssize_t = read(pipe.fd, self.scratch, SCRATCH_SIZE)
        if count > 0:
            pipe.received(PyBytes_FromStringAndSize(self.scratch, count))
        else:
            self.receive_ended(pipe, count, errno)

    def receive(self, connection: Connection):
        """Receive once for a connection and hand over what came."""
        if connection.kind == PIPE:
            self.receive_from_pipe(cython.cast(Pipe, connection))
            return
        if connection.fills_buffer:
            self.receive_into(connection)
            return
        if connection.expects >= LARGE:
            self.receive_large(connection)
            return
        count: cython.Py_ssize_t = recv(connection.fd, self.scratch, SCRATCH_SIZE, 0)
        if count > 0:
            connection.expects = count
            connection.received(PyBytes_FromStringAndSize(self.scratch, count))
        else:
            self.receive_ended(connection, count, errno)

    def receive_large(self, connection: Connection):
        """Receive once where much came last time: into the `bytes` itself, which is then cut."""
        count: cython.Py_ssize_t = 0
        size: cython.Py_ssize_t = 2 * connection.expects
        data = recv_bytes(
            connection.fd, SCRATCH_SIZE if size > SCRATCH_SIZE else size, cython.address(count)
        )
        if count > 0:
            connection.expects = count
            connection.received(data)
        else:
            self.receive_ended(connection, count, errno)

    def receive_into(self, connection: Connection):
        """Receive once into the connection's own buffer."""
        generation: cython.uint = connection.generation
        target = connection.receive_buffer()
        if target is None or connection.generation != generation:
            return
        view: cython.Py_buffer
        try:
            PyObject_GetBuffer(target, cython.address(view), PyBUF_SIMPLE | PyBUF_WRITABLE)
        except Exception as exc:  # not a buffer, read-only, in pieces
            connection.receive_failed(exc)
            return
        count: cython.Py_ssize_t = recv(connection.fd, view.buf, view.len, 0)
        error: cython.int = errno
        PyBuffer_Release(cython.address(view))
        if count > 0:
            connection.received_into(count)
        else:
            self.receive_ended(connection, count, error)

    def receive_ended(self, connection: Connection, count, error):
        """Handle a recv(2) that brought no bytes: end of stream, nothing there, or an error."""
        if count == 0:
            connection.received_eof()
        elif error != EAGAIN and error != EINTR:
            connection.receive_failed(OSError(error, os.strerror(error)))

    def accept(self, listener: Listener):
        """Accept what waits in the backlog, a batch at most."""
        generation: cython.uint = listener.generation
        address: sockaddr_storage
        length: socklen_t
        fd: cython.int
        i: cython.int
        for i in range(listener.batch):
            length = cython.sizeof(sockaddr_storage)
            fd = accept4(
                listener.fd,
                cython.cast(cython.pointer(sockaddr), cython.address(address)),
                cython.address(length),
                SOCK_NONBLOCK | SOCK_CLOEXEC,
            )
            if fd < 0:
                self.accept_ended(listener, errno)
                return
            if length > cython.sizeof(sockaddr_storage):
                length = cython.sizeof(sockaddr_storage)
            listener.accepted(
                fd,
                PyBytes_FromStringAndSize(
                    cython.cast(cython.p_char, cython.address(address)), length
                ),
            )
            if listener.generation != generation or not listener.interest:
                return

    def accept_ended(self, listener: Listener, error):
        """Handle an accept4(2) that failed: nothing there, or an error to report."""
        if error != EAGAIN and error != EINTR and error != ECONNABORTED:
            listener.accept_failed(OSError(error, os.strerror(error)))

    def wake(self):
        """Make the `wait` that is under way, or the next one, return; from any thread."""
        one: uint64_t = 1
        if self.wake_fd >= 0:
            write(self.wake_fd, cython.address(one), cython.sizeof(uint64_t))

    def drain_wake(self):
        """Take the eventfd's counter back to zero."""
        count: uint64_t
        read(self.wake_fd, cython.address(count), cython.sizeof(uint64_t))

    def send(self, connection: Connection, data, offset):
        """Send from ``data[offset:]`` what the kernel takes now; return the count, 0 when full."""
        return send_bytes(connection.fd, connection.kind == PIPE, data, offset)

    def send_many(self, connection: Connection, chunks, offset):
        """Send a sequence of bytes objects, the first from `offset` on, in one system call."""
        return send_pieces(connection.fd, connection.kind == PIPE, chunks, offset)

    def send_to(self, endpoint: Datagrams, data, address):
        """Send one datagram; return False when it is worth while to try again later."""
        return send_datagram(self, endpoint, data, address)

    def peer_name(self, peer):
        """Return the address behind the `peer` of `Listener.accepted`."""
        return decode_address(peer) if isinstance(peer, bytes) else peer
