# cython: annotation_typing=True
"""The epoll driver's system calls for datagrams.

One recvfrom(2) per datagram, until nothing is there or the batch ends. recvmmsg(2) was measured: on
Linux it takes as long for eight datagrams as eight calls do, and what a failure in the middle
leaves undelivered would have to be kept. A call that finds nothing costs a tenth of one that does.

Addresses of IPv4 and IPv6 are converted here, the rest is left to the socket module: names, Unix
paths, families that only it knows. What the kernel writes as a sender is decoded once per peer and
remembered; encoding is so cheap that remembering gains nothing.

Its plain twin are `receive_from` and `send_to` of the contract in ``base.py``.
"""

import os

import cython
from cython.cimports.cpython.buffer import PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cython.cimports.libc.errno import EAGAIN, EINTR, ENOBUFS, errno
from cython.cimports.treadle._drivers.address import AddressBook, encode_address
from cython.cimports.treadle._sys.python import (
    PyBytes_AS_STRING,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cython.cimports.treadle._sys.socket import (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    recvfrom,
    send,
    sendto,
    sockaddr,
    sockaddr_storage,
    socklen_t,
)

from treadle._drivers.base import Datagrams, Driver

READ = cython.declare(cython.int, 1)

senders = AddressBook()  # all loops share it: addresses mean the same to each


def receive_datagrams(driver: Driver, endpoint: Datagrams, scratch: cython.p_char, size):
    """Receive a batch of datagrams at most, by way of `scratch`, and hand each of them over."""
    generation: cython.uint = endpoint.generation
    address: sockaddr_storage
    length: socklen_t
    count: cython.Py_ssize_t
    i: cython.int
    if endpoint.family != AF_INET and endpoint.family != AF_INET6 and endpoint.family != AF_UNIX:
        driver.receive_from(endpoint)
        return 0
    for i in range(endpoint.batch):
        length = cython.sizeof(sockaddr_storage)
        count = recvfrom(
            endpoint.fd,
            scratch,
            size,
            MSG_DONTWAIT,
            cython.cast(cython.pointer(sockaddr), cython.address(address)),
            cython.address(length),
        )
        if count < 0:
            if errno != EAGAIN and errno != EINTR:
                endpoint.receive_failed(OSError(errno, os.strerror(errno)))
            return 0
        sender = PyBytes_FromStringAndSize(
            cython.cast(cython.p_char, cython.address(address)), length
        )
        endpoint.datagram_received(
            PyBytes_FromStringAndSize(scratch, count), senders.name_of(sender)
        )
        if endpoint.generation != generation or not endpoint.interest & READ:
            return 0
    return 0


def send_datagram(driver: Driver, endpoint: Datagrams, data, address):
    """Do what `Driver.send_to` says."""
    view: cython.Py_buffer
    raw = None
    error: cython.int
    if address is not None:
        raw = encode_address(endpoint.family, address)
        if raw is None:
            return Driver.send_to(driver, endpoint, data, address)
    if isinstance(data, bytes):
        error = transmit(endpoint.fd, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), raw)
    else:
        PyObject_GetBuffer(data, cython.address(view), PyBUF_SIMPLE)
        error = transmit(endpoint.fd, view.buf, view.len, raw)
        PyBuffer_Release(cython.address(view))
    if error == 0:
        return True
    if error == EAGAIN or error == EINTR or error == ENOBUFS:
        return False
    raise OSError(error, os.strerror(error))


def transmit(fd, data, size, raw):
    """Send one datagram to where the sockaddr `raw` says; return 0 or the error's number."""
    flags: cython.int = MSG_NOSIGNAL | MSG_DONTWAIT
    sent: cython.Py_ssize_t
    if raw is None:
        sent = send(fd, data, size, flags)
    else:
        sent = sendto(
            fd,
            data,
            size,
            flags,
            cython.cast(cython.pointer(sockaddr), PyBytes_AS_STRING(raw)),
            PyBytes_GET_SIZE(raw),
        )
    return errno if sent < 0 else 0
