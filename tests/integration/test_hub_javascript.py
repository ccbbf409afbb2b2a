"""The JavaScript client in Node, with its own WebSocket, against a real server in this process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil

import pytest

from tests.hub.asgi.serving import UVICORN, uvicorn_serving
from treadle.hub import Code, Hooks, Hub, Identity, Refused, javascript_client
from treadle.hub.asgi import WebSocketEndpoint

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="Node.js is not installed")


@contextlib.asynccontextmanager
async def program(address, script):
    """A program in Node that has `hub`, `tell` (to us) and `told` (by us), and ends by itself."""
    head = f"""
        import {{ connect }} from {json.dumps(javascript_client().as_uri())};
        import {{ createInterface }} from "node:readline";
        const address = "http://{address}/hub";
        const tell = (value) => console.log(JSON.stringify(value));
        const lines = createInterface({{ input: process.stdin }})[Symbol.asyncIterator]();
        const told = async () => JSON.parse((await lines.next()).value);
    """
    options = ["--experimental-websocket", "--no-warnings", "--input-type=module", "--eval"]
    node = await asyncio.create_subprocess_exec(
        NODE,
        *options,
        f"{head}\n{script}\nprocess.stdin.destroy();",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Program(node)
        assert await node.wait() == 0
    finally:
        if node.returncode is None:
            node.kill()
            await node.wait()
        node._transport.close()


class Program:
    def __init__(self, node):
        self.node = node

    async def heard(self):
        return json.loads(await self.node.stdout.readline())

    def tell(self, value):
        self.node.stdin.write(json.dumps(value).encode() + b"\n")


@pytest.mark.parametrize("server", UVICORN)
async def test_nothing_is_missing_or_doubled_after_a_break(server):
    async with Hub() as hub, uvicorn_serving(WebSocketEndpoint(hub), server) as address:
        script = """
            const seen = [];
            const hub = connect(address, { minDelay: 20, onState: (state) => tell(state) });
            const room = hub.join("chat", {
              onMessage: ({ data }) => {
                seen.push(data);
                if (data === "end") tell(seen);
              },
              onGap: (gap) => tell(gap),
            });
            await room.publish(1);
            tell(hub.client);
            await told();
            room.publish(2);
            room.publish(3);
            tell("published");
            await told();
            hub.close();
        """
        async with program(address, script) as client:
            assert [await client.heard() for _ in range(2)] == ["connecting", "online"]
            name = await client.heard()
            for connection in list(hub.rooms.connections.values()):
                connection.close(Code.GOING_AWAY, "a test")
            await hub.publish("chat", "missed")
            assert [await client.heard() for _ in range(3)] == ["offline", "connecting", "online"]
            assert list(hub.rooms.connections) == [name]
            client.tell("go on")
            assert await client.heard() == "published"
            while len(await hub.history("chat")) < 4:
                await asyncio.sleep(0)
            await hub.publish("chat", "end")
            assert await client.heard() == [1, "missed", 2, 3, "end"]
            client.tell("end")
            assert await client.heard() == "closed"


async def test_what_is_published_without_a_server_arrives_when_there_is_one():
    async with Hub() as hub:
        async with uvicorn_serving(WebSocketEndpoint(hub)) as address:
            pass
        script = """
            const hub = connect(address, { minDelay: 20, maxDelay: 50, onState: tell });
            hub.join("chat");
            const sent = [1, 2, 3].map((data) => hub.publish("chat", data));
            tell((await Promise.all(sent)).map(({ offset }) => offset));
            hub.close();
        """
        async with program(address, script) as client:
            while await client.heard() != "offline":
                pass
            port = int(address.rpartition(":")[2])
            async with uvicorn_serving(WebSocketEndpoint(hub), port=port):
                while (answer := await client.heard()) in ("connecting", "offline", "online"):
                    pass
                assert answer == [1, 2, 3]
                assert await client.heard() == "closed"
                assert [message.data for message in await hub.history("chat")] == [1, 2, 3]


async def test_bytes_go_through_messagepack():
    async with Hub() as hub, uvicorn_serving(WebSocketEndpoint(hub)) as address:
        script = """
            const hub = connect(address, { protocol: "msgpack" });
            const room = hub.join("document", { onMessage: ({ data }) => tell([...data]) });
            await room.publish(Uint8Array.of(0, 1, 255));
            hub.close();
        """
        async with program(address, script) as client:
            assert await client.heard() == [0, 1, 255]
        assert (await hub.history("document"))[0].data == b"\x00\x01\xff"


class Doorkeeper(Hooks):
    async def authenticate(self, request):
        if request.headers.get("authorization") != "Bearer open sesame":
            raise Refused("no", Code.UNAUTHENTICATED)
        return Identity(user="ali")

    async def may_join(self, connection, room):
        raise Refused("full")


async def test_refusals_reach_the_page_with_code_and_reason():
    async with Hub(hooks=Doorkeeper()) as hub:
        async with uvicorn_serving(WebSocketEndpoint(hub)) as address:
            script = """
                const onState = (state, { code, reason }) => {
                  if (state === "closed") tell([code, reason]);
                };
                connect(address, { onState });
                await told();
                const hub = connect(address, { token: async () => "open sesame" });
                const refused = ({ name, code, reason }) => tell([name, code, reason]);
                await hub.join("cave").joined.catch(refused);
                hub.close();
            """
            async with program(address, script) as client:
                assert await client.heard() == [4401, "no"]
                client.tell("go on")
                assert await client.heard() == ["Refused", 4403, "full"]
