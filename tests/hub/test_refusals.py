"""Bad input and what is not allowed: each has its code, and others go on undisturbed."""

from __future__ import annotations

import msgspec
import pytest

from treadle.hub import Code, Handshake, Hooks, Hub, HubClosed, Identity, Limits, Refused

DEEP = "[" * 5000


async def closed_with(hub, payload, **more):
    """The code with which a connection is closed that sends this; a neighbour must not notice."""
    neighbour = await hub.client()
    connection = await hub.connect(Identity(), **more)
    await connection.receive(payload)
    await neighbour.ping()
    return connection.close_code


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "{",
        b"\xff",
        "[]",
        '{"type":"dance"}',
        '{"type":"join"}',
        '{"type":"join","id":1,"room":7}',
        '{"type":"ping","id":1e99}',
        f'{{"type":"publish","id":1,"room":"r","data":{DEEP}',
        '{"type":"publish","id":1,"room":"r","data":"\\ud800"}',
    ],
)
def test_what_is_not_a_request_closes_the_connection(run, payload):
    async def main():
        async with Hub() as hub:
            assert await closed_with(hub, payload) == Code.MALFORMED

    run(main)


@pytest.mark.parametrize("payload", ['{"type":"ping"}', b"\xc1", b"\x91" * 5000])
def test_what_is_not_messagepack_closes_a_connection_that_speaks_it(run, payload):
    async def main():
        async with Hub() as hub:
            assert await closed_with(hub, payload, encoding="msgpack") == Code.MALFORMED

    run(main)


@pytest.mark.parametrize("payload", ["x" * 101, b"x" * 101, "é" * 51])
def test_a_frame_that_is_too_large_closes_the_connection(run, payload):
    async def main():
        async with Hub(limits=Limits(max_message=100)) as hub:
            assert await closed_with(hub, payload) == Code.TOO_LARGE

    run(main)


def test_a_client_that_floods_is_closed(run):
    async def main():
        async with Hub(limits=Limits(rate=10, burst=20)) as hub:
            client = await hub.client()
            for _ in range(20):
                await client.ping()
            with pytest.raises(HubClosed):
                await client.ping()
            assert client.connection.close_code == Code.FLOODING

    run(main)


def test_a_client_that_reads_no_answers_is_closed(run):
    async def main():
        async with Hub(limits=Limits(queue_messages=10)) as hub:
            connection = await hub.connect(Identity())
            for _ in range(10):
                await connection.receive('{"type":"ping"}')
            assert connection.close_code == Code.SLOW

    run(main)


def test_an_answer_makes_room_among_messages(run):
    async def main():
        async with Hub(limits=Limits(queue_messages=10)) as hub:
            client = await hub.client()
            await client.join("room")
            for number in range(20):
                await hub.publish("room", number)
            await client.ping()
            assert client.connection.close_code is None

    run(main)


def test_a_silent_client_is_closed_and_one_that_pings_is_not(run):
    import asyncio

    async def main():
        async with Hub(limits=Limits(ping=10)) as hub:
            silent, awake = await hub.client(), await hub.client()
            reader = await hub.connect(Identity(), heartbeat=False)
            for _ in range(8):
                await asyncio.sleep(5)
                await awake.ping()
            assert silent.connection.close_code == Code.SILENT
            assert awake.connection.close_code is None
            assert reader.close_code is None

    run(main)


class Strict(Hooks):
    async def authenticate(self, request: Handshake) -> Identity:
        if "user" not in request.cookies:
            raise Refused("log in first", Code.UNAUTHENTICATED)
        return Identity(request.cookies["user"])

    async def may_join(self, connection, room):
        if room == "broken":
            raise ZeroDivisionError
        if room == "staff" and connection.identity.user != "ada":
            raise Refused("members only")

    async def may_publish(self, connection, room, data):
        if data == "rude":
            raise Refused("be kind")


