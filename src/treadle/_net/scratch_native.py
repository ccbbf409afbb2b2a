# cython: annotation_typing=True, boundscheck=False, wraparound=False
"""The shared memory of TLS connections, compiled (see the plain twin).

A `Window` is a part of a block of memory that shows itself through the buffer protocol; moving it
costs nothing, where a slice of a memoryview is a new object. Whoever looks through it holds a
reference to what owns the memory, so nobody looks at freed memory: the window owns its block.

The sheet. Where much has arrived, its data is read into a `bytes` object that is not finished yet,
instead of being copied into one at the end. The window owns it, nobody else knows of it (OpenSSL
gives up the GIL while it writes there), and whoever looks through the window meanwhile refers to
it. `take` gives it away, cut to size; a look that has outlived its call would see the `bytes` of a
protocol, so in that case `take` gives away a copy.

The sheet is as long as the records, which data is not longer than, and what it is too long by stays
in its block. Cut by `realloc` it left a hole that was just too small for the next one, and heaps
grew by a quarter.

Why not always: for little data the copy is cheaper than cutting to size, and what is larger than
`_SHEET` comes, by malloc's default, from fresh pages of the kernel's, each of which costs more than
the copy of what it holds.
"""

import cython
from cython.cimports.cpython.buffer import PyBuffer_FillInfo
from cython.cimports.cpython.mem import PyMem_Free, PyMem_Malloc
from cython.cimports.cpython.object import PyObject
from cython.cimports.libc.string import memcpy
from cython.cimports.treadle._sys.python import (
    Py_CLEAR,
    PyBytes_AS_STRING,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
    bytes_cut,
    bytes_unfinished,
)

_RECORD_SIZE = cython.declare(cython.Py_ssize_t, 16 * 1024)
_INBOX_SIZE = cython.declare(cython.Py_ssize_t, 256 * 1024)
_PLAIN_SIZE = cython.declare(cython.Py_ssize_t, _INBOX_SIZE + 2 * _RECORD_SIZE)
_LARGE = cython.declare(cython.Py_ssize_t, 32 * 1024)  # from so much on a sheet is worth it
_SHEET = cython.declare(cython.Py_ssize_t, 128 * 1024 - 64)  # its size at most

RECORD_SIZE = _RECORD_SIZE
INBOX_SIZE = _INBOX_SIZE
PLAIN_SIZE = _PLAIN_SIZE


class Window:
    """A part, from `start` to `stop`, of a block of memory, or of the sheet that is laid on it."""

    def __cinit__(self, size: cython.Py_ssize_t):
        self.memory = cython.cast(cython.p_char, PyMem_Malloc(size))
        if self.memory == cython.NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self.memory)
        Py_CLEAR(self.sheet)

    def __getbuffer__(self, view: cython.pointer(cython.Py_buffer), flags: cython.int):
        if self.sheet == cython.NULL:
            PyBuffer_FillInfo(
                view, self, self.memory + self.start, self.stop - self.start, 0, flags
            )
        else:
            sheet = cython.cast(object, self.sheet)
            PyBuffer_FillInfo(
                view,
                sheet,
                PyBytes_AS_STRING(sheet) + self.start,
                self.stop - self.start,
                0,
                flags,
            )


class Part:
    """A part, from `start` to `stop`, of a `bytes` object, to read from."""

    def __getbuffer__(self, view: cython.pointer(cython.Py_buffer), flags: cython.int):
        if self.data is None:
            raise BufferError("nothing to show")
        PyBuffer_FillInfo(
            view,
            self.data,
            PyBytes_AS_STRING(self.data) + self.start,
            self.stop - self.start,
            1,
            flags,
        )


class Scratch:
    """Two buffers. What a method returns is valid until the same method is called again."""

    def __init__(self):
        self._inbox = Window(_INBOX_SIZE)
        self._plain = Window(_PLAIN_SIZE)
        self._part = Part()
        self._order = (RECORD_SIZE, self._plain)
        self.last = _PLAIN_SIZE - _RECORD_SIZE

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

    def header(self, index: cython.Py_ssize_t):
        """Return the header of a record, five bytes of the inbox: the first and the last two."""
        if not 0 <= index < _INBOX_SIZE - 4:
            raise IndexError(index)
        at: cython.p_uchar = cython.cast(cython.p_uchar, self._inbox.memory + index)
        return at[0] << 16 | at[3] << 8 | at[4]

    def load(self, data: bytes, start: cython.Py_ssize_t):
        """Copy what fits of ``data[start:]`` into the inbox; return the number of bytes."""
        count: cython.Py_ssize_t = PyBytes_GET_SIZE(data) - start
        if start < 0 or count <= 0:
            return 0
        if count > _INBOX_SIZE:
            count = _INBOX_SIZE
        memcpy(self._inbox.memory, PyBytes_AS_STRING(data) + start, count)
        return count

    def expect(self, count: cython.Py_ssize_t):
        """Begin with an empty plain buffer; `count` bytes of records will be read into it."""
        Py_CLEAR(self._plain.sheet)
        if _LARGE <= count <= _SHEET:
            self._plain.sheet = bytes_unfinished(count)
            self.last = count - 1
        else:
            self.last = _PLAIN_SIZE - _RECORD_SIZE

    def order(self, start: cython.Py_ssize_t):
        """Return what `read` of an SSL object is to be called with for the data of one record."""
        if not 0 <= start <= self.last:
            raise ValueError("not a part of the plain buffer")
        self._plain.start = start
        self._plain.stop = start + _RECORD_SIZE
        if self._plain.sheet != cython.NULL and self._plain.stop > self.last + 1:
            self._plain.stop = self.last + 1
        return self._order

    def take(self, count: cython.Py_ssize_t):
        """Return the first `count` bytes of the plain buffer, which is empty then."""
        sheet: cython.pointer(PyObject) = self._plain.sheet
        size: cython.Py_ssize_t = _PLAIN_SIZE if sheet == cython.NULL else self.last + 1
        if not 0 <= count <= size:
            raise ValueError("not a part of the plain buffer")
        if sheet == cython.NULL:
            return PyBytes_FromStringAndSize(self._plain.memory, count)
        self._plain.sheet = cython.NULL
        self.last = _PLAIN_SIZE - _RECORD_SIZE
        return bytes_cut(sheet, count)

    def part(self, data: bytes, start: cython.Py_ssize_t):
        """Return as much of ``data[start:]`` as fits into a record, as a buffer to read from."""
        rest: cython.Py_ssize_t = PyBytes_GET_SIZE(data) - start
        if not 0 <= start or rest < 0:
            raise ValueError("not a part of the data")
        self._part.data = data
        self._part.start = start
        self._part.stop = start + (_RECORD_SIZE if rest > _RECORD_SIZE else rest)
        return self._part

    def end_part(self):
        """Let go of what `part` was given."""
        self._part.data = None
