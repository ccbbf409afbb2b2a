"""The chat. What a client says goes through the server, which checks it and puts a time on it."""

from __future__ import annotations

from time import time
from typing import Annotated

import msgspec

from treadle.hub import NO_HISTORY, Code, Hub, Incoming, Refused, Retention, RoomOptions

ROOMS = {
    # A day of talk. Who reads slowly gets what they missed out of history.
    "chat:*": RoomOptions(history=Retention(count=1000, age=86400), when_full="catch_up"),
    # "is typing": only the newest mark of each person counts, and only now.
    "typing:*": RoomOptions(history=NO_HISTORY, when_full="coalesce", presence=False),
}

Text = Annotated[str, msgspec.Meta(max_length=2000)]


class Say(msgspec.Struct, forbid_unknown_fields=True):
    """What a page sends."""

    text: Text
    nonce: Annotated[str, msgspec.Meta(max_length=40)]
    """By which the page knows its own line again."""


def add_chat(hub: Hub) -> None:
    """Answer for what is said in chat rooms."""

    @hub.on_publish("chat:*", type=Say)
    async def say(message: Incoming) -> None:
        text = message.data.text.strip()
        if not text:
            raise Refused("an empty line", Code.MALFORMED)
        info = message.connection.identity.info
        line = {
            "text": text,
            "nonce": message.data.nonce,
            "name": info["name"],
            "colour": info["colour"],
            "at": round(time(), 3),
        }
        # A page that did not hear our answer sends the line again, under the same name.
        dedupe = None if message.dedupe is None else f"{message.client}:{message.dedupe}"
        await hub.publish(message.room, line, sender=message.client, dedupe=dedupe)

    @hub.on_publish("typing:*", type=bool)
    async def mark(message: Incoming) -> None:
        await hub.publish(
            message.room,
            {**message.connection.identity.info, "on": message.data},
            key=message.client,
            exclude=message.client,
            sender=message.client,
        )
