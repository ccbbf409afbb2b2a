"""The server of the showcase's chat, in virtual time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from showcase.chat import ROOMS, add_chat
from showcase.people import People
from treadle.hub import Code, Hub, Identity, Message, Refused

ADA = Identity(user="Ada", info={"name": "Ada", "colour": "#3a6bc2"})
BOB = Identity(user="Bob", info={"name": "Bob", "colour": "#c2553a"})


@asynccontextmanager
async def chatting(*people):
    async with Hub(rooms=ROOMS, hooks=People()) as hub:
        add_chat(hub)
        clients = [await hub.client(person) for person in people]
        for client in clients:
            await client.join("chat:lobby")
            await client.join("typing:lobby")
        yield hub, *clients


def line(text, nonce="n"):
    return {"text": text, "nonce": nonce}


def test_a_line_comes_with_who_said_it_and_when(run):
    async def main():
        async with chatting(ADA, BOB) as (_, ada, bob):
            await ada.publish("chat:lobby", line("  hello  "))
            message = await bob.message()
            assert message.sender == ada.name
            at = message.data.pop("at")
            assert isinstance(at, float)
            assert message.data == {**line("hello"), **ADA.info}

    run(main)


def test_a_name_cannot_be_borrowed(run):
    async def main():
        async with chatting(ADA, BOB) as (_, ada, _bob):
            with pytest.raises(Refused):
                await ada.publish("chat:lobby", {**line("hello"), "name": "Bob"})

    run(main)


@pytest.mark.parametrize("data", [line(""), line(" \n"), line("x" * 2001), "hello", None])
def test_what_is_no_line_is_refused(run, data):
    async def main():
        async with chatting(ADA) as (hub, ada):
            with pytest.raises(Refused) as refused:
                await ada.publish("chat:lobby", data)
            assert refused.value.code == Code.MALFORMED
            assert await hub.history("chat:lobby") == []

    run(main)


def test_a_line_that_is_sent_again_is_said_once(run):
    async def main():
        async with chatting(ADA) as (hub, ada):
            for _ in range(2):
                await ada.publish("chat:lobby", line("hello"), dedupe="1")
            assert [said.data["text"] for said in await hub.history("chat:lobby")] == ["hello"]

    run(main)


def test_who_types_is_shown_to_the_others_and_not_kept(run):
    async def main():
        async with chatting(ADA, BOB) as (hub, ada, bob):
            await ada.publish("typing:lobby", True)
            mark = await bob.message()
            assert (mark.sender, mark.data) == (ada.name, {**ADA.info, "on": True})
            assert not [f for f in await ada.waiting() if isinstance(f, Message)]
            assert await hub.history("typing:lobby") == []

    run(main)


def test_somebody_who_reads_slowly_misses_nothing(run):
    async def main():
        async with chatting(ADA, BOB) as (_, ada, bob):
            for number in range(600):
                await ada.publish("chat:lobby", line(str(number)))
                await ada.waiting()
                await asyncio.sleep(0.1)
            said = []
            while frames := await bob.waiting():
                said += [frame.data["text"] for frame in frames if isinstance(frame, Message)]
                await asyncio.sleep(0.1)
            assert said == [str(number) for number in range(600)]

    run(main)


@pytest.mark.parametrize("room", ["steer:field", "sync:notes", "chat", "chat:", "pulse:1", "x:y"])
def test_rooms_that_are_the_servers_own_or_none_cannot_be_joined(run, room):
    async def main():
        async with chatting(ADA) as (_, ada):
            with pytest.raises(Refused):
                await ada.join(room)

    run(main)
