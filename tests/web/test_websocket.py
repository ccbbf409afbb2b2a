"""treadle's WebSocket protocol for uvicorn, seen from the application and from its peers."""

from __future__ import annotations

import asyncio
import struct

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.web.conftest import masked, opening, raw_connection, serving
from treadle.web import WebSocketProtocol
from treadle.web.websocket import READ_AHEAD


async def echo(scope, receive, send):
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", **{k: v for k, v in event.items() if k != "type"}})


@pytest.mark.parametrize("message", ["", "wörter", "x" * 125, "x" * 126, "x" * 70_000])
def test_a_text_comes_back(run, message):
    async def main():
        async with serving(echo) as address, connect(f"ws://{address}", proxy=None) as socket:
            await socket.send(message)
            assert await socket.recv() == message

    run(main)


def test_bytes_come_back_as_bytes(run):
    async def main():
        async with serving(echo) as address, connect(f"ws://{address}", proxy=None) as socket:
            await socket.send(b"\0\xff")
            assert await socket.recv() == b"\0\xff"

    run(main)


def test_a_message_in_pieces_is_received_whole(run):
    async def main():
        async with serving(echo) as address, connect(f"ws://{address}", proxy=None) as socket:
            await socket.send(["one ", "and ", "two"])
            assert await socket.recv() == "one and two"

    run(main)


def test_many_messages_keep_their_order_though_reading_pauses(run):
    async def main():
        async with serving(echo) as address, connect(f"ws://{address}", proxy=None) as socket:
            sent = [str(number) for number in range(READ_AHEAD * 20)]
            for text in sent:
                await socket.send(text)
            assert [await socket.recv() for _ in sent] == sent

    run(main)


def test_the_scope_tells_path_query_headers_and_subprotocols(run):
    seen = {}

    async def app(scope, receive, send):
        seen.update(scope)
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "two", "headers": [(b"x-a", b"b")]})
        await receive()

    async def main():
        async with (
            serving(app) as address,
            connect(
                f"ws://{address}/r%C3%BCm?a=1",
                subprotocols=["one", "two"],
                additional_headers={"X-Asked": "yes"},
                proxy=None,
            ) as socket,
        ):
            assert socket.subprotocol == "two"
            assert socket.response.headers["x-a"] == "b"

    run(main)
    assert seen["type"] == "websocket"
    assert seen["scheme"] == "ws"
    assert (seen["path"], seen["raw_path"]) == ("/rüm", b"/r%C3%BCm")
    assert seen["query_string"] == b"a=1"
    assert (b"x-asked", b"yes") in seen["headers"]
    assert seen["subprotocols"] == ["one", "two"]


def test_closing_before_accepting_refuses_with_403(run):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.close"})
        assert (await receive())["type"] == "websocket.disconnect"

    async def main():
        async with serving(app) as address:
            with pytest.raises(InvalidStatus) as caught:
                await connect(f"ws://{address}", proxy=None)
        assert caught.value.response.status_code == 403

    run(main)


def test_an_application_may_refuse_with_a_response_of_its_own(run):
    async def app(scope, receive, send):
        await receive()
        await send(
            {"type": "websocket.http.response.start", "status": 429, "headers": [(b"x-a", b"b")]}
        )
        await send({"type": "websocket.http.response.body", "body": b"too ", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"many"})

    async def main():
        async with serving(app) as address:
            with pytest.raises(InvalidStatus) as caught:
                await connect(f"ws://{address}", proxy=None)
        response = caught.value.response
        assert (response.status_code, response.body) == (429, b"too many")
        assert response.headers["x-a"] == "b"

    run(main)


def test_an_application_that_fails_before_accepting_answers_500(run):
    async def app(scope, receive, send):
        raise LookupError("no such thing")

    async def main():
        async with serving(app) as address:
            with pytest.raises(InvalidStatus) as caught:
                await connect(f"ws://{address}", proxy=None)
        assert caught.value.response.status_code == 500

    run(main)


def test_an_application_that_fails_later_closes_with_1011(run):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        raise LookupError("no such thing")

    async def main():
        async with serving(app) as address, connect(f"ws://{address}", proxy=None) as socket:
            await socket.send("now")
            with pytest.raises(ConnectionClosed) as caught:
                await socket.recv()
        assert caught.value.rcvd.code == 1011

    run(main)


