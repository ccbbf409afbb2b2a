"""The sending half of TLS: encrypting, holding back, flow control.

What is encrypted goes to the transport below at once and waits, if it must, in that one's buffer.
So there is one queue, in one order, and the marks of the flow control are that one's. Only before
the handshake is done, and while the peer negotiates anew (TLS 1.2), does data wait here.

Hazard: sending may cross a mark, and then the protocol is called and may write, close or abort. So
all that one call of `write` encrypts is handed over in one piece, and the protocol is called last.
"""

from __future__ import annotations

from contextvars import Context
from typing import Any

from treadle._core.invoke import invoke_method
from treadle._core.log import logger
from treadle._net.buffer import as_bytes
from treadle._net.scratch import RECORD_SIZE
from treadle._net.tcp import StreamTransport
from treadle._net.tls_session import TlsSession
from treadle._net.upper import Upper

__all__ = ["CLOSING", "HANDSHAKE", "LOST", "OPEN", "SHUTTING", "TlsSending"]

HANDSHAKE = 0  # what the states are is told in tls.py
OPEN = 1
SHUTTING = 2
CLOSING = 3
LOST = 4

_HANDSHAKE = HANDSHAKE
_OPEN = OPEN
_SHUTTING = SHUTTING
_LOST = LOST

_SMALL = RECORD_SIZE  # bytes that fit into one record
_SILENT_WRITES = 5  # writes on a lost connection before a warning is logged, as in asyncio

_LOWER_FULL = 1  # bits of `_full`: why the protocol was asked to pause
_HELD_FULL = 2


