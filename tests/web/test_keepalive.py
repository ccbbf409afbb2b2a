"""Pings of many connections from one timer, on a loop whose time the test moves."""

from __future__ import annotations

import pytest

from treadle.web.keepalive import SLICES, Keepalive, keepalive_of

INTERVAL = 20.0
TIMEOUT = 20.0


class Loop:
    """As much of a loop as a keepalive uses."""

    def __init__(self):
        self.now = 1000.0
        self.timers = []

    def time(self):
        return self.now

    def call_later(self, delay, callback):
        timer = (self.now + delay, callback)
        self.timers.append(timer)
        return timer

    def pass_time(self, seconds):
        end = self.now + seconds
        while self.timers and min(due for due, _ in self.timers) <= end:
            due = min(self.timers, key=lambda timer: timer[0])
            self.timers.remove(due)
            self.now = due[0]
            due[1]()
        self.now = end


class Connection:
    def __init__(self, loop, answers=False):
        self.loop = loop
        self.answers = answers
        self.heard = True
        self.pings = []
        self.given_up = None

    def __lt__(self, other):
        return id(self) < id(other)

    def ping(self):
        self.pings.append(self.loop.now)
        self.heard = self.answers

    def give_up(self):
        self.given_up = self.loop.now


@pytest.fixture
def loop():
    return Loop()


@pytest.fixture
def keepalive(loop):
    return Keepalive(loop, INTERVAL, TIMEOUT)


def test_a_connection_that_answers_is_never_given_up(loop, keepalive):
    connection = Connection(loop, answers=True)
    keepalive.add(connection)
    loop.pass_time(INTERVAL * 20)
    assert connection.given_up is None
    assert 9 <= len(connection.pings) <= 11  # after each answer one look passes without a ping


def test_one_from_which_something_comes_is_not_pinged(loop, keepalive):
    connection = Connection(loop)
    keepalive.add(connection)
    for _ in range(100):
        connection.heard = True
        loop.pass_time(INTERVAL / 2)
    assert not connection.pings


def test_a_silent_one_is_pinged_once_and_given_up_in_time(loop, keepalive):
    connection = Connection(loop)
    connection.heard = True
    last_byte = loop.now
    keepalive.add(connection)
    loop.pass_time(INTERVAL * 10)
    assert len(connection.pings) == 1
    assert TIMEOUT <= connection.given_up - last_byte <= TIMEOUT + 2 * INTERVAL + 0.001


def test_without_a_timeout_a_silent_one_is_pinged_on_and_on(loop):
    keepalive = Keepalive(loop, INTERVAL, None)
    connection = Connection(loop)
    keepalive.add(connection)
    loop.pass_time(INTERVAL * 10)
    assert connection.given_up is None
    assert len(connection.pings) >= 8


def test_connections_that_come_at_once_or_one_by_one_are_looked_at_in_parts(loop, keepalive):
    connections = [Connection(loop, answers=True) for _ in range(SLICES * 3)]
    for connection in connections:
        keepalive.add(connection)
        loop.pass_time(INTERVAL / SLICES)
    loop.pass_time(INTERVAL * 2)
    moments = [connection.pings[-1] for connection in connections]
    assert max(moments.count(moment) for moment in moments) <= 4


def test_one_that_was_removed_hears_nothing_more(loop, keepalive):
    connection, other = Connection(loop), Connection(loop)
    place = keepalive.add(connection)
    keepalive.add(other)
    keepalive.remove(connection, place)
    keepalive.remove(connection, place)
    loop.pass_time(INTERVAL * 10)
    assert not connection.pings
    assert connection.given_up is None
    assert other.given_up is not None


def test_one_that_ends_its_neighbour_in_the_same_turn_does_not_disturb(loop, keepalive):
    connection, neighbour = Connection(loop), Connection(loop)
    places = [keepalive.add(connection), keepalive.add(neighbour)]
    connection.heard = neighbour.heard = False
    connection.ping = lambda: keepalive.remove(neighbour, places[1])
    loop.pass_time(INTERVAL * 10)
    assert not neighbour.pings
    assert neighbour.given_up is None


def test_there_is_no_timer_when_there_is_no_connection(loop, keepalive):
    place = keepalive.add(connection := Connection(loop, answers=True))
    assert len(loop.timers) == 1
    keepalive.remove(connection, place)
    loop.pass_time(INTERVAL)
    assert not loop.timers
    keepalive.add(connection)
    assert len(loop.timers) == 1


def test_the_connections_of_a_server_share_one(loop):
    class Server:
        pass

    one, other = Server(), Server()
    assert keepalive_of(one, loop, 1.0, 1.0) is keepalive_of(one, loop, 1.0, 1.0)
    assert keepalive_of(one, loop, 1.0, 1.0) is not keepalive_of(other, loop, 1.0, 1.0)
