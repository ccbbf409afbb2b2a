# cython: annotation_typing=True, boundscheck=False, wraparound=False
"""The epoll driver's system calls for sending bytes.

What is no socket is written with write(2) and writev(2); Python ignores SIGPIPE. The caller keeps
the data alive and unchanged for the call.
"""

import os

import cython
from cython.cimports.cpython.buffer import PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cython.cimports.libc.errno import EAGAIN, EINTR, errno
from cython.cimports.libc.string import memset
from cython.cimports.treadle._sys.epoll import write
from cython.cimports.treadle._sys.python import (
    PyBytes_AS_STRING,
    PyBytes_GET_SIZE,
)
from cython.cimports.treadle._sys.socket import (
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    iovec,
    msghdr,
    send,
    sendmsg,
    writev,
)

MAX_IOV = cython.declare(cython.int, 64)  # buffers per sendmsg(2)


def send_bytes(fd, is_pipe, data, offset):
    """Send from ``data[offset:]`` what the kernel takes now; return the count, 0 when full."""
    view: cython.Py_buffer
    start: cython.p_char
    count: cython.Py_ssize_t
    if isinstance(data, bytes) and not is_pipe:
        start = PyBytes_AS_STRING(data) + offset
        count = send(fd, start, PyBytes_GET_SIZE(data) - offset, MSG_NOSIGNAL | MSG_DONTWAIT)
        return sent(count, errno)
    PyObject_GetBuffer(data, cython.address(view), PyBUF_SIMPLE)
    start = cython.cast(cython.p_char, view.buf) + offset
    if is_pipe:
        count = write(fd, start, view.len - offset)
    else:
        count = send(fd, start, view.len - offset, MSG_NOSIGNAL | MSG_DONTWAIT)
    error: cython.int = errno
    PyBuffer_Release(cython.address(view))
    return sent(count, error)


def send_pieces(fd, is_pipe, chunks, offset):
    """Send a sequence of bytes objects, the first from `offset` on, in one system call."""
    vector: iovec[64]
    message: msghdr
    count: cython.Py_ssize_t
    used: cython.int = 0
    for chunk in chunks:
        if used == MAX_IOV:
            break
        vector[used].iov_base = cython.cast(cython.p_char, PyBytes_AS_STRING(chunk)) + offset
        vector[used].iov_len = PyBytes_GET_SIZE(chunk) - offset
        offset = 0
        used += 1
    if is_pipe:
        count = writev(fd, vector, used)
        return sent(count, errno)
    memset(cython.address(message), 0, cython.sizeof(msghdr))
    message.msg_iov = vector
    message.msg_iovlen = used
    count = sendmsg(fd, cython.address(message), MSG_NOSIGNAL | MSG_DONTWAIT)
    return sent(count, errno)


def sent(count, error):
    """Turn the result of a send into a count; raise when the connection is broken."""
    if count >= 0:
        return count
    if error == EAGAIN or error == EINTR:
        return 0
    raise OSError(error, os.strerror(error))
