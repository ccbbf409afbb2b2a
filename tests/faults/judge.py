"""Running a program under some kind of stress, and saying what must not be."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import warnings
from collections.abc import Callable
from typing import Any

import treadle
from tests.faults.kernel import Kernel, Selector
from tests.faults.programs import PROGRAMS
from tests.faults.world import World
from tests.kit import FakeClock
from tests.net.wire import open_descriptors
from treadle._drivers.selector import SelectorDriver

OUT_OF_DESCRIPTORS = "socket.accept() out of system resource"
# What is reported although it is no fault of the program; the second because asyncio does so.
TOLERATED = (OUT_OF_DESCRIPTORS, "Fatal read error on pipe transport")

Program = Callable[[World], Any]


class Judge:
    """One run of one program. What is wrong is in `wrong`, in words."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.wrong: list[str] = []
        self.reports: list[dict[str, Any]] = []  # what the exception handler was told
        self.world: World | None = None

    def run(
        self,
        make_loop: Callable[[], Any],
        stress: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext,
    ) -> World:
        """Run the program to its end; `stress` is in force while it runs, and only then."""
        before = open_descriptors()
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            world = self._live(make_loop, stress)
            gc.collect()
        self.wrong += [f"warning: {one.message}" for one in warned]
        left = {fd: what for fd, what in open_descriptors().items() if fd not in before}
        if left:
            self.wrong.append(f"left open: {left}")
        return world

    def _live(self, make_loop: Callable[[], Any], stress: Callable[[], Any]) -> World:
        loop = make_loop()
        loop.set_exception_handler(lambda _, context: self.reports.append(context))
        world = World(loop)
        try:
            loop.run_until_complete(asyncio.sleep(0))  # opens what the first run opens
            with stress():
                loop.run_until_complete(self.program(world))
                loop.run_until_complete(asyncio.sleep(0))
            pending = asyncio.all_tasks(loop)
        finally:
            loop.close()
        self.wrong += world.wrong
        self.wrong += [f"still running: {task!r}" for task in pending]
        self.wrong += [
            f"{end!r}: made {end.made} times, lost {end.lost} times"
            for end in world.ends
            if (end.made, end.lost) != (1, 1)
        ]
        return world


def judged(name: str, kernel: Kernel, what: str) -> None:
    """Run one of `PROGRAMS` on a failing kernel; fail with the whole story."""
    judge = Judge(PROGRAMS[name])
    clock = FakeClock()

    def make_loop() -> Any:
        before = open_descriptors().keys()
        loop = treadle.Loop(driver=SelectorDriver(Selector(kernel, clock)), clock=clock)
        loop.run_until_complete(asyncio.sleep(0))
        kernel.spared = frozenset(open_descriptors().keys() - before)
        return loop

    def story() -> str:
        return f"program {name}, {what}; struck: {', '.join(map(str, kernel.struck))}"

    try:
        world = judge.run(make_loop, kernel.in_force)
    except BaseException as exc:
        exc.add_note(story())
        raise
    for context in judge.reports:
        ours = any(context.get("exception") is exc for exc in kernel.raised)
        if context["message"] not in TOLERATED or not ours:
            judge.wrong.append(f"reported: {context}")
    if all(fault.harmless for fault in kernel.struck) and world.finished < world.clients:
        judge.wrong.append(f"{world.finished} of {world.clients} finished; {world.errors}")
    assert not judge.wrong, story()
