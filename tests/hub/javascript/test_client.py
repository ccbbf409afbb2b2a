"""The JavaScript client: its own tests by Node's runner, its MessagePack against msgspec's, and its
frames against the hub's types."""

from __future__ import annotations

import datetime
import json
import re
import shutil
import subprocess
from base64 import b64decode
from pathlib import Path

import msgspec
import pytest

from treadle.hub import Code, javascript_client
from treadle.hub.frames import Request

HERE = Path(__file__).parent
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="Node.js is not installed")

VALUES = [
    None,
    True,
    [0, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**53 - 1],
    [-1, -32, -33, -128, -129, -32768, -32769, -(2**31), -(2**31) - 1, -(2**53) + 1],
    [0.5, -1e300, 1e-300],
    ["", "x" * 31, "x" * 32, "y" * 255, "y" * 256, "z" * 70000, "äöü€😀"],
    [list(range(15)), list(range(16)), list(range(70000))],
    [{}, {f"k{n}": n for n in range(15)}, {f"k{n}": n for n in range(16)}],
    {"type": "message", "data": {"nested": [{"deep": [None, False]}]}},
]
SIZES = [0, 1, 255, 256, 65535, 65536]


def node(script: str, given: bytes = b"") -> bytes:
    """What a program prints that has the client's names, and `given` as its input."""
    head = f"""
        import {{ readFileSync }} from "node:fs";
        import * as client from {json.dumps(javascript_client().as_uri())};
        const given = new Uint8Array(readFileSync(0));
        const print = (bytes) => process.stdout.write(bytes);
    """
    command = [str(NODE), "--input-type=module", "--eval", head + script]
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    assert not done.returncode, done.stderr.decode()
    return done.stdout


def test_its_own_tests_pass():
    files = sorted(map(str, HERE.glob("*.test.mjs")))
    done = subprocess.run(
        [str(NODE), "--test", *files], capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stdout + done.stderr


def test_what_msgspec_packs_it_unpacks():
    packed = msgspec.msgpack.encode(VALUES)
    assert json.loads(node("print(JSON.stringify(client.unpack(given)))", packed)) == VALUES


def test_what_it_packs_msgspec_unpacks():
    packed = node(
        "print(client.pack(JSON.parse(new TextDecoder().decode(given))))",
        json.dumps(VALUES).encode(),
    )
    assert msgspec.msgpack.decode(packed) == VALUES


def test_both_pack_alike():
    values = [value for value in VALUES if value != VALUES[4]]
    packed = msgspec.msgpack.encode(values)
    assert node("print(client.pack(client.unpack(given)))", packed) == packed


def test_bytes_of_every_size_go_both_ways():
    values = [bytes(n % 251 for n in range(size)) for size in SIZES]
    packed = msgspec.msgpack.encode(values)
    assert node("print(client.pack(client.unpack(given)))", packed) == packed


def test_large_integers_go_both_ways():
    packed = msgspec.msgpack.encode([2**53, 2**64 - 1, -(2**63)])
    assert node("print(client.pack(client.unpack(given)))", packed) == packed


@pytest.mark.parametrize("year", [1960, 1999, 2024, 2300, 2900])
def test_dates_of_msgspec_are_dates(year):
    moment = datetime.datetime(year, 3, 4, 5, 6, 7, 890000, tzinfo=datetime.UTC)
    said = node("print(client.unpack(given).toISOString())", msgspec.msgpack.encode(moment))
    assert datetime.datetime.fromisoformat(said.decode()) == moment


@pytest.mark.parametrize("protocol", ["json", "msgpack"])
def test_the_hub_understands_every_request_that_it_sends(protocol):
    script = f"""
        import {{ World }} from {json.dumps((HERE / "world.mjs").as_uri())};
        const world = new World();
        const hub = world.online({{ protocol: "{protocol}" }});
        const sent = [];
        const {{ send }} = Object.getPrototypeOf(Object.getPrototypeOf(world.socket));
        world.socket.send = function (payload) {{
          sent.push(Buffer.from(payload).toString("base64"));
          send.call(this, payload);
        }};
        const room = hub.join("a", {{ after: {{ epoch: "e", offset: 1 }} }});
        world.socket.join();
        room.publish({{ text: "ü" }}, {{ key: "k", to: "b", others: true }});
        hub.publish("b");
        hub.members("b");
        world.pass(30000);
        hub.join("c", {{ history: 5 }});
        room.leave();
        print(JSON.stringify(sent));
    """
    decoder = (msgspec.json if protocol == "json" else msgspec.msgpack).Decoder(Request)
    requests = [decoder.decode(b64decode(frame)) for frame in json.loads(node(script))]
    kinds = [type(request).__name__ for request in requests]
    assert kinds == ["Join", "Publish", "Publish", "Members", "Ping", "Join", "Leave"]
    assert (requests[0].after.epoch, requests[5].history) == ("e", 5)
    publish = requests[1]
    assert (publish.key, publish.to, publish.others) == ("k", "b", True)
    assert publish.dedupe


def test_it_has_the_codes_of_the_hub():
    codes = json.loads(node("print(JSON.stringify(client.Code))"))
    assert codes == {code.name: int(code) for code in Code}


def test_it_imports_nothing():
    assert not re.search(r"^\s*import\b[^(]", javascript_client().read_text(), re.MULTILINE)


def test_its_types_name_everything_that_it_exports():
    types = javascript_client().with_suffix(".d.ts").read_text()
    declared = set(re.findall(r"^export declare \w+ (\w+)", types, re.MULTILINE))
    assert declared == set(json.loads(node("print(JSON.stringify(Object.keys(client)))")))
