# cython: annotation_typing=True
"""Socket addresses, compiled: the same conversions with the C library's functions.

See the plain twin for what they return. Ownership: every raw pointer here points into an argument
or a local and lives no longer than the call.
"""

import os

import cython
from cython.cimports.libc.stdint import uint16_t, uint32_t
from cython.cimports.libc.string import memcpy, memset, strlen
from cython.cimports.treadle._sys.python import (
    PyBytes_AS_STRING,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
    PyTuple_GET_SIZE,
    PyUnicode_AsUTF8,
    PyUnicode_GET_LENGTH,
    PyUnicode_IS_ASCII,
)
from cython.cimports.treadle._sys.socket import (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    INET6_ADDRSTRLEN,
    htonl,
    htons,
    inet_ntop,
    inet_pton,
    ntohl,
    ntohs,
    sockaddr_in,
    sockaddr_in6,
    sockaddr_storage,
)

_remembered = cython.declare(cython.Py_ssize_t, 1024)  # addresses, until all are forgotten
_highest_flow = cython.declare(cython.longlong, 0xFFFFF)  # 20 bits, RFC 8200


def decode_address(raw: bytes):
    """Return what ``socket.accept`` returns as the address for the bytes of a sockaddr."""
    address: sockaddr_storage
    size: cython.Py_ssize_t = PyBytes_GET_SIZE(raw)
    if size == 0:
        return None  # the sender of a datagram has no name
    memset(cython.address(address), 0, cython.sizeof(sockaddr_storage))
    if size > cython.sizeof(sockaddr_storage):
        return raw
    memcpy(cython.address(address), PyBytes_AS_STRING(raw), size)
    if address.ss_family == AF_INET:
        return _decode_inet(cython.cast(cython.pointer(sockaddr_in), cython.address(address)))
    if address.ss_family == AF_INET6:
        return _decode_inet6(cython.cast(cython.pointer(sockaddr_in6), cython.address(address)))
    if address.ss_family == AF_UNIX:
        path: bytes = raw[2:]
        # an abstract name: length counts, zero bytes are part of it
        return path if path[:1] == b"\0" else os.fsdecode(path.partition(b"\0")[0])
    return raw


@cython.cfunc
def _decode_inet(address: cython.pointer(sockaddr_in)):
    text: cython.char[64]
    inet_ntop(AF_INET, cython.address(address.sin_addr), text, INET6_ADDRSTRLEN)
    return (text.decode("ascii"), ntohs(address.sin_port))


@cython.cfunc
def _decode_inet6(address: cython.pointer(sockaddr_in6)):
    text: cython.char[64]
    inet_ntop(AF_INET6, cython.address(address.sin6_addr), text, INET6_ADDRSTRLEN)
    flow: uint32_t = ntohl(address.sin6_flowinfo)
    return (text.decode("ascii"), ntohs(address.sin6_port), flow, address.sin6_scope_id)


def encode_address(family: cython.int, address):
    """Return the bytes of a sockaddr for a tuple with a literal IPv4 or IPv6 address, or None."""
    if not _has_exact_types(address):
        return None
    host = address[0]
    if not PyUnicode_IS_ASCII(host):
        return None
    text: cython.p_const_char = PyUnicode_AsUTF8(host)
    if cython.cast(cython.Py_ssize_t, strlen(text)) != PyUnicode_GET_LENGTH(host):
        return None  # zero bytes in it
    numbers: cython.longlong[3]
    numbers[0] = numbers[1] = numbers[2] = 0
    count: cython.Py_ssize_t = PyTuple_GET_SIZE(address) - 1
    i: cython.Py_ssize_t
    for i in range(count):
        number = address[i + 1]
        if not 0 <= number <= 0xFFFFFFFF:
            return None
        numbers[i] = number
    if numbers[0] > 0xFFFF:
        return None
    if family == AF_INET and count == 1:
        return _encode_inet(text, numbers[0])
    if family == AF_INET6 and numbers[1] <= _highest_flow:
        return _encode_inet6(text, numbers[0], numbers[1], numbers[2])
    return None


@cython.cfunc
def _encode_inet(text: cython.p_const_char, port: cython.longlong):
    address: sockaddr_in
    memset(cython.address(address), 0, cython.sizeof(sockaddr_in))
    address.sin_family = AF_INET
    address.sin_port = htons(cython.cast(uint16_t, port))
    if inet_pton(AF_INET, text, cython.address(address.sin_addr)) != 1:
        return None
    return PyBytes_FromStringAndSize(
        cython.cast(cython.p_char, cython.address(address)), cython.sizeof(sockaddr_in)
    )


@cython.cfunc
def _encode_inet6(
    text: cython.p_const_char, port: cython.longlong, flow: cython.longlong, scope: cython.longlong
):
    address: sockaddr_in6
    memset(cython.address(address), 0, cython.sizeof(sockaddr_in6))
    address.sin6_family = AF_INET6
    address.sin6_port = htons(cython.cast(uint16_t, port))
    address.sin6_flowinfo = htonl(cython.cast(uint32_t, flow))
    address.sin6_scope_id = cython.cast(uint32_t, scope)
    if inet_pton(AF_INET6, text, cython.address(address.sin6_addr)) != 1:
        return None
    return PyBytes_FromStringAndSize(
        cython.cast(cython.p_char, cython.address(address)), cython.sizeof(sockaddr_in6)
    )


@cython.cfunc
@cython.exceptval(-1)
def _has_exact_types(address) -> cython.bint:
    if type(address) is not tuple or not 2 <= PyTuple_GET_SIZE(address) <= 4:
        return False
    items: tuple = address
    if type(items[0]) is not str:
        return False
    i: cython.Py_ssize_t
    for i in range(1, PyTuple_GET_SIZE(items)):
        if type(items[i]) is not int:
            return False
    return True


class AddressBook:
    """Decodes addresses, and remembers the last ones: peers repeat."""

    def __init__(self):
        self.names = {}

    def name_of(self, raw: bytes):
        """Return what `decode_address` returns."""
        name = self.names.get(raw)
        if name is None:
            name = decode_address(raw)
            if len(self.names) >= _remembered:
                self.names.clear()
            self.names[raw] = name
        return name
