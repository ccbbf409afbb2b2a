"""Connecting: resolve, race, wrap, start."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from itertools import chain, zip_longest
from typing import Any

from treadle._core.invoke import current_context
from treadle._net.layers import Layer, check_not_tls, wrap_socket
from treadle._net.resolve import resolve

__all__ = ["connect_socket", "create_connection", "interleave", "staggered", "start_on_socket"]


async def create_connection(
    loop: Any,
    protocol_factory: Callable[[], Any],
    host: Any,
    port: Any,
    layer: Layer | None,
    *,
    family: int,
    proto: int,
    flags: int,
    sock: Any,
    local_addr: Any,
    delay: float | None,
    interleave_by: int | None,
    all_errors: bool,
) -> tuple[Any, Any]:
    """Do the work of ``loop.create_connection``; its arguments have been checked for sense."""
    if sock is None:
        remote = await _resolved(loop, (host, port), family, proto, flags)
        local = None
        if local_addr is not None:
            local = await _resolved(loop, local_addr, family, proto, flags)
        if delay is not None:
            delay = max(delay, 0)  # TypeError for what is no number, also with a single address
            interleave_by = 1 if interleave_by is None else interleave_by
        if interleave_by:
            remote = interleave(remote, interleave_by)
        sock = await _first_connected(loop, remote, local, delay, all_errors)
        try:
            return await start_on_socket(loop, protocol_factory, sock, layer)
        except BaseException:
            sock.close()  # a transport that was made keeps the descriptor until its own end
            raise
    check_not_tls(sock)
    return await start_on_socket(loop, protocol_factory, sock, layer)


async def start_on_socket(
    loop: Any, protocol_factory: Callable[[], Any], sock: Any, layer: Layer | None
) -> tuple[Any, Any]:
    """Put a protocol and a transport on a connected socket and wait until both have begun."""
    sock.setblocking(False)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            pass  # not TCP
    protocol = protocol_factory()
    waiter = loop.create_future()
    transport = wrap_socket(loop, sock, protocol, current_context(), layer, waiter)
    try:
        await waiter
    except BaseException:
        transport.close()
        raise
    return transport, protocol


async def _resolved(loop: Any, address: Any, family: int, proto: int, flags: int) -> list[Any]:
    infos = await resolve(
        loop, address, family=family, type=socket.SOCK_STREAM, proto=proto, flags=flags
    )
    if not infos:
        raise OSError("getaddrinfo() returned empty list")
    return infos


async def _first_connected(
    loop: Any, remote: list[Any], local: list[Any] | None, delay: float | None, all_errors: bool
) -> Any:
    """Return a socket connected to one of the addresses, or raise what all the attempts raised."""
    attempts = [_attempt(loop, info, local) for info in remote]
    if delay is None:
        sock, failures = await one_by_one(attempts)
    else:
        sock, failures = await staggered(attempts, delay)
    if sock is not None:
        return sock
    errors: list[Any] = list(chain.from_iterable(_leaves(exc) for exc in failures))
    try:
        if all_errors:
            raise ExceptionGroup("create_connection failed", errors)
        if len({str(exc) for exc in errors}) == 1:
            raise errors[0]
        raise OSError(f"Multiple exceptions: {', '.join(str(exc) for exc in errors)}")
    finally:
        failures = errors = []  # the traceback holds this frame, the frame must not hold them


def _attempt(loop: Any, info: Any, local: list[Any] | None) -> Callable[[], Awaitable[Any]]:
    return lambda: connect_socket(loop, info, local)


def _leaves(exc: BaseException) -> tuple[Any, ...]:
    return exc.exceptions if isinstance(exc, ExceptionGroup) else (exc,)


async def connect_socket(loop: Any, info: Any, local: list[Any] | None) -> socket.socket:
    """Make a socket for one address info, bind it if asked to, and connect it."""
    family, kind, proto, _, address = info
    sock = socket.socket(family, kind, proto)
    try:
        sock.setblocking(False)
        if local is not None:
            _bind(sock, family, local)
        await loop.sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind(sock: socket.socket, family: int, local: list[Any]) -> None:
    errors: list[Exception] = []
    for info in local:
        if info[0] != family:
            continue
        try:
            sock.bind(info[4])
            return
        except OSError as exc:
            text = f"error while attempting to bind on address {info[4]!r}: {str(exc).lower()}"
            errors.append(OSError(exc.errno, text))
    if not errors:
        raise OSError(f"no matching local address with family={family!r} found")
    if len(errors) == 1:
        raise errors[0]
    raise ExceptionGroup("bind failed", errors)


def interleave(infos: list[Any], first_family_count: int) -> list[Any]:
    """Order addresses by turns between families, the first family `first_family_count` ahead.

    RFC 8305, section 4.
    """
    families: dict[int, list[Any]] = {}
    for info in infos:
        families.setdefault(info[0], []).append(info)
    lists = list(families.values())
    head, lists[0] = lists[0][: first_family_count - 1], lists[0][first_family_count - 1 :]
    rounds = chain.from_iterable(zip_longest(*lists))
    return head + [info for info in rounds if info is not None]


async def one_by_one(
    attempts: list[Callable[[], Awaitable[Any]]],
) -> tuple[Any, list[Exception]]:
    """Make the attempts in turn; return the first result, or None and what all of them raised."""
    failures: list[Exception] = []
    for attempt in attempts:
        try:
            return await attempt(), []
        except (OSError, ExceptionGroup) as exc:
            failures.append(exc)
    try:
        return None, failures
    finally:
        failures = []  # their tracebacks hold this frame, the frame must not hold them


async def staggered(
    attempts: list[Callable[[], Awaitable[Any]]], delay: float | None
) -> tuple[Any, list[Exception]]:
    """Start the attempts one after the other until one succeeds; cancel the rest.

    The next one starts when the last one has failed, or `delay` seconds after it began (RFC 8305,
    section 5; without a delay only after a failure). Returns the first result, or None and every
    exception in the order of the attempts. A cancellation cancels all attempts and waits for them.
    """
    running: list[asyncio.Task[Any]] = []
    winner: asyncio.Task[Any] | None = None
    failures: dict[int, Exception] = {}
    pending: set[asyncio.Task[Any]] = set()
    try:
        while winner is None and (pending or len(running) < len(attempts)):
            if len(running) < len(attempts):
                task = asyncio.ensure_future(attempts[len(running)]())
                running.append(task)
                pending.add(task)
            more = len(running) < len(attempts)
            done, pending = await asyncio.wait(
                pending,
                timeout=delay if more else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            winner = _collect(done, running, failures)
    finally:
        for task in running:
            if task is winner:
                continue
            if task.done():
                _dispose(task)
            else:
                task.cancel()
                task.add_done_callback(_dispose)
        if pending:
            await asyncio.wait(pending)
    if winner is not None:
        return winner.result(), []
    return None, [failures[i] for i in sorted(failures)]


def _collect(done: Any, running: list[Any], failures: dict[int, Exception]) -> Any:
    winner = None
    for task in done:
        exc = task.exception()
        if exc is None:
            winner = task
        elif isinstance(exc, Exception):
            failures[running.index(task)] = exc
        else:
            raise exc
    return winner


def _dispose(task: Any) -> None:
    """Close what a losing attempt has brought after all."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
