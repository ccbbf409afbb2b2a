"""The example of background jobs: a worker and a sender in processes of their own, over Redis."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.servers import Redis

pytest.importorskip("taskiq_redis", reason="taskiq-redis is not installed")

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE = 60  # seconds


def start(module: str, redis: Redis, *arguments: str) -> subprocess.Popen[str]:
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(EXAMPLES), *sys.path]))
    environment["REDIS_URL"] = f"redis://127.0.0.1:{redis.port}"
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def worker(redis_server: Redis) -> Iterator[subprocess.Popen[str]]:
    with start("jobs.worker", redis_server) as process:
        try:
            assert process.stdout is not None
            assert "Waiting for jobs" in process.stdout.readline()
            yield process
        finally:
            # all of its session: a worker that is killed leaves the processes of its pool behind
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_jobs_are_done_elsewhere_and_their_results_come_back(
    redis_server: Redis, worker: subprocess.Popen[str]
) -> None:
    with start("jobs.send", redis_server, "10", "100", "2") as sender:
        out, err = sender.communicate(timeout=PATIENCE)
    assert sender.returncode == 0, err
    assert out.splitlines() == ["4 primes below 10", "25 primes below 100", "0 primes below 2"]


def test_a_worker_ends_at_once_and_well_when_it_is_told_to(
    worker: subprocess.Popen[str],
) -> None:
    worker.terminate()
    _, err = worker.communicate(timeout=PATIENCE)
    assert worker.returncode == 0
    assert "Traceback" not in err
