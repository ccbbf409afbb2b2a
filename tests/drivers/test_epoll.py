"""The epoll driver keeps the contract, and waits to the nanosecond."""

from __future__ import annotations

import os
import resource
import time

import pytest

from tests.drivers.contract import Contract, Watch
from treadle._drivers import available_drivers
from treadle._drivers.base import READ, WRITE

if "epoll" not in available_drivers():
    pytest.skip("needs the compiled treadle on Linux", allow_module_level=True)

from treadle._drivers.epoll import EpollDriver


@pytest.fixture
def driver():
    driver = EpollDriver()
    driver.open()
    yield driver
    driver.close_driver()


class TestEpollDriver(Contract):
    """The contract."""


def test_a_driver_that_was_not_opened_fails_instead_of_waiting():
    driver = EpollDriver()
    with pytest.raises(OSError, match="Bad file descriptor"):
        driver.wait(0)
    driver.wake()
    driver.close_driver()


def test_a_dropped_driver_gives_back_its_descriptors():
    before = os.listdir("/proc/self/fd")
    for _ in range(10):
        EpollDriver().open()
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_negative_number_is_refused(driver):
    with pytest.raises(ValueError, match="invalid file descriptor: -1"):
        driver.attach(Watch(), -1)


def test_a_number_far_beyond_the_others_can_be_attached(driver):
    endpoint = Watch()
    driver.attach(endpoint, 100_000)
    assert driver.owner(100_000) is endpoint
    assert driver.owner(99_999) is None
    driver.detach(endpoint)


@pytest.mark.skipif(
    tuple(map(int, os.uname().release.split(".")[:2])) < (5, 11), reason="needs epoll_pwait2(2)"
)
def test_a_short_wait_is_shorter_than_a_millisecond(driver):
    def wait():
        start = time.monotonic_ns()
        driver.wait(50_000)
        return time.monotonic_ns() - start

    assert min(wait() for _ in range(50)) < 900_000


def test_a_number_that_another_description_took_is_added_again(driver, socket_pair):
    ours, theirs = socket_pair
    number = os.dup(ours.fileno())
    endpoint = Watch()
    driver.attach(endpoint, number)
    driver.set_interest(endpoint, READ)
    copy = os.dup(number)  # keeps the old description watched under this number
    os.close(number)
    os.dup2(theirs.fileno(), number)
    driver.set_interest(endpoint, WRITE)
    driver.wait(0)
    assert endpoint.masks == [WRITE]
    driver.detach(endpoint)
    os.close(number)
    os.close(copy)


def test_more_events_than_one_wait_takes_are_told_by_the_next(driver):
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(1500, soft - 100)
    endpoints = []
    for _ in range(count):
        endpoint = Watch()
        driver.attach(endpoint, os.eventfd(0, os.EFD_NONBLOCK))
        driver.set_interest(endpoint, WRITE)
        endpoints.append(endpoint)
    waits = 0
    while not all(endpoint.masks for endpoint in endpoints):
        driver.wait(0)
        waits += 1
    assert waits <= 4
    for endpoint in endpoints:
        driver.close(endpoint)
