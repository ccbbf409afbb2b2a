"""aiosmtplib sends mail to aiosmtpd, in the clear and after STARTTLS.

The client takes `loop.start_tls`; the server puts asyncio's own TLS between itself and its
transport, by hand.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from email.message import EmailMessage
from typing import Any

import pytest

from tests.integration.servers import client_context, server_context

aiosmtplib = pytest.importorskip("aiosmtplib")
smtp = pytest.importorskip("aiosmtpd.smtp")

pytestmark = pytest.mark.every_driver


class Postbox:
    """Keeps what is delivered."""

    def __init__(self) -> None:
        self.letters: list[tuple[str, bytes]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.letters.append((envelope.rcpt_tos[0], envelope.content))
        return "250 kept"


@contextlib.asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[tuple[Postbox, int]]:
    box = Postbox()
    loop = asyncio.get_running_loop()
    made = []

    def protocol() -> Any:
        made.append(smtp.SMTP(box, hostname="localhost", loop=loop, **options))
        return made[-1]

    server = await loop.create_server(protocol, "127.0.0.1", 0)
    async with server:
        yield box, server.sockets[0].getsockname()[1]
    await asyncio.wait([one._handler_coroutine for one in made])


def letter(to: str, size: int) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "us@localhost", to, "greetings"
    message.set_content("x" * 70)
    message.add_attachment(bytes(size), maintype="application", subtype="octet-stream")
    return message


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "starttls"])
async def test_letters_of_every_size_are_delivered(secure: bool) -> None:
    tls = {"tls_context": server_context(), "require_starttls": True} if secure else {}
    async with serving(**tls) as (box, port):
        trust = {"tls_context": client_context()} if secure else {}
        options = {"hostname": "localhost", "port": port, "start_tls": secure}
        async with aiosmtplib.SMTP(**options, **trust) as client:
            for size in (0, 1000, 1_000_000):
                await client.send_message(letter(f"size{size}@localhost", size))
    assert [to for to, _ in box.letters] == [f"size{n}@localhost" for n in (0, 1000, 1_000_000)]
    assert len(box.letters[-1][1]) > 1_000_000


async def test_many_clients_post_at_once() -> None:
    async def post(port: int, number: int) -> None:
        async with aiosmtplib.SMTP(hostname="localhost", port=port, start_tls=False) as client:
            await client.send_message(letter(f"n{number}@localhost", 100))

    async with serving() as (box, port):
        await asyncio.gather(*[post(port, number) for number in range(30)])
    assert {to for to, _ in box.letters} == {f"n{number}@localhost" for number in range(30)}
