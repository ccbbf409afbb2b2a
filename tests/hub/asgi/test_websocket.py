"""The WebSocket endpoint with a real hub and a server of the tests."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.hub.asgi.peer import Line, Peer, carried, connected
from treadle.hub import NO_HISTORY, Code, Hooks, Hub, Identity, Limits, Refused, RoomOptions
from treadle.hub.asgi import WebSocketEndpoint
from treadle.hub.asgi import websocket as module

LIVE = RoomOptions(history=NO_HISTORY, presence=False)


class Keeper(Hooks):
    """Lets in who has a token, a cookie or a header; remembers who went."""

    def __init__(self):
        self.gone = []

    async def authenticate(self, request):
        name = request.query.get("as") or request.cookies.get("user")
        if name == "crash":
            raise ZeroDivisionError
        if name is None and request.headers.get("authorization") != "Bearer let me in":
            raise Refused("who are you?", Code.UNAUTHENTICATED)
        return Identity(user=name)

    async def disconnected(self, connection, code, reason):
        self.gone.append((code, reason))


async def settle(rounds=20):
    for _ in range(rounds):
        await asyncio.sleep(0)


# --- the handshake


@pytest.mark.parametrize("protocol", ["treadle.json", "treadle.msgpack"])
async def test_a_client_speaks_the_encoding_that_it_chose(protocol):
    async with Hub() as hub:
        peer = Peer(WebSocketEndpoint(hub), subprotocols=[protocol])
        assert await peer.open() == {"type": "websocket.accept", "subprotocol": protocol}
        assert (await peer.frame())["type"] == "welcome"
        await peer.join("chat")
        peer.say("publish", room="chat", data="hello")
        assert (await peer.frame("message"))["data"] == "hello"
        peer.hang_up()
        await peer.task


async def test_a_client_that_speaks_something_else_is_told():
    async with Hub() as hub:
        peer = Peer(WebSocketEndpoint(hub), subprotocols=["graphql-ws"])
        assert (await peer.open())["subprotocol"] is None
        assert (await peer.closed())[0] == Code.MALFORMED


async def test_a_foreign_page_is_refused_before_anything_is_opened():
    async with Hub() as hub:
        peer = Peer(WebSocketEndpoint(hub), headers=[(b"origin", b"https://evil.example")])
        assert (await peer.open())["type"] == "websocket.close"
        await peer.task


async def test_a_page_that_is_allowed_may_come_from_elsewhere():
    async with Hub() as hub:
        endpoint = WebSocketEndpoint(hub, allowed_origins=["https://app.example"])
        peer = Peer(endpoint, headers=[(b"origin", b"https://app.example")])
        assert (await peer.open())["type"] == "websocket.accept"
        peer.hang_up()
        await peer.task


async def test_who_is_not_let_in_is_told_by_a_code_that_pages_see():
    async with Hub(hooks=Keeper()) as hub:
        peer = Peer(WebSocketEndpoint(hub))
        await peer.open()
        assert await peer.closed() == (Code.UNAUTHENTICATED, "who are you?")
        assert hub.stats().connections == 0


@pytest.mark.parametrize(
    "options",
    [
        {"query": "as=ada"},
        {"headers": [(b"cookie", b"user=ada")]},
        {"headers": [(b"authorization", b"Bearer let me in")]},
        {"subprotocols": ["treadle.json", carried("token", "let me in")]},
    ],
    ids=["query", "cookie", "header", "subprotocol"],
)
async def test_credentials_come_in_many_ways(options):
    async with Hub(hooks=Keeper()) as hub:
        peer = await connected(WebSocketEndpoint(hub), **options)
        peer.hang_up()
        await peer.task


async def test_a_failure_of_authentication_is_reported_and_closes(loop):
    reports = []
    loop.set_exception_handler(lambda loop, context: reports.append(context["exception"]))
    async with Hub(hooks=Keeper()) as hub:
        peer = Peer(WebSocketEndpoint(hub), query="as=crash")
        await peer.open()
        assert (await peer.closed())[0] == Code.INTERNAL
    assert [type(failure) for failure in reports] == [ZeroDivisionError]


async def test_a_client_that_goes_before_it_is_let_in_leaves_nothing():
    async with Hub() as hub:
        peer = Peer(WebSocketEndpoint(hub))
        peer.gone = True
        peer.events.put_nowait({"type": "websocket.connect"})
        await peer.task
        assert hub.stats().connections == 0


@pytest.mark.parametrize("how", ["subprotocol", "query"])
async def test_a_session_gives_the_same_name_again(how):
    async with Hub() as hub:
        endpoint = WebSocketEndpoint(hub)
        first = await connected(endpoint)
        session = first.welcome["session"]
        first.hang_up()
        await first.task
        if how == "query":
            second = await connected(endpoint, query=f"session={session}")
        else:
            offer = ["treadle.json", carried("session", session)]
            second = await connected(endpoint, subprotocols=offer)
        assert second.welcome["client"] == first.welcome["client"]
        second.hang_up()
        await second.task


async def test_a_connection_is_replaced_by_a_newer_one_of_its_name():
    async with Hub() as hub:
        endpoint = WebSocketEndpoint(hub)
        first = await connected(endpoint)
        second = await connected(endpoint, query=f"session={first.welcome['session']}")
        assert (await first.closed())[0] == Code.REPLACED
        second.hang_up()
        await second.task


async def test_a_hub_that_is_closed_says_so():
    async with Hub() as hub:
        endpoint = WebSocketEndpoint(hub)
    peer = Peer(endpoint)
    await peer.open()
    assert (await peer.closed())[0] == Code.GOING_AWAY


async def test_what_is_no_websocket_is_refused():
    async with Hub() as hub:
        with pytest.raises(RuntimeError, match="for WebSockets, not for http"):
            await WebSocketEndpoint(hub)({"type": "http"}, None, None)


# --- the end


@pytest.mark.parametrize("line", [None, Line], ids=["pulled", "direct"])
@pytest.mark.parametrize(("code", "told"), [(1000, Code.NORMAL), (1001, 1001), (1006, 1001)])
async def test_a_client_that_goes_leaves_its_rooms(line, code, told):
    hooks = Keeper()
    async with Hub(hooks=hooks) as hub:
        peer = Peer(WebSocketEndpoint(hub), query="as=ada", line=line and line())
        await peer.open()
        peer.say("join", room="chat")
        await settle()
        assert hub.stats().subscriptions == 1
        peer.hang_up(code)
        await peer.task
        await settle()
        assert hub.stats().subscriptions == hub.stats().connections == 0
        assert [gone for gone, _ in hooks.gone] == [told]


@pytest.mark.parametrize("line", [None, Line], ids=["pulled", "direct"])
async def test_a_hub_that_closes_says_goodbye_to_all(line):
    async with Hub() as hub:
        endpoint = WebSocketEndpoint(hub)
        peers = [Peer(endpoint, line=line and line()) for _ in range(3)]
        for peer in peers:
            await peer.open()
        await settle()
        await hub.close()
        assert [(await peer.closed())[0] for peer in peers] == [Code.GOING_AWAY] * 3


async def test_a_handler_of_the_application_is_not_cut_short_by_a_close():
    async with Hub() as hub:
        go_on = asyncio.Event()
        done = []

        @hub.on_publish("*")
        async def handle(message):
            await go_on.wait()
            done.append(message.data)

        peer = await connected(WebSocketEndpoint(hub))
        await peer.join("chat")
        peer.say("publish", room="chat", data="important")
        await settle()
        hub.rooms.connections[peer.welcome["client"]].close(Code.SLOW, "meanwhile")
        await settle()
        go_on.set()
        assert (await peer.closed()) == (Code.SLOW, "meanwhile")
        assert done == ["important"]


@pytest.mark.parametrize("line", [None, Line], ids=["pulled", "direct"])
async def test_a_server_that_cancels_us_leaves_nothing(line):
    async with Hub() as hub:
        before = asyncio.all_tasks()
        peer = Peer(WebSocketEndpoint(hub), line=line and line())
        await peer.open()
        await settle()
        peer.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await peer.task
        assert hub.stats().connections == 0
        assert asyncio.all_tasks() == before


async def test_a_cancellation_while_a_frame_is_sent_ends_the_writer():
    async with Hub() as hub:
        before = asyncio.all_tasks()
        peer = await connected(WebSocketEndpoint(hub))
        peer.reading.clear()
        peer.say("ping")
        await settle()
        assert peer.sending == 1
        peer.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await peer.task
        assert asyncio.all_tasks() == before


async def test_a_client_that_vanishes_while_a_frame_is_sent_ends_the_connection():
    async with Hub() as hub:
        peer = await connected(WebSocketEndpoint(hub))
        peer.reading.clear()
        peer.say("ping")
        await settle()
        peer.gone = True
        peer.reading.set()
        await peer.task
        assert hub.stats().connections == 0


async def test_a_reason_that_is_too_long_is_cut_between_characters():
    event = module.close_event(Code.FORBIDDEN, "ü" * 100)
    assert event["reason"] == "ü" * 61
    assert event["code"] == 4403


# --- bad clients, each closed with its code while another goes on


async def undisturbed(peer):
    peer.say("publish", room="chat", data="still here")
    assert (await peer.frame("message"))["data"] == "still here"
    peer.hang_up()
    await peer.task


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ("{", Code.MALFORMED),
        ('{"type": "join"}', Code.MALFORMED),
        (b"\xc1", Code.MALFORMED),
        ('"' + "x" * 2000 + '"', Code.TOO_LARGE),
    ],
    ids=["no JSON", "no request", "no text", "oversized"],
)
async def test_bad_input_closes_its_connection_only(payload, code):
    async with Hub(limits=Limits(max_message=1000)) as hub:
        endpoint = WebSocketEndpoint(hub)
        good, bad = await connected(endpoint), await connected(endpoint)
        await good.join("chat")
        bad.raw(payload)
        assert (await bad.closed())[0] == code
        await undisturbed(good)


async def test_a_client_that_floods_is_closed_alone():
    async with Hub(limits=Limits(rate=1, burst=10)) as hub:
        endpoint = WebSocketEndpoint(hub)
        good, bad = await connected(endpoint), await connected(endpoint)
        await good.join("chat")
        for _ in range(20):
            bad.say("ping")
        assert (await bad.closed())[0] == Code.FLOODING
        await undisturbed(good)


async def test_a_client_that_never_reads_is_closed_alone_and_holds_little(monkeypatch):
    monkeypatch.setattr(module, "GRACE", 0.01)
    limits = Limits(queue_messages=8)
    rooms = {"*": replace(LIVE, when_full="disconnect")}
    async with Hub(limits=limits, rooms=rooms) as hub:
        endpoint = WebSocketEndpoint(hub)
        good, bad = await connected(endpoint), await connected(endpoint)
        await good.join("chat")
        await bad.join("chat")
        bad.reading.clear()
        for number in range(20):
            await hub.publish("chat", number)
            assert (await good.frame("message"))["data"] == number
        await bad.task  # although it never takes the frame that is being sent
        assert hub.stats().disconnected[Code.SLOW] == 1
        assert hub.stats().queue_high_water <= 8
        await undisturbed(good)


async def test_messages_arrive_in_their_order_however_slowly_they_are_read():
    async with Hub(
        rooms={"*": RoomOptions(when_full="catch_up")}, limits=Limits(queue_messages=4)
    ) as hub:
        peer = await connected(WebSocketEndpoint(hub))
        await peer.join("chat")
        peer.reading.clear()
        for number in range(50):
            await hub.publish("chat", number)
        peer.reading.set()
        assert [(await peer.frame("message"))["data"] for _ in range(50)] == list(range(50))
        peer.hang_up()
        await peer.task


# --- tasks


async def test_a_pulled_connection_has_one_task_besides_its_own():
    async with Hub() as hub:
        before = asyncio.all_tasks()
        peer = await connected(WebSocketEndpoint(hub))
        await settle()
        assert len(asyncio.all_tasks() - before) == 2
        peer.hang_up()
        await peer.task


async def test_a_direct_connection_has_no_task_besides_its_own():
    async with Hub() as hub:
        before = asyncio.all_tasks()
        peer = Peer(WebSocketEndpoint(hub), line=Line())
        await peer.open()
        await settle()
        assert asyncio.all_tasks() - before == {peer.task}
        peer.hang_up()
        await peer.task


# --- direct


async def direct_room(hub, count, **options):
    peers = [Peer(WebSocketEndpoint(hub), line=Line(), **options) for _ in range(count)]
    for peer in peers:
        await peer.open()
        peer.say("join", room="chat")
        await settle()
        peer.line.take()
    return peers


async def hang_up(peers):
    for peer in peers:
        peer.hang_up()
        await peer.task


async def test_a_message_is_written_in_the_step_in_which_it_is_published():
    async with Hub(rooms={"*": LIVE}) as hub:
        peers = await direct_room(hub, 3)
        await hub.publish("chat", "now")
        assert [[frame["data"] for frame in peer.line.take()] for peer in peers] == [["now"]] * 3
        await hang_up(peers)


async def test_the_same_bytes_go_to_everybody():
    async with Hub(rooms={"*": LIVE}) as hub:
        peers = await direct_room(hub, 5)
        before = sum(peer.line.made for peer in peers)
        await hub.publish("chat", "once")
        assert sum(peer.line.made for peer in peers) == before + 1
        assert len({id(peer.line.written[0]) for peer in peers}) == 1
        await hang_up(peers)


async def test_what_a_full_transport_cannot_take_waits_in_order():
    async with Hub(rooms={"*": LIVE}) as hub:
        slow, fast = await direct_room(hub, 2)
        slow.line.writable = False
        for number in range(3):
            await hub.publish("chat", number)
        assert slow.line.take() == []
        assert [frame["data"] for frame in fast.line.take()] == [0, 1, 2]
        slow.line.resume()
        await hub.publish("chat", 3)
        assert [frame["data"] for frame in slow.line.take()] == [0, 1, 2, 3]
        await hang_up([slow, fast])


async def test_a_full_transport_holds_no_more_than_its_bound():
    async with Hub(rooms={"*": LIVE}, limits=Limits(queue_messages=8)) as hub:
        [peer] = await direct_room(hub, 1)
        peer.line.writable = False
        for number in range(100):
            await hub.publish("chat", number)
        peer.line.resume()
        kinds = [(frame["type"], frame.get("data")) for frame in peer.line.take()]
        assert kinds == [("gap", None), *(("message", number) for number in range(92, 100))]
        await hang_up([peer])


async def test_a_transport_that_fails_to_write_loses_its_own_connection_only(loop):
    loop.set_exception_handler(lambda loop, context: None)
    async with Hub(rooms={"*": LIVE}) as hub:
        bad, good = await direct_room(hub, 2)

        def fail(data):
            raise ZeroDivisionError

        bad.line.write = fail
        await hub.publish("chat", "on")
        assert (await bad.closed())[0] == Code.INTERNAL
        assert [frame["data"] for frame in good.line.take()] == ["on"]
        await hang_up([good])


async def test_a_line_has_no_callback_of_ours_after_the_end():
    async with Hub() as hub:
        [peer] = await direct_room(hub, 1)
        await hang_up([peer])
        assert peer.line.callback is None


async def test_direct_binary_frames_are_marked_so():
    async with Hub(rooms={"*": LIVE}) as hub:
        peer = Peer(WebSocketEndpoint(hub), line=Line(), subprotocols=["treadle.msgpack"])
        await peer.open()
        await settle()
        assert peer.line.written[0][:1] == b"B"
        await hang_up([peer])
