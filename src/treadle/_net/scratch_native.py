# cython: annotation_typing=True, boundscheck=False, wraparound=False
"""The shared memory of TLS connections, compiled (see the plain twin).

A `Window` is a part of a block of memory that shows itself through the buffer protocol; moving it
costs nothing, where a slice of a memoryview is a new object. Whoever looks through it holds a
reference to the window, and the window owns the block, so nobody looks at freed memory.
"""

import cython
from cython.cimports.cpython.buffer import PyBuffer_FillInfo
from cython.cimports.cpython.mem import PyMem_Free, PyMem_Malloc
from cython.cimports.libc.string import memcpy
from cython.cimports.treadle._sys.python import (
    PyBytes_AS_STRING,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)

_RECORD_SIZE = cython.declare(cython.Py_ssize_t, 16 * 1024)
_INBOX_SIZE = cython.declare(cython.Py_ssize_t, 256 * 1024)
_PLAIN_SIZE = cython.declare(cython.Py_ssize_t, _INBOX_SIZE + 2 * _RECORD_SIZE)

RECORD_SIZE = _RECORD_SIZE
INBOX_SIZE = _INBOX_SIZE
PLAIN_SIZE = _PLAIN_SIZE


class Window:
    """A part, from `start` to `stop`, of a block of memory."""

    def __cinit__(self, size: cython.Py_ssize_t):
        self.memory = cython.cast(cython.p_char, PyMem_Malloc(size))
        if self.memory == cython.NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self.memory)

    def __getbuffer__(self, view: cython.pointer(cython.Py_buffer), flags: cython.int):
        PyBuffer_FillInfo(view, self, self.memory + self.start, self.stop - self.start, 0, flags)


class Scratch:
    """Two buffers. What a method returns is valid until the same method is called again."""

    def __init__(self):
        self._inbox = Window(_INBOX_SIZE)
        self._plain = Window(_PLAIN_SIZE)

    def inbox(self, start: cython.Py_ssize_t, stop: cython.Py_ssize_t):
        """Return a part of the inbox as a writable buffer."""
        if not 0 <= start <= stop <= _INBOX_SIZE:
            raise ValueError("not a part of the inbox")
        self._inbox.start = start
        self._inbox.stop = stop
        return self._inbox

    def inbox_byte(self, index: cython.Py_ssize_t):
        """Return one byte of the inbox."""
        if not 0 <= index < _INBOX_SIZE:
            raise IndexError(index)
        return cython.cast(cython.uchar, self._inbox.memory[index])

    def load(self, data: bytes, start: cython.Py_ssize_t):
        """Copy what fits of ``data[start:]`` into the inbox; return the number of bytes."""
        count: cython.Py_ssize_t = PyBytes_GET_SIZE(data) - start
        if start < 0 or count <= 0:
            return 0
        if count > _INBOX_SIZE:
            count = _INBOX_SIZE
        memcpy(self._inbox.memory, PyBytes_AS_STRING(data) + start, count)
        return count

    def plain(self, start: cython.Py_ssize_t):
        """Return room for the data of one record, `start` bytes into the plain buffer."""
        if not 0 <= start <= _PLAIN_SIZE - _RECORD_SIZE:
            raise ValueError("not a part of the plain buffer")
        self._plain.start = start
        self._plain.stop = start + _RECORD_SIZE
        return self._plain

    def take(self, count: cython.Py_ssize_t):
        """Return a copy of the first `count` bytes of the plain buffer."""
        if not 0 <= count <= _PLAIN_SIZE:
            raise ValueError("not a part of the plain buffer")
        return PyBytes_FromStringAndSize(self._plain.memory, count)
