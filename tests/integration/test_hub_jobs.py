"""`examples/jobs`: orders over HTTP, workers in processes of their own, news in a room.

The workers have more jobs, see hub_jobs.py: one never ends the first time, others fail.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.servers import PATIENCE, Redis

for package in ("taskiq", "taskiq_redis", "starlette", "httpx"):
    pytest.importorskip(package, reason=f"{package} is not installed")

# all of it runs in other processes, on treadle
ROOT = Path(__file__).parents[2]
SECONDS = "0.3"  # after which a job of a dead worker is another's, where that is tested
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def python(redis_server: Redis, fresh: str) -> Iterator[Start]:
    """Starts programs that share a Redis and a name; they are killed in the end."""
    path = os.pathsep.join([str(ROOT / "examples"), *filter(None, sys.path)])
    url = f"redis://127.0.0.1:{redis_server.port}"
    environment = {**os.environ, "PYTHONPATH": path, "JOBS_REDIS": url, "JOBS_NAME": fresh}

    with ExitStack() as stack:

        def start(*words: str, patience: str = "600") -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [sys.executable, *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**environment, "JOBS_PATIENCE": patience},
                cwd=ROOT,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def worker(python: Start, **settings: str) -> subprocess.Popen[bytes]:
    """A worker that works."""
    process = python("-m", "tests.integration.hub_jobs", **settings)
    assert process.stdout is not None
    assert process.stdout.readline() == b"working on treadle.Loop\n"
    return process


class Customer:
    """A program that uses the web application and says what it gets, line by line."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def says(self, *words: Any) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(words).encode() + b"\n")
        self.process.stdin.flush()
        return self.hears()

    def hears(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the customer ended"
        return json.loads(line)

    def hears_the_end(self) -> tuple[list[Any], Any]:
        """What was told before, and how it ended."""
        news: list[Any] = []
        while (new := self.hears())["state"] not in ("done", "failed"):
            news.append(new)
        return news, new


@pytest.fixture
def customer(python: Start) -> Customer:
    return Customer(python("-m", "tests.integration.hub_jobs_customer"))


def test_an_order_is_done_by_a_worker_and_the_room_tells_how_far_it_is(
    python: Start, customer: Customer
) -> None:
    order = customer.says("order", 1000)
    worker(python)
    news, end = customer.hears_the_end()
    assert [new["done"] for new in news] == [(n + 1) / 20 for n in range(20)]
    assert end == {"state": "done", "value": 168}
    assert customer.says("result", order) == [200, {"value": 168}]


def test_an_order_that_nobody_wants_any_more_is_not_done(python: Start, customer: Customer) -> None:
    order = customer.says("order", 1000)
    assert customer.says("cancel", order) == 204
    worker(python)
    assert customer.hears_the_end() == ([], {"state": "done", "value": None})


def test_a_job_that_fails_is_done_again(python: Start, customer: Customer) -> None:
    worker(python)
    customer.says("job", "shaky")
    news, end = customer.hears_the_end()
    assert [new["state"] for new in news] == ["begun", "begun"]
    assert end == {"state": "done", "value": 1}


def test_a_job_that_fails_each_time_is_given_up(python: Start, customer: Customer) -> None:
    worker(python)
    order = customer.says("job", "hopeless")
    news, end = customer.hears_the_end()
    assert len(news) == 3
    assert end == {"state": "failed", "error": "as always"}
    assert customer.says("result", order) == [500, {"error": "as always"}]


def test_the_job_of_a_worker_that_was_killed_is_done_by_another(
    python: Start, customer: Customer
) -> None:
    first = worker(python)
    customer.says("job", "stuck")
    begun = customer.hears()
    assert begun == {"state": "begun", "pid": first.pid, "loop": "treadle.Loop"}
    first.kill()
    first.wait(PATIENCE)
    second = worker(python, patience=SECONDS)
    news, end = customer.hears_the_end()
    assert [new["pid"] for new in news] == [second.pid]
    assert end == {"state": "done", "value": 1}


def test_a_worker_that_is_told_to_stop_ends(python: Start) -> None:
    process = worker(python)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
