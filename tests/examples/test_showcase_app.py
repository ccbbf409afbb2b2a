"""The showcase as an ASGI application, without a browser."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import httpx
import pytest

from showcase import app as showcase
from showcase.people import LONGEST_NAME, People
from tests.examples.conftest import EXAMPLES
from tests.hub.asgi.peer import Peer, connected
from treadle.hub import Handshake, Refused


@pytest.fixture
def pages(tmp_path, monkeypatch):
    """Pages as the build makes them, but for what is in them."""
    for name in showcase.PAGES:
        (tmp_path / f"{name}.html").write_text(f"<title>{name}</title>")
    monkeypatch.setattr(showcase, "DIST", tmp_path)
    return tmp_path


def running(main):
    """Run `main(application, client of HTTP)` while the application is up."""

    async def run():
        app = showcase.create_app()
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://a.example") as client,
        ):
            return await main(app, client)

    return asyncio.run(run())


def get(path):
    return running(lambda app, client: client.get(path))


def test_every_page_is_served(pages):
    for name in showcase.PAGES:
        answer = get(f"/{name}")
        assert (answer.status_code, answer.text) == (200, f"<title>{name}</title>")
    assert get("/").headers["location"] == "/chat"
    assert get("/secrets").status_code == 404


def test_pages_that_are_not_built_say_how_they_are(pages):
    (pages / "chat.html").unlink()
    answer = get("/chat")
    assert answer.status_code == 503
    assert "make showcase-pages" in answer.text


def test_the_hubs_own_client_is_handed_out():
    answer = get("/treadle-hub.js")
    assert "javascript" in answer.headers["content-type"]
    assert "export function connect" in answer.text


def test_a_page_talks_to_the_hub_through_a_websocket():
    async def main(app, client):
        peer = await connected(app, query="name=Ada&colour=%233a6bc2")
        joined = await peer.join("chat:lobby")
        info = {"name": "Ada", "colour": "#3a6bc2"}
        assert joined["members"] == [{"client": peer.welcome["client"], "info": info}]
        peer.hang_up()
        await peer.task

    running(main)


def test_a_page_of_another_site_is_kept_out():
    async def main(app, client):
        peer = Peer(app, headers=[(b"origin", b"https://evil.example")])
        assert (await peer.open())["type"] == "websocket.close"
        await peer.task

    running(main)


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ({"name": "  Ada\u200b  Lovelace "}, {"name": "Ada Lovelace", "colour": "#8888aa"}),
        ({"name": "", "colour": "red; evil"}, {"name": "somebody", "colour": "#8888aa"}),
        ({"colour": "#3a6bc2"}, {"name": "somebody", "colour": "#3a6bc2"}),
    ],
)
def test_what_is_shown_of_people_is_clean(query, shown):
    identity = asyncio.run(People().authenticate(Handshake(query=query)))
    assert identity.info == shown


def test_a_name_that_is_too_long_is_refused():
    with pytest.raises(Refused, match="at most"):
        asyncio.run(People().authenticate(Handshake(query={"name": "x" * (LONGEST_NAME + 1)})))


def test_a_port_that_is_taken_is_a_sentence_and_no_traceback():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "showcase", "--port", str(port)],
            cwd=EXAMPLES,
            env={"PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.strip() == f"Cannot listen on 127.0.0.1:{port}: Address already in use"
