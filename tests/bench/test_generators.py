"""The load generators for real programs: a server that answers wrongly fails instead of winning."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from contextlib import contextmanager

import pytest
from bench import compiler

PATIENCE = 30
CROWD = 3
UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


def program(name):
    built = compiler.build(name)
    if built.path is None:
        pytest.skip(f"{name}: {built.obstacle}")
    return built.path


@contextmanager
def server(serve):
    """Each connection in a thread of its own; `serve` gets the socket and all of them so far."""
    connections = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept():
            while True:
                try:
                    made, _ = listener.accept()
                except OSError:
                    return
                connections.append(made)
                threads.append(threading.Thread(target=guarded, args=(made,)))
                threads[-1].start()

        def guarded(made):
            with made:
                try:
                    serve(made, connections)
                except OSError:  # the generator has ended
                    pass

        threads = [threading.Thread(target=accept)]
        threads[0].start()
        yield str(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(PATIENCE)


def load(name, port, *parameters, seconds=0.5):
    """What a generator has to say after so much load, or as soon as something is wrong."""
    command = [program(name), port, *parameters, "0", str(seconds), str(os.getpid())]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=2 * PATIENCE, check=False
    )
    return json.loads(done.stdout)


def requests(made):
    """Answers must wait for whole requests, which may come in pieces."""
    data = b""
    while got := made.recv(65536):
        data += got
        while b"\r\n\r\n" in data:
            _, _, data = data.partition(b"\r\n\r\n")
            yield


def http(*responses):
    """A server that gives these responses in turn, over and over."""

    def serve(made, connections):
        for number, _ in enumerate(requests(made)):
            made.sendall(responses[number % len(responses)])

    return serve


def response(body, status=b"200 OK", length=True):
    told = b"Content-Length: %d\r\n" % len(body) if length else b""
    return b"HTTP/1.1 " + status + b"\r\n" + told + b"\r\n" + body


def test_http_responses_are_counted():
    with server(http(response(b"hello"))) as port:
        facts = load("http_load", port, "2", "/")
    assert facts["messages"] > 0
    assert facts["p50_us"] <= facts["p90_us"] <= facts["p99_us"]


@pytest.mark.parametrize(
    ("responses", "complaint"),
    [
        ([response(b"hello"), response(b"hellO")], "another body"),
        ([response(b"hello"), response(b"hell")], "another body"),
        ([response(b"hello"), response(b"hello", b"500 Oh")], "another status"),
        ([response(b"hello", length=False)], "its length"),
        ([response(b"hello") + b"!"], "more came back"),
        ([response(b"")], "another body"),
    ],
)
def test_a_wrong_http_response_is_an_error(responses, complaint):
    with server(http(*responses)) as port:
        assert complaint in load("http_load", port, "1", "/", seconds=PATIENCE)["error"]


def broadcast(change):
    """A server over WebSockets that tells all what it hears, changed, without its mask."""

    def serve(made, connections):
        questions = requests(made)
        next(questions)
        made.sendall(UPGRADE)
        while frame := made.recv(65536):
            size = frame[1] & 0x7F
            mask, payload = frame[2:6], frame[6:]
            plain = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
            for number, other in enumerate(connections):
                other.sendall(bytes([frame[0], size]) + change(number, plain))

    return serve


def test_deliveries_are_counted():
    with server(broadcast(lambda number, payload: payload)) as port:
        facts = load("broadcast_load", port, str(CROWD), "100")
    assert facts["messages"] > 0


@pytest.mark.parametrize(
    "change",
    [
        lambda number, payload: payload[:-1] + b"?" if number == 1 else payload,
        lambda number, payload: payload + payload if number == 1 else payload,
    ],
)
def test_a_wrong_delivery_is_an_error(change):
    with server(broadcast(change)) as port:
        facts = load("broadcast_load", port, str(CROWD), "100", seconds=PATIENCE)
    assert "other bytes were delivered" in facts["error"]
