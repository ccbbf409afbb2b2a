# cython: annotation_typing=True, boundscheck=False, wraparound=False
"""Receiving and sending on a plain socket with the system call at hand.

What ``socket.recv`` costs beside the system call: looking the method up, unpacking its arguments,
making a buffer of the full size, giving up the GIL and taking it again, and an exception where the
kernel would block. None of that is needed for a call that does not wait. The GIL is kept; so one
buffer is enough for all, and what came is copied into a `bytes` of the right size.

A socket that was left blocking does not block here, because the flag of the call says so.

Where somebody has replaced ``socket.socket.recv`` or ``send`` (a test that counts, a tool that
records), the replacement is called, as in the plain twin.

Number. A ``_socket.socket`` has its descriptor right behind the object header. That is looked at,
not believed: when this module is imported, a socket is made, closed, and compared with what
``fileno`` says; where it differs, ``fileno`` is called each time.
"""

import socket

import cython
from cython.cimports.cpython.buffer import PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cython.cimports.cpython.object import PyObject
from cython.cimports.libc.errno import EAGAIN, EINTR, errno
from cython.cimports.treadle._sys.python import (
    PyBytes_AS_STRING,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
    PyErr_CheckSignals,
    PyErr_SetFromErrno,
    number_behind_header,
)
from cython.cimports.treadle._sys.socket import MSG_DONTWAIT, MSG_NOSIGNAL, recv, send

SCRATCH_SIZE = cython.declare(cython.Py_ssize_t, 65536)
scratch = cython.declare(cython.char[65536])  # used while the GIL is held, and copied from
_Socket = cython.declare(object, socket.socket)
_methods = cython.declare(object, socket.socket.__dict__)  # as it is at any time, not a copy
number_is_behind_header = cython.declare(cython.bint, False)


def receive_now(sock, size):
    """Receive up to `size` bytes; None when the kernel would block."""
    if type(size) is not int or size <= 0 or size > SCRATCH_SIZE or "recv" in _methods:
        return receive_by_method(sock, size)
    count: cython.Py_ssize_t
    while True:
        count = recv(number(sock), scratch, size, MSG_DONTWAIT)
        if count >= 0:
            return PyBytes_FromStringAndSize(scratch, count)
        if errno == EAGAIN:
            return None
        check_errno()


def send_now(sock, data):
    """Send what the kernel takes of `data`; return the count, -1 when the kernel would block."""
    if "send" in _methods:
        return send_by_method(sock, data)
    view: cython.Py_buffer
    count: cython.Py_ssize_t
    while True:
        if type(data) is bytes:
            count = send(
                number(sock),
                PyBytes_AS_STRING(data),
                PyBytes_GET_SIZE(data),
                MSG_DONTWAIT | MSG_NOSIGNAL,
            )
        else:
            PyObject_GetBuffer(data, cython.address(view), PyBUF_SIMPLE)
            count = send(number(sock), view.buf, view.len, MSG_DONTWAIT | MSG_NOSIGNAL)
            PyBuffer_Release(cython.address(view))  # keeps errno: no destructor runs before `data`
        if count >= 0:
            return count
        if errno == EAGAIN:
            return -1
        check_errno()


def receive_by_method(sock, size):
    """Receive as the plain twin does."""
    try:
        return sock.recv(size)
    except (BlockingIOError, InterruptedError):
        return None


def send_by_method(sock, data):
    """Send as the plain twin does."""
    try:
        return sock.send(data)
    except (BlockingIOError, InterruptedError):
        return -1


def check_errno():
    """Raise the failure of a system call; return when it is to be made again."""
    if errno != EINTR:
        PyErr_SetFromErrno(OSError)
    PyErr_CheckSignals()


def number(sock):
    """Return the descriptor of a plain socket, -1 when it is closed."""
    if number_is_behind_header:
        return number_behind_header(cython.cast(cython.pointer(PyObject), sock))
    return sock.fileno()


def look_for_number():
    """Find out whether the descriptor of a socket is where it is thought to be."""
    global number_is_behind_header
    with socket.socket() as sock:
        raw = cython.cast(cython.pointer(PyObject), sock)
        found: cython.bint = number_behind_header(raw) == sock.fileno()
        other = socket.socket()
        raw_other = cython.cast(cython.pointer(PyObject), other)
        found = found and number_behind_header(raw_other) == other.fileno()
        other.close()
        number_is_behind_header = found and number_behind_header(raw_other) == -1


look_for_number()
