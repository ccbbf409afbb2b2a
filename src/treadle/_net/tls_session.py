"""One TLS session between two memory BIOs: bytes in, bytes out; no transport and no protocol.

Facts. ``SSL_read`` returns data of one record at most. Where the incoming BIO holds no whole record
any more, it raises `ssl.SSLWantReadError`, and an exception costs as much as decrypting a
kilobyte. asyncio ends every message with one.

So the session counts records itself: a record's header is plaintext and tells its length (RFC 8446,
section 5.1), and OpenSSL takes from the BIO what a record needs and not a byte more. Whole records
are given to OpenSSL about one at a time, which also keeps the BIOs small (they never shrink), and a
record that has not come whole waits in the BIO and is not asked for. Only records that are no data
(tickets, key updates) still end in an exception.

What the counting relies on, and what if it does not hold: bytes that cannot be a record header
(another protocol, an SSL 2 greeting) end the counting for good (`_framed`), and from then on
OpenSSL is asked each time. `closing` does the same, because a shutdown reads ahead.

Memory: the bytes that arrive and the data in them lie in the loop's `Scratch`, within one call of
`receive`, `read` or `drop` and until `Scratch.take`.
"""

from __future__ import annotations

import ssl
from typing import Any

from treadle._net.scratch import RECORD_SIZE, Scratch

__all__ = ["TlsSession"]

_AGAIN = (ssl.SSLWantReadError, ssl.SSLSyscallError)  # nothing (more) to read for now
_ENDED = (ssl.SSLZeroReturnError,)  # the peer has said goodbye, and so have we

_HEADER = 5  # bytes: type, version (2), length (2)
_FIRST_TYPE = 20  # change_cipher_spec
_LAST_TYPE = 24  # heartbeat
_LONGEST = RECORD_SIZE + 2048  # of an encrypted record; RFC 5246, section 6.2.3