class TlsSending(Upper):
    """What `TlsTransport` is made of, as far as it sends."""

    def __init__(self, loop: Any, context: Context, session: TlsSession, known: bool) -> None:
        self._loop = loop
        self._context = context  # what protocol methods run in
        self._session = session
        self._state = HANDSHAKE
        self._known = known  # the protocol has heard connection_made
        self._full = 0  # why the protocol was asked to pause
        self._held: list[bytes] | None = None  # what cannot be encrypted yet
        self._held_size = 0
        self._lost_writes = 0  # writes since the connection was lost
        self._lower: Any = None  # the transport below
        self._stream: StreamTransport | None = None  # the same, where it is of this kind
        self._protocol: Any = None  # None again after connection_lost

    def _fatal_error(self, exc: BaseException, message: str = "Fatal error on transport") -> None:
        raise NotImplementedError

    def _report(self, exc: BaseException, message: str) -> None:
        raise NotImplementedError

    # sending -------------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        """Encrypt bytes and send them; what cannot be sent now is buffered. Never blocks."""
        if type(data) is bytes:
            if len(data) <= _SMALL and self._state == _OPEN and self._held is None:
                self._write_small(data)
                return
        elif not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(
                f"data argument must be a bytes-like object, not {type(data).__name__!r}"
            )
        self._write_pieces([as_bytes(data)])

    def writelines(self, list_of_data: Any) -> None:
        """Send several pieces of bytes; small ones share a record."""
        self._write_pieces(_joined([as_bytes(data) for data in list_of_data]))

    def write_eof(self) -> None:
        """Raise NotImplementedError: TLS in asyncio has no half-closed connections."""
        raise NotImplementedError

    def can_write_eof(self) -> bool:
        """Say that half-closing is not possible."""
        return False

    def _write_small(self, data: bytes) -> None:
        """Encrypt what fits into one record."""
        size = len(data)
        if not size:
            return
        try:
            count = self._session.seal(data)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._fatal_error(exc, "Fatal error on SSL protocol")
            return
        if count == size:
            self._send(self._session.sealed())
        else:  # the peer negotiates anew, or has asked for short records
            self._write_pieces([data[count:]])

    def _write_pieces(self, pieces: list[bytes]) -> None:
        """Encrypt pieces of any size, or hold them where that cannot be done now."""
        if not pieces:
            return
        if self._state >= _SHUTTING:
            self._count_lost_write()
            return
        if self._state == _HANDSHAKE or self._held is not None:
            self._hold(pieces, 0, 0)
            self._note_held()
            return
        chunks: list[bytes] = []
        try:
            self._seal_pieces(pieces, chunks)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._fatal_error(exc, "Fatal error on SSL protocol")
            return
        self._send_many(chunks)
        self._note_held()

    def _seal_pieces(self, pieces: list[bytes], chunks: list[bytes]) -> None:
        """Encrypt pieces into `chunks`; hold what cannot be encrypted now."""
        session = self._session
        for i, piece in enumerate(pieces):
            size = len(piece)
            offset = 0
            while offset < size:
                if size <= _SMALL and not offset:
                    count = session.seal(piece)
                else:
                    count = session.seal_part(piece, offset)
                chunk = session.sealed()
                if chunk:
                    chunks.append(chunk)
                if not count:
                    self._hold(pieces, i, offset)
                    return
                offset += count

    def _hold(self, pieces: list[bytes], first: int, offset: int) -> None:
        """Keep pieces, from `offset` in the `first` on, until they can be encrypted."""
        if self._held is None:
            self._held = []
        rest = [pieces[first][offset:] if offset else pieces[first], *pieces[first + 1 :]]
        self._held += [piece for piece in rest if piece]
        self._held_size = sum(map(len, self._held))

    def _note_held(self) -> None:
        """Ask the protocol to pause when too much is held."""
        if self._held is not None and self._held_size > self.get_write_buffer_limits()[1]:
            self._become_full(_HELD_FULL)

    def _retry(self) -> None:
        """Encrypt what was held."""
        held, self._held = self._held, None
        self._held_size = 0
        if not held:
            return
        chunks: list[bytes] = []
        try:
            self._seal_pieces(held, chunks)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._fatal_error(exc, "Fatal error on SSL protocol")
            return
        self._send_many(chunks)
        if self._held is None:
            self._become_free(_HELD_FULL)

    def _drop_held(self) -> None:
        self._held = None
        self._held_size = 0

    def _send_many(self, chunks: list[bytes]) -> None:
        if len(chunks) == 1:
            self._send(chunks[0])
        elif chunks:
            if self._stream is not None:
                self._stream._put_many(chunks)
            else:
                self._lower.writelines(chunks)

    def _send(self, data: bytes) -> None:
        if self._stream is not None:
            self._stream._put(data, len(data))
        else:
            self._lower.write(data)

    def _flush(self) -> None:
        """Send what OpenSSL has to say by itself."""
        if self._session.outgoing.pending:
            self._send(self._session.sealed())

    def _count_lost_write(self) -> None:
        if self._lost_writes >= _SILENT_WRITES:
            logger.warning("SSL connection is closed")
        self._lost_writes += 1

    # flow control --------------------------------------------------------------------------

    def lower_paused(self) -> None:
        """Hear that the transport below holds much; runs in the writer's context.

        After `close` the protocol is not asked to pause any more: it cannot write.
        """
        if self._state < _SHUTTING:
            self._become_full(_LOWER_FULL)

    def lower_resumed(self) -> None:
        """Hear that the transport below holds little again."""
        self._become_free(_LOWER_FULL)

    def _learn_marks(self) -> None:
        """Find out whether the transport below has asked the protocol to pause already."""
        if self._stream is not None:
            buffer = self._stream._buffer
            if buffer is not None and buffer.paused:
                self._full |= _LOWER_FULL
        elif getattr(self._lower, "_protocol_paused", False):
            self._full |= _LOWER_FULL

    def _become_full(self, why: int) -> None:
        """Ask the protocol to pause, if it is not paused for another reason."""
        before = self._full
        self._full = before | why
        if before or not self._known or self._state == _LOST:
            return
        try:
            self._protocol.pause_writing()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._report(exc, "protocol.pause_writing() failed")

    def _become_free(self, why: int) -> None:
        """Ask the protocol to resume, if nothing else keeps it paused."""
        before = self._full
        self._full = before & ~why
        if not before or self._full or not self._known or self._state == _LOST:
            return
        try:
            invoke_method(self._context, self._protocol, "resume_writing")
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as exc:
            self._report(exc, "protocol.resume_writing() failed")

    @property
    def _protocol_paused(self) -> bool:
        return self._full != 0

    def get_write_buffer_size(self) -> int:
        """Return the number of bytes that wait to be sent, most of them encrypted already."""
        below: int = self._lower.get_write_buffer_size()
        return self._held_size + below

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low and the high mark in bytes."""
        limits: tuple[int, int] = self._lower.get_write_buffer_limits()
        return limits

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks, in bytes, at which the protocol is asked to pause and to resume."""
        self._lower.set_write_buffer_limits(high, low)


def _joined(pieces: list[bytes]) -> list[bytes]:
    """Join small pieces into such as fill a record."""
    joined: list[bytes] = []
    small: list[bytes] = []
    size = 0
    for piece in pieces:
        if small and size + len(piece) > _SMALL:
            joined.append(b"".join(small))
            small = []
            size = 0
        if len(piece) >= _SMALL:
            joined.append(piece)
        elif piece:
            small.append(piece)
            size += len(piece)
    if small:
        joined.append(b"".join(small))
    return joined
