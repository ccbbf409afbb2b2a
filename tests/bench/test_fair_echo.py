"""What makes an echo cost the same in each run: who sleeps, and where large buffers come from."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest
from bench import allocator, compiler

PATIENCE = 60
BUFFERS = 300
# faults of a program that takes a large buffer for each message and shrinks it, as asyncio does
FAULTS = f"""
import resource, socket, sys
from bench import allocator
if sys.argv[1] == "warm":
    allocator.warm()
left, right = socket.socketpair()
def once():
    left.sendall(bytes(1024))
    right.recv(256 * 1024)
for _ in range(5):
    once()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({BUFFERS}):
    once()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how):
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
        env={**os.environ, "PYTHONPATH": str(compiler.HERE.parent)},
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that learns")
def test_after_one_large_block_buffers_of_256_kib_do_not_come_from_the_kernel():
    assert allocator.BLOCK > 256 * 1024
    assert faults("warm") < BUFFERS / 10


def test_a_generator_that_spins_does_not_sleep_while_its_server_does():
    load, server = compiler.build("load"), compiler.build("echo_epoll")
    if load.path is None or server.path is None:
        pytest.skip(f"{load.obstacle or server.obstacle}")
    with subprocess.Popen([server.path], stdout=subprocess.PIPE, text=True) as echo:
        assert echo.stdout is not None
        port = str(json.loads(echo.stdout.readline())["addresses"][0])
        done = subprocess.run(
            [load.path, port, "1", "1", "64", "0", "0.3", str(echo.pid)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            env={**os.environ, "BENCH_SPINS": "1"},
        )
        echo.kill()
    facts = json.loads(done.stdout)
    assert facts["messages"] > 0
    assert facts["sleeps"] <= 1 + facts["messages"] / 10
    assert facts["server_sleeps"] > 0