class TlsSession:
    """The TLS state of one connection.

    Invariant while `_framed`: `tail` bytes at the end of what the incoming BIO was given belong to
    a record that has not come whole.
    """

    def __init__(
        self, context: Any, server_side: bool, server_hostname: str | None, scratch: Scratch
    ) -> None:
        self.scratch = scratch
        self.incoming: Any = ssl.MemoryBIO()
        self.outgoing: Any = ssl.MemoryBIO()
        self.ssl_object: Any = context.wrap_bio(
            self.incoming,
            self.outgoing,
            server_side=server_side,
            server_hostname=server_hostname,
        )
        # what SSLObject hands on to, without a Python call in between; itself, should that be gone
        self.raw: Any = getattr(self.ssl_object, "_sslobj", self.ssl_object)
        # bound once: to look them up at each record is a tenth of what Python has in it
        self._put_in: Any = self.incoming.write
        self._take_out: Any = self.outgoing.read
        self._read: Any = self.raw.read
        self._write: Any = self.raw.write
        self.ended = False  # the peer has said goodbye (close_notify): it sends nothing more
        self.failure: BaseException | None = None  # what OpenSSL raised over what the peer sent
        self.more = False  # whole records may be in the BIO that nobody has read
        self.quiet = False  # the last `receive` was one record of data, and nothing else
        self.tail = 0
        self._inflates = False  # data may be longer than its record
        self._framed = True
        self._header = 0  # bytes of a header that have come; 0 within a record
        self._length = 0  # of the record whose header has come, or is coming
        self._missing = 0  # bytes of it that have not come
        self._records = 0  # whole records that `_whole` found last

    # handshake and farewell ----------------------------------------------------------------

    def handshake(self) -> bool:
        """Go on with the handshake; say whether it is done. Raises what makes it fail."""
        try:
            self.ssl_object.do_handshake()
        except _AGAIN:
            return False
        self.more = True
        self._inflates = self.raw.compression() is not None
        return True

    def goodbye(self) -> bool:
        """Say that we send nothing more (close_notify); say whether both sides have said so.

        After it `drop` is what to do with what still comes.
        """
        self._framed = False
        try:
            self.ssl_object.unwrap()
        except ssl.SSLError as exc:
            if isinstance(exc, _ENDED):
                self.ended = True
            elif not isinstance(exc, _AGAIN) and not _is_late_data(exc):
                raise
            return self.ended
        self.ended = True
        return True

    def drop(self) -> int:
        """Read what is there and forget it; return how much it was. For after `goodbye`."""
        dropped = 0
        while not self.ended and self.failure is None:
            count = self.read()
            if not count:
                break
            dropped += count
        return dropped

    # receiving -----------------------------------------------------------------------------

    def feed(self, count: int) -> bool:
        """Take `count` bytes from the inbox; say whether a whole record is among them."""
        whole = self._skip(0, count) > 0
        self._put_in(self.scratch.inbox(0, count))
        if whole:
            self.more = True
        return whole

    def receive(self, count: int) -> int:
        """Take `count` bytes from the inbox, read the data in them; return how much there is.

        It lies in the plain buffer. Sets `ended`, `failure` and `more`: look at them afterwards.
        """
        scratch = self.scratch
        alone = self._framed and not (self.more or self.tail or self._inflates)
        scratch.expect(count if alone else 0)
        start = 0
        used = 0
        rounds = 0
        counted = False  # `_whole` has seen the rest, which is no whole record
        self.quiet = False
        while start < count:
            stop = self._whole(start, count)
            if stop == start:
                counted = True
                break
            self._put_in(scratch.inbox(start, stop))
            start = stop
            rounds += 1
            if self._records == 1 and not self.more and used <= scratch.last:
                used += self._read_record(used)
            else:
                used += self._read_records(used)
            if self.more or self.ended or self.failure is not None:
                break
        if start < count:
            self.quiet = False
            if not counted and self._skip(start, count) > start:
                self.more = True
            self._put_in(scratch.inbox(start, count))
        elif rounds > 1:
            self.quiet = False
        return used

    def read(self) -> int:
        """Read the data that the incoming BIO holds; return how much there is (see `receive`)."""
        self.scratch.expect(0)
        return self._read_records(0)

    def fill(self, buffer: Any) -> int:
        """Read data into a user's buffer; return how much, 0 when there is none for now."""
        view = memoryview(buffer)
        if view.format != "B" or view.ndim != 1:
            view = view.cast("B")
        size = view.nbytes
        used = 0
        self.more = True
        while used < size:
            if self._is_dry() and not self.raw.pending():
                self.more = False
                break
            try:
                count = self.raw.read(size - used, view[used:] if used else view)
            except _AGAIN:
                self.more = False
                break
            except _ENDED:
                self.ended = True
                break
            except ssl.SSLError as exc:
                self.failure = exc
                break
            if not count:
                self.ended = True
                break
            used += count
        return used

    def _read_record(self, used: int) -> int:
        """Read the one record that the BIO holds; usually it is data, and then nothing is left."""
        try:
            count: int = self._read(*self.scratch.order(used))
        except _AGAIN:
            return 0
        except _ENDED:
            self.ended = True
            return 0
        except ssl.SSLError as exc:
            self.failure = exc
            return 0
        if count:
            self.quiet = True
        else:
            self.ended = True
        return count

    def _read_records(self, used: int) -> int:
        """Read data, `used` bytes into the plain buffer, until the BIO or the room runs out."""
        scratch = self.scratch
        start = used
        self.more = True
        while used <= scratch.last:
            if self._is_dry():
                self.more = False
                break
            try:
                count = self._read(*scratch.order(used))
            except _AGAIN:
                self.more = False
                break
            except _ENDED:
                self.ended = True
                break
            except ssl.SSLError as exc:
                self.failure = exc
                break
            if not count:
                self.ended = True
                break
            used += count
        return used - start

    def _is_dry(self) -> bool:
        """Say that there is no whole record in the BIO; may be wrong when not `_framed`."""
        if not self._framed:
            return False
        pending: int = self.incoming.pending
        return pending <= self.tail

    def _skip(self, start: int, count: int) -> int:
        """Count the records in a part of the inbox; return where the last whole one ends."""
        while True:
            stop = self._whole(start, count)
            if stop == start:
                return stop
            start = stop

    def _whole(self, start: int, count: int) -> int:
        """Return where whole records end that begin, or go on, at `start`: some 16 KiB of them.

        The bytes up to there are counted. `start` itself when no record ends before `count`; then
        all bytes are.
        """
        self._records = 0
        if not self._framed:
            self._records = 2  # or more: nobody knows
            return count
        scratch = self.scratch
        at = start
        whole = start
        while at < count:
            if self._missing == 0:
                if self._header == 0 and count - at >= _HEADER:
                    at = self._read_whole_header(scratch, at)
                else:
                    at = self._read_header(scratch, at, count)
                if not self._framed:
                    self._records = 2
                    return count
                if self._header:
                    break
            step = min(self._missing, count - at)
            at += step
            self._missing -= step
            if self._missing == 0:
                self._records += 1
                whole = at
                if whole - start >= RECORD_SIZE:
                    break
        if whole > start:  # what came after it is for the next call to count
            self._header = 0
            self._missing = 0
        self.tail = self._header if self._header else self._partial()
        return whole

    def _partial(self) -> int:
        return _HEADER + self._length - self._missing if self._missing else 0

    def _read_whole_header(self, scratch: Scratch, at: int) -> int:
        """Read a header that has come whole, as nearly all do; return where it ends."""
        value = scratch.header(at)
        kind = value >> 16
        length = value & 0xFFFF
        if _FIRST_TYPE <= kind <= _LAST_TYPE and 0 < length <= _LONGEST:
            self._length = length
            self._missing = length
        else:
            self._give_up()
        return at + _HEADER

    def _read_header(self, scratch: Scratch, at: int, count: int) -> int:
        """Read header bytes from `at` on; `_header` is 0 again when the header is complete."""
        while at < count:
            value = scratch.inbox_byte(at)
            at += 1
            if self._header == 0 and not _FIRST_TYPE <= value <= _LAST_TYPE:
                self._give_up()
                return at
            if self._header == 3:
                self._length = value << 8
            elif self._header == 4:
                self._length |= value
                self._missing = self._length
                self._header = 0
                if self._length == 0 or self._length > _LONGEST:
                    self._give_up()
                return at
            self._header += 1
        return at

    def _give_up(self) -> None:
        """Count no longer: this is no TLS, or none that we understand. OpenSSL will tell."""
        self._framed = False
        self._header = 0
        self._missing = 0
        self.tail = 0

    # sending -------------------------------------------------------------------------------

    def seal(self, data: Any) -> int:
        """Encrypt what fits into one record; return how much that was, 0 if not now.

        "Not now": the peer has asked to negotiate again, and has to answer first (TLS 1.2). What is
        encrypted lies in `outgoing`. Raises OSError when the session is broken.
        """
        try:
            count: int = self._write(data)
        except _AGAIN:
            return 0
        return count

    def seal_part(self, data: bytes, start: int) -> int:
        """Encrypt what fits into one record of ``data[start:]``; see `seal`."""
        scratch = self.scratch
        try:
            return self.seal(scratch.part(data, start))
        finally:
            scratch.end_part()

    def sealed(self) -> bytes:
        """Return what is to be sent, and has not been returned before."""
        data: bytes = self._take_out()
        return data


def _is_late_data(exc: ssl.SSLError) -> bool:
    """Say that a shutdown met data which the peer had sent before it heard of it."""
    return exc.reason == "APPLICATION_DATA_AFTER_CLOSE_NOTIFY"
