"""How big each demonstration is: one set of numbers for people, a small one for tests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Sizes of the demonstrations. Times are in seconds."""

    requests: int  # concurrency: how many slow requests
    piece_pause: float  # concurrency: the server's pause before each piece of an answer
    silence: float  # non-blocking: how long the other side says nothing
    clients: int  # crowd: how many, if the limit on open files allows
    messages: int  # crowd: how many each client sends
    connections: int  # comparison: how many connections share the requests
    requests_each: int  # comparison: requests on each of them
    blocking_share: int  # comparison: how many the one-after-the-other way really does
    callbacks: int  # comparison: callbacks in the pure-loop row
    rounds: int  # comparison: each loop runs so many times; the table shows the median


FULL = Scale(
    requests=10,
    piece_pause=0.04,
    silence=0.6,
    clients=10_000,
    messages=3,
    connections=100,
    requests_each=200,
    blocking_share=500,
    callbacks=200_000,
    rounds=3,
)

QUICK = Scale(
    requests=5,
    piece_pause=0.01,
    silence=0.2,
    clients=200,
    messages=3,
    connections=20,
    requests_each=20,
    blocking_share=40,
    callbacks=20_000,
    rounds=1,
)
