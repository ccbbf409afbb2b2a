"""Barrier: tasks wait for each other. Too rare in a program to be compiled.

A barrier fills, until all parties are there; it drains, until all have left; then it fills again.
Who comes while it drains waits for that. `reset` makes those who wait leave with an error, `abort`
does so for good.
"""

from __future__ import annotations

import asyncio
import enum
from typing import Any

from treadle.aio.conditions import Condition
from treadle.aio.stand_in import StandIn

__all__ = ["Barrier"]

_BrokenBarrierError = asyncio.BrokenBarrierError


class _State(enum.Enum):
    FILLING = "filling"
    DRAINING = "draining"
    RESETTING = "resetting"
    BROKEN = "broken"


class Barrier(asyncio.Barrier, StandIn):
    """Lets tasks through when `parties` of them have come.

    >>> import asyncio, treadle
    >>> async def main():
    ...     barrier = treadle.Barrier(2)
    ...     return sorted(await asyncio.gather(barrier.wait(), barrier.wait()))
    >>> treadle.run(main())
    [0, 1]

    ``async with barrier as position`` waits as well.
    """

    __module__ = "treadle"

    def __init__(self, parties: int) -> None:
        if parties < 1:
            raise ValueError("parties must be > 0")
        self._changed = Condition()  # notified of each change of state, and of an empty barrier
        self._parties = parties
        self._state = _State.FILLING
        self._count = 0  # tasks inside

    def __repr__(self) -> str:
        state = self._state.value
        if not self.broken:
            state += f", waiters:{self.n_waiting}/{self.parties}"
        return f"<{object.__repr__(self)[1:-1]} [{state}]>"

    @property
    def parties(self) -> int:
        """How many tasks it takes."""
        return self._parties

    @property
    def n_waiting(self) -> int:
        """How many tasks have come and wait for others."""
        return self._count if self._state is _State.FILLING else 0

    @property
    def broken(self) -> bool:
        """True after `abort`, until `reset`."""
        return self._state is _State.BROKEN

    async def __aenter__(self) -> int:  # type: ignore[override]
        return await self.wait()

    async def __aexit__(self, *args: object) -> None:
        pass

    async def wait(self) -> int:
        """Wait until all have come; return a number from 0 to ``parties - 1``, each once.

        Raises BrokenBarrierError when the barrier is broken, or is aborted or reset meanwhile.
        A cancelled task counts as one that never came.
        """
        async with self._changed:
            await self._changed.wait_for(self._is_settled)
            if self._state is _State.BROKEN:
                raise _BrokenBarrierError("Barrier aborted")
            position = self._count
            self._count += 1
            try:
                if self._count == self._parties:
                    self._enter_state(_State.DRAINING)
                else:
                    await self._changed.wait_for(self._is_past_filling)
                    if self._state is not _State.DRAINING:
                        raise _BrokenBarrierError("Abort or reset of barrier")
                return position
            finally:
                self._count -= 1
                if self._count == 0:
                    self._emptied()

    async def reset(self) -> None:
        """Start anew: who waits leaves with BrokenBarrierError."""
        async with self._changed:
            self._enter_state(_State.RESETTING if self._count > 0 else _State.FILLING)

    async def abort(self) -> None:
        """Break the barrier: who waits, and who comes, leaves with BrokenBarrierError."""
        async with self._changed:
            self._enter_state(_State.BROKEN)

    def _is_settled(self) -> bool:
        return self._state in (_State.FILLING, _State.BROKEN)

    def _is_past_filling(self) -> bool:
        return self._state is not _State.FILLING

    def _enter_state(self, state: _State) -> None:
        self._state = state
        self._changed.notify_all()

    def _emptied(self) -> None:
        """Let in who waited for the barrier to drain."""
        if self._state in (_State.DRAINING, _State.RESETTING):
            self._state = _State.FILLING
        self._changed.notify_all()

    def _get_loop(self) -> Any:
        return self._changed._get_loop()