@pytest.mark.parametrize("status", [200, 999])
def test_a_response_that_is_not_completed_becomes_500(run, status):
    async def app(scope, receive, send):
        await send({"type": "websocket.http.response.start", "status": status, "headers": []})
        if status == 999:  # there is no such status
            await send({"type": "websocket.http.response.body", "body": b""})

    async def main():
        async with serving(app) as address:
            with pytest.raises(InvalidStatus) as caught:
                await connect(f"ws://{address}", proxy=None)
        assert caught.value.response.status_code == 500

    run(main)


@pytest.mark.parametrize("code", [1005, 70000])
def test_a_close_code_that_there_is_not_is_an_error_of_the_application(run, code):
    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": code})

    async def main():
        async with serving(app) as address, connect(f"ws://{address}", proxy=None) as socket:
            with pytest.raises(ConnectionClosed) as caught:
                await socket.recv()
        assert caught.value.rcvd.code == 1011

    run(main)


def test_the_application_closes_with_its_code_and_reason(run):
    heard = []

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4321, "reason": "enough"})
        heard.append(await receive())

    async def main():
        async with serving(app) as address, connect(f"ws://{address}", proxy=None) as socket:
            with pytest.raises(ConnectionClosed) as caught:
                await socket.recv()
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4321, "enough")

    run(main)
    assert heard == [{"type": "websocket.disconnect", "code": 4321, "reason": "enough"}]


def test_the_application_hears_with_which_code_the_peer_left(run):
    heard = []

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        heard.append(await receive())
        heard.append(await receive())  # asked again, it is told again

    async def main():
        async with serving(app) as address, connect(f"ws://{address}", proxy=None) as socket:
            await socket.close(4002, "bye")

    run(main)
    assert heard == [{"type": "websocket.disconnect", "code": 4002, "reason": "bye"}] * 2


@pytest.mark.parametrize("how", ["reset", "end"])
def test_a_peer_that_vanishes_is_reported_as_1006(run, how):
    async def main():
        heard = asyncio.Queue()

        async def app(scope, receive, send):
            await receive()
            await send({"type": "websocket.accept"})
            heard.put_nowait(await receive())

        async with serving(app) as address:
            _, writer = await raw_connection(address)
            if how == "reset":
                writer.transport.abort()
            else:
                writer.close()
            await writer.wait_closed()
            assert (await heard.get())["code"] == 1006

    run(main)


@pytest.mark.parametrize(
    ("bytes_sent", "code"),
    [
        (masked(0x1, b"\xff"), 1007),
        (masked(0x0, b"x"), 1002),
        (masked(0x3, b"x"), 1002),
        (b"\x81\x01x", 1002),  # not masked
        (masked(0x1, b"x", fin=False) + masked(0x1, b"y"), 1002),
        (struct.pack("!BBQ4x", 0x81, 0xFF, 1 << 40), 1009),
    ],
)
def test_a_peer_that_breaks_the_rules_is_told_which(run, bytes_sent, code):
    async def main():
        async with serving(echo) as address:
            reader, writer = await raw_connection(address)
            writer.write(bytes_sent)
            answer = await reader.read()  # to the end: the connection is closed as well
            assert answer[0] == 0x88
            assert struct.unpack("!H", answer[2:4])[0] == code
            writer.close()

    run(main)


def test_nothing_that_follows_a_broken_text_is_received(run):
    heard = []

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        heard.append(await receive())
        heard.append(await receive())

    async def main():
        async with serving(app) as address:
            reader, writer = await raw_connection(address)
            writer.write(masked(0x1, b"\xff") + masked(0x1, b"late") + masked(0x8, b"\x03\xe8"))
            await reader.read()
            writer.close()

    run(main)
    assert [event["type"] for event in heard] == ["websocket.disconnect"] * 2
    assert heard[0]["code"] == 1007


def test_a_message_in_pieces_of_nothing_is_received_whole(run):
    async def main():
        async with serving(echo) as address:
            reader, writer = await raw_connection(address)
            pieces = [b"", b"a", *[b""] * 1000, b"b"]
            writer.write(masked(0x1, b"", fin=False))
            writer.write(b"".join(masked(0x0, piece, fin=False) for piece in pieces))
            writer.write(masked(0x0, b"c"))
            assert await reader.readexactly(5) == b"\x81\x03abc"
            writer.close()

    run(main)


