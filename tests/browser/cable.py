"""A network cable between browser and server, that a test can pull out and plug in again."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset, and forgets what was not sent
CHUNK = 1 << 16


class Cable:
    """Passes on what comes to `port`; cut, it resets what is connected and lets nobody in."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._plugged = True
        self._lock = threading.Lock()
        self._ends: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Nothing passes any more, and what was under way is lost."""
        with self._lock:
            self._plugged = False
            for end in self._ends:
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    end.shutdown(socket.SHUT_RDWR)

    def restore(self) -> None:
        with self._lock:
            self._plugged = True

    def remove(self) -> None:
        """Cut it for good; returns when no thread is left."""
        self.cut()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _start(self, work, *values) -> None:
        thread = threading.Thread(target=work, args=values, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._connect, near)

    def _connect(self, near: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(near)
            with self._lock:
                far = self._far_end() if self._plugged else None
                if far is None:
                    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    return
                stack.enter_context(far)
                self._ends |= {near, far}
            back = threading.Thread(target=self._pass_on, args=(far, near), daemon=True)
            back.start()
            self._pass_on(near, far)
            back.join()
            with self._lock:
                self._ends -= {near, far}

    def _far_end(self) -> socket.socket | None:
        """A connection to the server; None when that is down."""
        try:
            return socket.create_connection(self._target)
        except OSError:
            return None

    @staticmethod
    def _pass_on(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
