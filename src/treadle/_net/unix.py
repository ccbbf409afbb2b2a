"""Unix sockets: connecting to a path, serving one, and the file that a server leaves there.

A server's path outlives its socket. So the next server finds a file there, and removes it when it
is a socket: nobody can listen on it any more, or somebody is robbed of the name, which the kernel
would not prevent either. A path that was bound is removed on close only while it still leads to the
same file. Abstract names (a zero byte in front) have no file.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from treadle._core.log import logger

if TYPE_CHECKING:
    from treadle._net.server import Server

__all__ = ["SocketFile", "UnixMethods", "remove_stale_socket"]

_CLEANS_UP = sys.version_info >= (3, 13)  # what this Python's asyncio does without being asked
_SHORTEST_REST = 0.001  # seconds between attempts while a server's backlog is full
_LONGEST_REST = 0.05


class UnixMethods:
    """Mixed into the loop; signatures and exceptions are those of asyncio."""

    async def create_unix_connection(
        self,
        protocol_factory: Callable[[], Any],
        path: Any = None,
        *,
        ssl: Any = None,
        sock: Any = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[Any, Any]:
        """Connect to `path`, or take the connected `sock`; return (transport, protocol).

        `path` is str, bytes or a path object; a zero byte in front makes it an abstract name.
        Raises OSError when nobody listens there. A cancellation closes what was opened.
        """
        from treadle._net.connect import start_on_socket
        from treadle._net.methods import _check_tls_arguments, _layer

        _check_tls_arguments(ssl, ssl_handshake_timeout, ssl_shutdown_timeout, server_hostname)
        if ssl and server_hostname is None:
            raise ValueError("you have to pass server_hostname when using ssl")
        layer = _layer(ssl, False, server_hostname, ssl_handshake_timeout, ssl_shutdown_timeout)
        if path is None:
            if sock is None:
                raise ValueError("no path and sock were specified")
            _check_unix_stream(sock)
            return await start_on_socket(self, protocol_factory, sock, layer)
        if sock is not None:
            raise ValueError("path and sock can not be specified at the same time")
        sock = await _connected(os.fspath(path))
        try:
            return await start_on_socket(self, protocol_factory, sock, layer)
        except BaseException:
            sock.close()  # a transport that was made holds it until its end
            raise

    async def create_unix_server(
        self,
        protocol_factory: Callable[[], Any],
        path: Any = None,
        *,
        sock: Any = None,
        backlog: int = 100,
        ssl: Any = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
        cleanup_socket: bool = _CLEANS_UP,
    ) -> Server:
        """Listen at `path`, or on `sock`.

        A socket that an earlier server has left at `path` is removed first. With `cleanup_socket`
        ours is removed when the server is closed (the default from Python 3.13 on). Raises OSError
        when the path cannot be bound; then nothing is left open.
        """
        from treadle._net.listen import serve
        from treadle._net.methods import _check_tls_arguments, _layer

        if isinstance(ssl, bool):
            raise TypeError("ssl argument must be an SSLContext or None")
        _check_tls_arguments(ssl, ssl_handshake_timeout, ssl_shutdown_timeout, None)
        layer = _layer(ssl, True, None, ssl_handshake_timeout, ssl_shutdown_timeout)
        ours = path is not None
        if path is not None:
            if sock is not None:
                raise ValueError("path and sock can not be specified at the same time")
            sock = _bound(os.fspath(path))
        elif sock is None:
            raise ValueError("path was not specified, and no sock specified")
        else:
            _check_unix_stream(sock)
        try:
            file = SocketFile(sock) if cleanup_socket else None
        except BaseException:
            if ours:
                sock.close()
            raise
        return await serve(
            self,
            [sock],
            protocol_factory,
            layer,
            backlog=backlog,
            start_serving=start_serving,
            ours=ours,
            file=file,
        )


class SocketFile:
    """The file that a bound socket has made, to be removed when the server is closed."""

    def __init__(self, sock: Any) -> None:
        self.path: Any = sock.getsockname()
        self.identity: tuple[int, int] | None = None  # None: there is no file
        if self.path and not _is_abstract(self.path):
            try:
                self.identity = _identity(self.path)
            except OSError:
                pass  # gone or out of reach already

    def remove(self) -> None:
        """Remove the file, unless somebody has put another one there."""
        if self.identity is None:
            return
        try:
            if _identity(self.path) == self.identity:
                os.unlink(self.path)
        except FileNotFoundError:
            pass
        except OSError as exc:
            logger.error("Unable to clean up listening UNIX socket %r: %r", self.path, exc)


def remove_stale_socket(path: Any) -> None:
    """Remove the socket at `path`, if there is one; what is no socket stays."""
    if _is_abstract(path):
        return
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.remove(path)
    except FileNotFoundError:
        pass
    except OSError as exc:
        # the directory may allow to make files only; then `bind` tells what is wrong
        logger.error("Unable to check or remove stale UNIX socket %r: %r", path, exc)


def _identity(path: Any) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _is_abstract(path: Any) -> bool:
    return bool(path) and path[0] in (0, "\0")


def _check_unix_stream(sock: Any) -> None:
    if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
        raise ValueError(f"A UNIX Domain Stream Socket was expected, got {sock!r}")


def _bound(path: Any) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        remove_stale_socket(path)
        sock.bind(path)
    except OSError as exc:
        sock.close()
        if exc.errno != errno.EADDRINUSE:
            raise
        raise OSError(errno.EADDRINUSE, f"Address {path!r} is already in use") from None
    except BaseException:
        sock.close()
        raise
    return sock


async def _connected(path: Any) -> socket.socket:
    """Return a socket that is connected to `path`.

    The kernel connects at once, or not at all: EAGAIN says that the server's backlog is full, and
    no event tells when it has room (connect(2), unix(7)). So the attempt is repeated, less and less
    often, until it succeeds or is cancelled.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        rest = _SHORTEST_REST
        while True:
            try:
                sock.connect(path)
                return sock
            except (BlockingIOError, InterruptedError):
                await asyncio.sleep(rest)
                rest = min(2 * rest, _LONGEST_REST)
    except BaseException:
        sock.close()
        raise