def test_hooks_decide_who_comes_in(run):
    async def main():
        async with Hub(hooks=Strict()) as hub:
            with pytest.raises(Refused) as refusal:
                await hub.authenticate(Handshake())
            assert refusal.value.code == Code.UNAUTHENTICATED
            assert (await hub.authenticate(Handshake(cookies={"user": "ada"}))).user == "ada"

    run(main)


def test_hooks_decide_who_joins_and_publishes_and_the_connection_goes_on(run):
    async def main():
        async with Hub(hooks=Strict()) as hub:
            eve = await hub.client(Identity("eve"))
            with pytest.raises(Refused, match="members only") as refusal:
                await eve.join("staff")
            assert refusal.value.code == Code.FORBIDDEN
            await eve.join("room")
            with pytest.raises(Refused, match="be kind"):
                await eve.publish("room", "rude")
            await eve.publish("room", "please")
            ada = await hub.client(Identity("ada"))
            await ada.join("staff")

    run(main)


def test_a_hook_that_fails_is_reported_and_answered(run_with_reports):
    async def main(reports):
        async with Hub(hooks=Strict()) as hub:
            client = await hub.client()
            with pytest.raises(Refused) as refusal:
                await client.join("broken")
            assert refusal.value.code == Code.INTERNAL
            assert [type(report["exception"]) for report in reports] == [ZeroDivisionError]
            assert hub.stats().rooms == 0

    run_with_reports(main)


def test_a_connection_may_be_in_so_many_rooms(run):
    async def main():
        async with Hub(limits=Limits(rooms=2)) as hub:
            client = await hub.client()
            await client.join("a")
            await client.join("b")
            with pytest.raises(Refused, match="at most 2 rooms"):
                await client.join("c")
            await client.join("b")  # it is there already
            await client.leave("a")
            await client.join("c")

    run(main)


@pytest.mark.parametrize("room", ["", "x" * 201])
def test_a_rooms_name_has_a_length(run, room):
    async def main():
        async with Hub() as hub:
            client = await hub.client()
            with pytest.raises(Refused, match="1 to 200 characters"):
                await client.join(room)

    run(main)


def test_the_name_of_a_message_has_a_length(run):
    async def main():
        async with Hub() as hub:
            client = await hub.client()
            await client.join("room")
            with pytest.raises(Refused, match="at most 100 characters"):
                await client.publish("room", 1, dedupe="x" * 101)

    run(main)


class Move(msgspec.Struct):
    dx: int


def test_a_handler_answers_for_what_clients_publish(run):
    async def main():
        async with Hub() as hub:
            moves = []

            @hub.on_publish("game:*", type=Move)
            async def moved(message):
                moves.append((message.client, message.data))
                if message.data.dx > 1:
                    raise Refused("too far")

            client = await hub.client()
            await client.join("game:1")
            await client.publish("game:1", {"dx": 1})
            assert moves == [(client.name, Move(1))]
            with pytest.raises(Refused, match="too far"):
                await client.publish("game:1", {"dx": 2})
            with pytest.raises(Refused) as refusal:
                await client.publish("game:1", {"dx": "far"})
            assert refusal.value.code == Code.MALFORMED
            assert await hub.history("game:1") == []

    run(main)


def test_hooks_hear_of_the_end_with_its_code(run):
    ends = []

    class Watch(Hooks):
        async def disconnected(self, connection, code, reason):
            ends.append((connection.client, code, connection.rooms))

    async def main():
        async with Hub(hooks=Watch()) as hub:
            client = await hub.client()
            await client.join("room")
            client.connection.close(Code.FORBIDDEN, "go")
        assert ends == [(client.name, Code.FORBIDDEN, [])]

    run(main)


def test_a_refused_connection_is_closed_with_the_code(run):
    class Full(Hooks):
        async def connected(self, connection):
            raise Refused("full", Code.UNAVAILABLE)

    async def main():
        async with Hub(hooks=Full()) as hub:
            with pytest.raises(Refused):
                await hub.connect(Identity())
            assert hub.stats().connections == 0

    run(main)
