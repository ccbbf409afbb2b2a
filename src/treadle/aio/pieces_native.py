# cython: annotation_typing=True
"""Finding and cutting in bytes, compiled (see the plain twin).

Ownership: every raw pointer here points into an argument and lives no longer than the call.
"""

import cython
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cython.cimports.cpython.object import PyObject
from cython.cimports.libc.string import memchr
from cython.cimports.treadle._sys.python import (
    Py_REFCNT,
    PyBytes_AS_STRING,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
    PyNumber_AsSsize_t,
)


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
    if PyBytes_GET_SIZE(separator) != 1:
        return data.find(separator, start)
    if start < 0 or start >= size:
        return -1
    place: cython.p_char = cython.cast(
        cython.p_char,
        memchr(memory + start, cython.cast(cython.uchar, separator[0]), size - start),
    )
    return -1 if place == cython.NULL else place - memory


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
