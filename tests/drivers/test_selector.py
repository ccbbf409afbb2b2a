"""The plain driver keeps the contract, on any selector, and when the kernel says no."""

from __future__ import annotations

import asyncio
import os
import selectors

import pytest

from tests.drivers.contract import Contract, Watch, plain_only
from treadle._drivers import available_drivers, make_driver
from treadle._drivers.base import READ
from treadle._drivers.selector import SelectorDriver

KINDS = ["SelectSelector", "PollSelector", "EpollSelector", "KqueueSelector"]


@pytest.fixture
def driver():
    driver = SelectorDriver()
    driver.open()
    yield driver
    driver.close_driver()


class TestSelectorDriver(Contract):
    """On the selector that Python prefers here."""

    @plain_only
    @pytest.mark.parametrize("exception", [BlockingIOError, InterruptedError])
    def test_a_false_alarm_is_no_failure(self, driver, pairs, monkeypatch, exception):
        def refuse(*args):
            raise exception

        ours, theirs = pairs()
        line = self.line(driver, ours)
        theirs.send(b"x")
        with monkeypatch.context() as patch:
            patch.setattr(os, "read", refuse)
            driver.wait(0)
        assert line.heard == []
        driver.wait(0)
        assert line.heard == [b"x"]

    @plain_only
    def test_a_false_alarm_for_a_buffer_is_no_failure(self, driver, pairs, monkeypatch):
        def refuse(*args):
            raise BlockingIOError

        ours, theirs = pairs()
        line = self.line(driver, ours, bytearray(10))
        theirs.send(b"x")
        with monkeypatch.context() as patch:
            patch.setattr(os, "readv", refuse)
            driver.wait(0)
        driver.wait(0)
        assert line.heard == [b"x"]

    @plain_only
    def test_a_buffer_hears_of_the_end_and_of_failures(self, driver, pairs, monkeypatch):
        def fail(*args):
            raise ConnectionResetError

        ours, theirs = pairs()
        line = self.line(driver, ours, bytearray(10))
        theirs.close()
        driver.wait(0)
        with monkeypatch.context() as patch:
            patch.setattr(os, "readv", fail)
            driver.wait(0)
        assert line.heard[0] == "eof"
        assert isinstance(line.heard[1], ConnectionResetError)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if hasattr(selectors, kind)])
def test_it_runs_on_every_selector(kind, socket_pair):
    ours, theirs = socket_pair
    driver = SelectorDriver(getattr(selectors, kind)())
    driver.open()
    endpoint = Watch()
    driver.attach(endpoint, ours.fileno())
    driver.set_interest(endpoint, READ)
    theirs.send(b"x")
    driver.wait(-1)
    driver.wake()
    driver.wait(-1)
    driver.close_driver()
    assert READ in endpoint.masks


class Asked(selectors.SelectSelector):
    """Notes the timeouts it is asked for, and does not wait."""

    def __init__(self):
        super().__init__()
        self.timeouts = []

    def select(self, timeout=None):
        self.timeouts.append(timeout)
        return []


def test_nanoseconds_become_seconds():
    asked = Asked()
    driver = SelectorDriver(asked)
    driver.open()
    for timeout in (-1, 0, 1, 1_500_000_000):
        driver.wait(timeout)
    driver.close_driver()
    assert asked.timeouts == [None, 0, 1e-9, 1.5]


def test_a_transport_sends_on_when_the_kernel_takes_bytes_again(make_loop, socket_pair):
    loop = make_loop(driver="selector")
    ours, theirs = socket_pair
    size = 10_000_000

    async def main():
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        transport.write(bytes(size))
        transport.close()
        received = 0
        while data := await loop.sock_recv(theirs, 1_000_000):
            received += len(data)
        assert received == size

    loop.run_until_complete(main())


# which driver --------------------------------------------------------------------------------


def test_the_name_chooses_the_driver():
    for name in available_drivers():
        assert make_driver(name).name == name


def test_the_environment_chooses_the_driver(monkeypatch):
    monkeypatch.setenv("TREADLE_DRIVER", "selector")
    assert make_driver().name == "selector"
    monkeypatch.setenv("TREADLE_DRIVER", "")
    assert make_driver().name == available_drivers()[0]


def test_an_unknown_driver_is_refused_with_the_choice_there_is(monkeypatch):
    with pytest.raises(ValueError, match=r"no driver 'wheel' here: choose one of .*selector"):
        make_driver("wheel")
    monkeypatch.setenv("TREADLE_DRIVER", "wheel")
    with pytest.raises(ValueError, match="TREADLE_DRIVER"):
        make_driver()


def test_a_loop_names_its_driver(make_loop):
    assert make_loop(driver="selector").driver_name == "selector"
    assert make_loop(driver=SelectorDriver()).driver_name == "selector"
