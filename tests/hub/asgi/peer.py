"""An ASGI server and a client in one, without a network, for the tests of endpoints."""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64encode

import msgspec


class Line:
    """The server's extension: frames are text or bytes with a mark before them."""

    def __init__(self):
        self.writable = True
        self.written = []
        self.made = 0
        self.callback = None

    def frame(self, payload, text):
        self.made += 1
        return (b"T" if text else b"B") + payload

    def write(self, data):
        self.written.append(data)

    def on_writable(self, callback):
        self.callback = callback

    def resume(self):
        self.writable = True
        self.callback()

    def take(self):
        frames = [json.loads(data[1:]) for data in self.written]
        self.written.clear()
        return frames


class Peer:
    """Runs an endpoint for one connection. `stopped`: it reads nothing; `gone`: it is away."""

    def __init__(self, endpoint, *, subprotocols=(), headers=(), query="", line=None, **scope):
        self.events = asyncio.Queue()
        self.sent = []  # what the endpoint sent, and the test did not take
        self.arrived = asyncio.Event()
        self.reading = asyncio.Event()
        self.reading.set()
        self.gone = False
        self.sending = 0  # calls of `send` that wait
        self.line = line
        self.msgpack = "treadle.msgpack" in subprotocols
        self.scope = {
            "type": "websocket",
            "path": "/hub",
            "query_string": query.encode(),
            "headers": [(b"host", b"a.example"), *headers],
            "client": ("127.0.0.1", 1),
            "subprotocols": list(subprotocols),
            "extensions": {} if line is None else {"treadle.websocket": line},
            **scope,
        }
        self.ids = 0
        self.task = asyncio.ensure_future(endpoint(self.scope, self.events.get, self.send))

    async def send(self, event):
        if self.gone:
            raise OSError("the client is gone")
        self.sending += 1
        await self.reading.wait()
        self.sending -= 1
        if self.gone:
            raise OSError("the client went away meanwhile")
        self.sent.append(event)
        self.arrived.set()

    async def take(self, kind=None):
        """The next event that the endpoint sent; of this type, the others being passed over."""
        while True:
            while self.sent:
                event = self.sent.pop(0)
                if kind is None or event["type"] == kind:
                    return event
            assert not self.task.done(), f"the endpoint ended without {kind}"
            self.arrived.clear()
            waiting = asyncio.ensure_future(self.arrived.wait())
            await asyncio.wait({waiting, self.task}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()

    # --- WebSocket

    async def open(self):
        """The handshake; what the endpoint answered."""
        self.events.put_nowait({"type": "websocket.connect"})
        return await self.take()

    async def frame(self, kind=None):
        """The next frame, of this kind, the others being passed over."""
        while True:
            event = await self.take("websocket.send")
            if self.msgpack:
                frame = msgspec.msgpack.decode(event["bytes"])
            else:
                frame = json.loads(event["text"])
            if kind is None or frame["type"] == kind:
                return frame

    def say(self, kind, **values):
        self.ids += 1
        frame = {"type": kind, "id": self.ids, **values}
        if self.msgpack:
            self.raw(msgspec.msgpack.encode(frame))
        else:
            self.raw(json.dumps(frame))
        return self.ids

    def raw(self, payload):
        kind = "text" if isinstance(payload, str) else "bytes"
        self.events.put_nowait({"type": "websocket.receive", kind: payload})

    async def join(self, room, **values):
        self.say("join", room=room, **values)
        return await self.frame("joined")

    async def closed(self):
        """The close frame, once the endpoint has ended."""
        event = await self.take("websocket.close")
        self.hang_up()
        await self.task
        return event["code"], event["reason"]

    def hang_up(self, code=1001):
        self.events.put_nowait({"type": "websocket.disconnect", "code": code})


async def connected(endpoint, **options):
    """A peer that has its welcome."""
    peer = Peer(endpoint, **options)
    await peer.open()
    peer.welcome = await peer.frame("welcome")
    return peer


def carried(kind, text):
    """The subprotocol that carries a token or a session."""
    return f"treadle.{kind}." + urlsafe_b64encode(text.encode()).decode().rstrip("=")
