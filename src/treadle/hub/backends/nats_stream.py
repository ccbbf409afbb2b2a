"""JetStream's own interface, as far as the hub needs it: questions and answers in JSON.

Messages are fetched by a consumer that lives for one call: it costs the server less than a question
for each message, and needs no state here. What a fetched message says in its reply address (number,
time) saves a question, too.
"""

from __future__ import annotations

import calendar
import json
from base64 import b64decode
from dataclasses import dataclass
from typing import Any

from treadle.hub.backends.nats_link import JetStreamError, Msg, NatsLink

__all__ = ["SECOND", "Acknowledged", "Stored", "Stream"]

SECOND = 1_000_000_000  # JetStream counts nanoseconds
NO_MESSAGE = 10037
NO_STREAM = 10059
STREAM_IN_USE = 10058
WRONG_LAST_SEQUENCE = (10071, 10164)
CONSUMER_LIFE = 10 * SECOND  # of one that was not deleted, for the connection broke

EXPECTED = "Nats-Expected-Last-Subject-Sequence"
MESSAGE_ID = "Nats-Msg-Id"


@dataclass(frozen=True, slots=True)
class Stored:
    """A message in a stream."""

    subject: str
    seq: int
    time: int
    """When the server stored it, in nanoseconds since 1970."""
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Where a message was stored."""

    seq: int
    duplicate: bool


class Stream:
    """A stream of messages, kept by subject."""

    def __init__(self, link: NatsLink, name: str, config: dict[str, Any]) -> None:
        self._link = link
        self.name = name
        self.config = config

    async def _ask(self, what: str, question: Any) -> Any:
        payload = json.dumps(question).encode()
        return await self._link.request(f"$JS.API.{what}", payload)

    # --- the stream

    async def ensure(self) -> None:
        """Make it, unless it is there; then its own limits hold."""
        try:
            answer = await self._ask(f"STREAM.INFO.{self.name}", {})
        except JetStreamError as error:
            if error.code != NO_STREAM:
                raise
            try:
                question = {"name": self.name, **self.config}
                answer = await self._ask(f"STREAM.CREATE.{self.name}", question)
            except JetStreamError as clash:
                if clash.code != STREAM_IN_USE:  # another node made it, with other limits
                    raise
                answer = await self._ask(f"STREAM.INFO.{self.name}", {})
        self.config = answer["config"]

    async def grow(self, **least: int) -> None:
        """Raise limits to so much at least."""
        answer = await self._ask(f"STREAM.INFO.{self.name}", {})
        config = answer["config"]
        more = {key: value for key, value in least.items() if 0 < config[key] < value}
        if more:
            answer = await self._ask(f"STREAM.UPDATE.{self.name}", {**config, **more})
        self.config = answer["config"]

    # --- messages

    async def publish(
        self,
        subject: str,
        body: bytes,
        headers: dict[str, str],
        expected: int | None = None,
    ) -> Acknowledged | None:
        """Store a message; None if the last of its subject is not the `expected` one (0: none)."""
        if expected is not None:
            headers = {**headers, EXPECTED: str(expected)}
        try:
            answer = await self._link.request(subject, body, headers, again=False)
        except JetStreamError as error:
            if error.code in WRONG_LAST_SEQUENCE:
                return None
            raise
        return Acknowledged(answer["seq"], answer.get("duplicate", False))

    async def last(self, subject: str) -> Stored | None:
        """The last message of a subject."""
        return await self._get({"last_by_subj": subject})

    async def get(self, seq: int) -> Stored | None:
        """The message of this number, if it is kept."""
        return await self._get({"seq": seq})

    async def _get(self, which: dict[str, Any]) -> Stored | None:
        try:
            answer = await self._ask(f"STREAM.MSG.GET.{self.name}", which)
        except JetStreamError as error:
            if error.code == NO_MESSAGE:
                return None
            raise
        message = answer["message"]
        return Stored(
            message["subject"],
            message["seq"],
            nanoseconds(message["time"]),
            headers_of(b64decode(message.get("hdrs", ""))),
            b64decode(message.get("data", "")),
        )

    async def delete(self, seq: int) -> bool:
        """Delete a message; of many who try, one is told that it did."""
        try:
            question = {"seq": seq, "no_erase": True}
            await self._link.request(
                f"$JS.API.STREAM.MSG.DELETE.{self.name}", json.dumps(question).encode(), again=False
            )
        except JetStreamError:
            return False
        return True

    async def trim(self, subject: str, keep: int) -> None:
        """Keep the last so many messages of a subject."""
        await self._ask(f"STREAM.PURGE.{self.name}", {"filter": subject, "keep": keep})

    async def fetch(
        self,
        subject: str,
        start: int = 0,
        limit: int | None = None,
        *,
        bodies: bool = True,
    ) -> list[Stored]:
        """Messages of a subject, which may have wildcards, from a number on, in order."""
        config: dict[str, Any] = {
            "filter_subject": subject,
            "deliver_policy": "by_start_sequence" if start > 0 else "all",
            "ack_policy": "none",
            "replay_policy": "instant",
            "max_deliver": 1,
            "inactive_threshold": CONSUMER_LIFE,
            "mem_storage": True,
            "num_replicas": 1,
            "headers_only": not bodies,
        }
        if start > 0:
            config["opt_start_seq"] = start
        question = {"stream_name": self.name, "config": config}
        answer = await self._ask(f"CONSUMER.CREATE.{self.name}", question)
        count = answer["num_pending"] if limit is None else min(limit, answer["num_pending"])
        if not count:
            messages = []
        else:
            messages = await self._link.gather(
                f"$JS.API.CONSUMER.MSG.NEXT.{self.name}.{answer['name']}",
                json.dumps({"batch": count, "no_wait": True}).encode(),
                count,
            )
        await self._link.forget(f"$JS.API.CONSUMER.DELETE.{self.name}.{answer['name']}")
        return [stored(message) for message in messages]


def stored(message: Msg) -> Stored:
    """A message that a consumer delivered; its reply address ends in stream, consumer, how often
    delivered, number, number in the consumer, time, how many follow (and, with a domain, a token).
    """
    tokens = message.reply.split(".")
    seq, time = (tokens[5], tokens[7]) if len(tokens) < 11 else (tokens[7], tokens[9])
    return Stored(message.subject, int(seq), int(time), message.headers or {}, message.data)


def headers_of(raw: bytes) -> dict[str, str]:
    """Headers as they are stored: a line with the version, then one for each.

    >>> headers_of(b"NATS/1.0\\r\\nColour: red\\r\\n\\r\\n")
    {'Colour': 'red'}
    """
    lines = raw.decode().split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {key: value.strip() for key, _, value in pairs}


def nanoseconds(text: str) -> int:
    """A time in UTC as Go writes it, since 1970.

    >>> nanoseconds("1970-01-02T00:00:01.5Z")
    86401500000000
    """
    day, _, clock = text.rstrip("Z").partition("T")
    clock, _, fraction = clock.partition(".")
    fields = [int(field) for field in (*day.split("-"), *clock.split(":"))]
    return calendar.timegm((*fields, 0, 0, 0)) * SECOND + int(fraction.ljust(9, "0") or 0)
