"""The endpoint for Server-Sent Events, with a real hub and a server of the tests."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.hub.asgi.peer import Peer
from treadle.hub import (
    NO_HISTORY,
    Code,
    Hooks,
    Hub,
    Identity,
    Limits,
    Position,
    Refused,
    Retention,
    RoomOptions,
    Unavailable,
)
from treadle.hub.asgi import EventsEndpoint
from treadle.hub.asgi import events as module
from treadle.hub.asgi.events import read_positions, write_positions


class Stream(Peer):
    """Parses what comes as a browser does."""

    def __init__(self, endpoint, query, last=None, method="GET", headers=()):
        if last is not None:
            headers = [*headers, (b"last-event-id", last.encode())]
        super().__init__(endpoint, query=query, headers=headers, type="http", method=method)
        self.text = ""
        self.last = last
        self.comments = 0

    async def start(self):
        return await self.take("http.response.start")

    async def body(self):
        """An answer that is not a stream."""
        await self.task
        return "".join(e["body"].decode() for e in self.sent if e["type"] == "http.response.body")

    async def event(self, kind=None):
        while True:
            while "\n\n" not in self.text:
                self.text += (await self.take("http.response.body"))["body"].decode()
            block, _, self.text = self.text.partition("\n\n")
            fields = dict(line.split(": ", 1) for line in block.split("\n"))
            if "" in fields:
                self.comments += 1
                continue
            self.last = fields.get("id", self.last)
            if kind is None or fields["event"] == kind:
                return fields["event"], json.loads(fields["data"])

    async def message(self):
        return (await self.event("message"))[1]["data"]

    async def leave(self):
        self.events.put_nowait({"type": "http.disconnect"})
        await self.task


async def listening(endpoint, query, **options):
    stream = Stream(endpoint, query, **options)
    answer = await stream.start()
    assert answer["status"] == 200
    return stream


async def test_messages_of_all_rooms_come_as_events():
    async with Hub() as hub:
        stream = await listening(EventsEndpoint(hub), "room=a&room=b")
        assert [(await stream.event("joined"))[1]["room"] for _ in range(2)] == ["a", "b"]
        await hub.publish("b", {"text": "two\nlines"})
        await hub.publish("a", 1)
        kind, frame = await stream.event("message")
        assert (kind, frame["room"], frame["data"]) == ("message", "b", {"text": "two\nlines"})
        assert await stream.message() == 1
        await stream.leave()
        assert hub.stats().connections == 0


async def test_the_head_says_that_it_is_a_stream():
    async with Hub() as hub:
        stream = Stream(EventsEndpoint(hub), "room=a")
        headers = dict((await stream.start())["headers"])
        assert headers[b"content-type"] == b"text/event-stream; charset=utf-8"
        assert headers[b"cache-control"] == b"no-store"
        assert b"access-control-allow-origin" not in headers
        await stream.leave()


async def test_history_comes_first_when_it_is_asked_for():
    async with Hub() as hub:
        for number in range(5):
            await hub.publish("a", number)
        stream = await listening(EventsEndpoint(hub), "room=a&history=2")
        assert [await stream.message() for _ in range(2)] == [3, 4]
        await stream.leave()


async def test_a_stream_goes_on_after_the_last_event():
    async with Hub() as hub:
        endpoint = EventsEndpoint(hub)
        stream = await listening(endpoint, "room=a&room=b")
        await hub.publish("a", 1)
        await hub.publish("b", 2)
        assert [await stream.message() for _ in range(2)] == [1, 2]
        await stream.leave()
        await hub.publish("a", 3)
        await hub.publish("b", 4)
        again = await listening(endpoint, "room=b&room=a", last=stream.last)
        assert sorted([await again.message() for _ in range(2)]) == [3, 4]
        await again.leave()


async def test_a_stream_that_cannot_go_on_has_a_gap_before_what_follows():
    async with Hub(rooms={"*": RoomOptions(history=Retention(count=2))}) as hub:
        endpoint = EventsEndpoint(hub)
        stream = await listening(endpoint, "room=a")
        await hub.publish("a", 0)
        assert await stream.message() == 0
        await stream.leave()
        for number in range(1, 9):
            await hub.publish("a", number)
        again = await listening(endpoint, "room=a", last=stream.last)
        assert (await again.event())[1]["recovered"] is False
        kind, gap = await again.event()
        assert (kind, gap["room"]) == ("gap", "a")
        await hub.publish("a", 9)
        assert await again.message() == 9
        await again.leave()


@pytest.mark.parametrize("last", ["nonsense", "e:1,e:2", "e:x", "e:-1", "e:99999999999999999999"])
async def test_an_id_that_is_not_ours_is_a_gap(last):
    async with Hub() as hub:
        await hub.publish("a", 1)
        stream = await listening(EventsEndpoint(hub), "room=a", last=last)
        await stream.event("gap")
        await stream.leave()


async def test_presence_is_told():
    async with Hub() as hub:
        stream = await listening(EventsEndpoint(hub), "room=a")
        client = await hub.client()
        await client.join("a")
        assert (await stream.event("presence"))[1]["event"] == "join"
        await stream.leave()


class Guard(Hooks):
    async def authenticate(self, request):
        if request.cookies.get("user") != "ada":
            raise Refused("who are you?", Code.UNAUTHENTICATED)
        return Identity(user="ada")

    async def may_join(self, connection, room):
        if room == "secret":
            raise Refused("members only")


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("room=a", [], 401),
        ("room=a&room=secret", [(b"cookie", b"user=ada")], 403),
        ("", [(b"cookie", b"user=ada")], 400),
        ("room=a&history=x", [(b"cookie", b"user=ada")], 400),
        ("room=a&history=-1", [(b"cookie", b"user=ada")], 400),
        ("room=" + "x" * 300, [(b"cookie", b"user=ada")], 400),
        ("room=a", [(b"cookie", b"user=ada"), (b"origin", b"https://evil.example")], 403),
    ],
)
async def test_a_refusal_is_a_status_and_leaves_nothing(query, headers, status):
    async with Hub(hooks=Guard()) as hub:
        stream = Stream(EventsEndpoint(hub), query, headers=headers)
        assert (await stream.start())["status"] == status
        assert await stream.body()
        assert hub.stats().connections == hub.stats().rooms == 0


async def test_only_get_is_allowed():
    async with Hub() as hub:
        stream = Stream(EventsEndpoint(hub), "room=a", method="POST")
        answer = await stream.start()
        assert (answer["status"], dict(answer["headers"])[b"allow"]) == (405, b"GET")
        await stream.task


async def test_a_page_that_is_allowed_may_read_the_answer():
    async with Hub() as hub:
        endpoint = EventsEndpoint(hub, allowed_origins=["https://app.example"])
        stream = Stream(endpoint, "room=a", headers=[(b"origin", b"https://app.example")])
        headers = dict((await stream.start())["headers"])
        assert headers[b"access-control-allow-origin"] == b"https://app.example"
        assert headers[b"access-control-allow-credentials"] == b"true"
        await stream.leave()


async def test_pages_of_anywhere_are_not_given_the_answer_of_a_cookie():
    async with Hub() as hub:
        endpoint = EventsEndpoint(hub, allowed_origins=["*"])
        stream = Stream(endpoint, "room=a", headers=[(b"origin", b"https://any.example")])
        headers = dict((await stream.start())["headers"])
        assert b"access-control-allow-credentials" not in headers
        await stream.leave()


async def test_without_a_backend_a_browser_is_told_to_come_back(monkeypatch):
    async with Hub() as hub:

        async def fail(room):
            raise Unavailable("away")

        monkeypatch.setattr(hub.backend, "attach", fail)
        stream = Stream(EventsEndpoint(hub), "room=a")
        assert (await stream.start())["status"] == 200
        assert (await stream.body()).startswith("retry: 5000\nevent: bye\n")


async def test_a_hub_that_closes_says_goodbye():
    async with Hub() as hub:
        stream = await listening(EventsEndpoint(hub), "room=a")
        await hub.close()
        _, farewell = await stream.event("bye")
        assert farewell["code"] == Code.GOING_AWAY
        await stream.task


async def test_a_quiet_stream_has_comments():
    async with Hub(limits=Limits(ping=0.001)) as hub:
        stream = await listening(EventsEndpoint(hub), "room=a")
        while not stream.comments:
            stream.text += (await stream.take("http.response.body"))["body"].decode()
            stream.comments = stream.text.count(": still here\n\n")
        await stream.leave()


async def test_a_client_that_vanishes_while_we_send_leaves_nothing():
    async with Hub() as hub:
        stream = await listening(EventsEndpoint(hub), "room=a")
        stream.gone = True
        await hub.publish("a", 1)
        await stream.task
        assert hub.stats().connections == 0


async def test_a_client_that_never_reads_is_closed_and_holds_little(monkeypatch):
    monkeypatch.setattr(module, "GRACE", 0.01)
    rooms = {"*": RoomOptions(history=NO_HISTORY, when_full="disconnect")}
    async with Hub(rooms=rooms, limits=Limits(queue_messages=8)) as hub:
        stream = await listening(EventsEndpoint(hub), "room=a")
        await stream.event("joined")
        stream.reading.clear()
        for number in range(20):
            await hub.publish("a", number)
            await asyncio.sleep(0)
        await stream.task
        assert hub.stats().disconnected[Code.SLOW] == 1


async def test_a_server_that_cancels_us_leaves_nothing():
    async with Hub() as hub:
        before = asyncio.all_tasks()
        stream = await listening(EventsEndpoint(hub), "room=a")
        await stream.event()
        stream.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stream.task
        assert hub.stats().connections == 0
        assert asyncio.all_tasks() == before


async def test_what_is_not_http_is_refused():
    async with Hub() as hub:
        with pytest.raises(RuntimeError, match="for HTTP, not for websocket"):
            await EventsEndpoint(hub)({"type": "websocket"}, None, None)


def test_positions_are_read_as_they_were_written():
    positions = {"b": Position("e:,%", 1), "a": None, "c": Position("", 0)}
    assert read_positions(write_positions(positions), ["a", "b", "c"]) == positions
