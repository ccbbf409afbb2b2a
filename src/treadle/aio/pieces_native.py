# cython: annotation_typing=True
"""Finding and cutting in bytes, compiled (see the plain twin).

Ownership: every raw pointer here points into an argument and lives no longer than the call.
"""

import cython
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cython.cimports.cpython.object import PyObject
from cython.cimports.libc.string import memchr, memcmp
from cython.cimports.treadle._sys.python import (
    Py_REFCNT,
    PyBytes_AS_STRING,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
    PyNumber_AsSsize_t,
)

_SHORT = cython.declare(cython.Py_ssize_t, 4)  # bytes of a separator that is compared at each place


def as_count(number):
    """Return an integer of any size as one that counts bytes; TypeError for what is none."""
    return PyNumber_AsSsize_t(number, cython.NULL)


def cut(data: bytes, start: cython.Py_ssize_t, stop: cython.Py_ssize_t):
    """Return ``data[start:stop]``; both lie within `data`."""
    size: cython.Py_ssize_t = PyBytes_GET_SIZE(data)
    if not 0 <= start <= stop <= size:
        raise IndexError("not a part of the data")
    if start == 0 and stop == size:
        return data
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + start, stop - start)


def find(data, separator: bytes, start: cython.Py_ssize_t):
    """Return where `separator` begins in bytes or a bytearray, from `start` on; -1: nowhere."""
    memory: cython.p_char
    size: cython.Py_ssize_t
    if type(data) is bytes:
        memory = PyBytes_AS_STRING(data)
        size = PyBytes_GET_SIZE(data)
    else:
        memory = PyByteArray_AS_STRING(cython.cast(bytearray, data, typecheck=True))
        size = PyByteArray_GET_SIZE(data)
    length: cython.Py_ssize_t = PyBytes_GET_SIZE(separator)
    if length == 0 or length > _SHORT:
        return data.find(separator, start)
    wanted: cython.p_char = PyBytes_AS_STRING(separator)
    last: cython.Py_ssize_t = size - length  # where it may begin at the latest
    place: cython.p_char
    while 0 <= start <= last:
        place = cython.cast(
            cython.p_char,
            memchr(memory + start, cython.cast(cython.uchar, wanted[0]), last + 1 - start),
        )
        if place == cython.NULL:
            return -1
        if length == 1 or memcmp(place + 1, wanted + 1, length - 1) == 0:
            return place - memory
        start = place - memory + 1
    return -1


def take_front(data: bytearray, count: cython.Py_ssize_t):
    """Remove the first `count` bytes of a bytearray and return them."""
    if not 0 <= count <= PyByteArray_GET_SIZE(data):
        raise IndexError("not a part of the data")
    front = PyBytes_FromStringAndSize(PyByteArray_AS_STRING(data), count)
    del data[:count]
    return front


def is_ours_alone(data: bytearray):
    """Say whether nobody but the caller's object holds `data`; False where that is not known."""
    return Py_REFCNT(cython.cast(cython.pointer(PyObject), data)) == 1