def test_a_path_that_is_not_ascii_is_passed_on_or_refused(run):
    """Which of the two is for the HTTP parser to say."""
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["raw_path"])
        await receive()
        await send({"type": "websocket.close"})

    async def main():
        async with serving(app) as address:
            host, port = address.split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(opening(b"/\xff"))
            answer = await reader.read()
            assert answer.startswith((b"HTTP/1.1 403", b"HTTP/1.1 400"))
            writer.close()

    run(main)
    assert seen in ([b"/\xff"], [])


def test_a_ping_is_answered_with_its_payload(run):
    async def main():
        async with serving(echo) as address:
            reader, writer = await raw_connection(address)
            writer.write(masked(0x9, b"there?"))
            assert await reader.readexactly(8) == b"\x8a\x06there?"
            writer.close()

    run(main)


def test_a_peer_that_never_answers_pings_is_given_up(run):
    async def main():
        async with serving(echo, ws_ping_interval=0.02, ws_ping_timeout=0.02) as address:
            reader, writer = await raw_connection(address)
            answer = await reader.read()
            assert answer[0] == 0x89
            assert b"keepalive ping timeout" in answer
            writer.close()

    run(main)


def test_sending_after_the_peer_has_gone_ends_the_application_quietly(run):
    ended = []

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        assert (await receive())["type"] == "websocket.disconnect"
        try:
            await send({"type": "websocket.send", "text": "too late"})
        except OSError as error:
            ended.append(type(error).__name__)
            raise

    async def main():
        async with serving(app) as address, connect(f"ws://{address}", proxy=None):
            pass

    run(main)
    assert ended == ["ClientDisconnected"]


def test_a_send_that_waits_for_a_slow_reader_ends_when_the_reader_goes(run):
    ended = asyncio.Event()

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "bytes": bytes(1 << 20)})
        except OSError:
            ended.set()
            raise

    async def main():
        async with serving(app) as address:
            _, writer = await raw_connection(address)
            writer.transport.pause_reading()
            writer.transport.abort()
            await ended.wait()

    run(main)


def test_a_stopping_server_closes_with_1012(run):
    async def main():
        async with serving(echo) as address:
            socket = await connect(f"ws://{address}", proxy=None)
        with pytest.raises(ConnectionClosed) as caught:
            await socket.recv()
        assert caught.value.rcvd.code == 1012

    run(main)


def test_a_frame_made_once_is_written_to_all_connections(run):
    writers = []

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        writers.append(scope["extensions"]["treadle.websocket"])
        await receive()

    async def main():
        async with serving(app) as address:
            sockets = [await connect(f"ws://{address}", proxy=None) for _ in range(5)]
            for socket in sockets:
                await socket.ping()  # by now the application has accepted
            frame = WebSocketProtocol.frame("für alle".encode(), text=True)
            for writer in writers:
                writer.write(frame)
            assert [await socket.recv() for socket in sockets] == ["für alle"] * 5
            for socket in sockets:
                await socket.close()
            writers[0].write(frame)  # nobody is there: nothing happens

    run(main)


def test_a_slow_reader_makes_its_connection_alone_unwritable(run):
    writers = []
    told = []

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        writer = scope["extensions"]["treadle.websocket"]
        writer.on_writable(lambda: told.append(writer))
        writers.append(writer)
        await receive()

    async def main():
        async with serving(app) as address:
            slow, slow_end = await raw_connection(address)
            fast, fast_end = await raw_connection(address)
            slow_end.transport.pause_reading()
            frame = WebSocketProtocol.frame(bytes(60_000), text=False)
            sent = 0
            while writers[0].writable:
                writers[0].write(frame)
                sent += 1
            writers[1].write(frame)
            assert await fast.readexactly(len(frame)) == frame
            assert writers[1].writable
            assert not told
            slow_end.transport.resume_reading()
            for _ in range(sent):
                assert await slow.readexactly(len(frame)) == frame
            assert writers[0].writable
            assert told == [writers[0]]
            slow_end.close()
            fast_end.close()

    run(main)


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_frames_are_those_of_the_websockets_library(size):
    from websockets.frames import Frame, Opcode

    payload = bytes(size)
    for text, opcode in [(True, Opcode.TEXT), (False, Opcode.BINARY)]:
        expected = Frame(opcode, payload).serialize(mask=False)
        assert WebSocketProtocol.frame(payload, text) == expected
