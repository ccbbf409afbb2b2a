"""The page about browsers: its server serves, and its script prints what the page says."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

import pytest

from tests.hub.asgi.serving import uvicorn_serving
from treadle.hub import Code, javascript_client

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "rooms-in-the-browser.md"
NODE = shutil.which("node")


def block(language):
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return found[1]


@pytest.mark.skipif(NODE is None, reason="Node.js is not installed")
def test_the_server_and_the_script_work_together(loop):
    names = {}
    exec(compile(block("python"), str(PAGE), "exec"), names)
    script = block("js").replace("/treadle-hub.js", javascript_client().as_uri())

    async def main():
        app = names["app"]
        async with names["lifespan"](app), uvicorn_serving(app) as address:
            node = await asyncio.create_subprocess_exec(
                NODE,
                "--experimental-websocket",
                "--no-warnings",
                "--input-type=module",
                "--eval",
                script.replace('"/hub"', f'"http://{address}/hub"'),
                stdout=asyncio.subprocess.PIPE,
            )
            printed, _ = await node.communicate()
            return printed.decode()

    assert loop.run_until_complete(main()) == block("text")


def test_the_page_explains_the_codes_that_close_a_connection():
    codes = {int(code) for code in re.findall(r"^\| (\d{4}) `", PAGE.read_text(), re.MULTILINE)}
    assert codes == {int(code) for code in Code} - {Code.NORMAL, Code.UNKNOWN}
