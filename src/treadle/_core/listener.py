"""Who hears of the end of tasks, by the shortest way.

A task that is done hands its callbacks to the loop, and the loop calls each in its context. Most of
them have little to do: one task of many has ended well, and somebody counts. The ready queue knows
this class by its C type and asks `hear` first, without entering a context, which `hear` therefore
must not let any code of users see. What it cannot do, it leaves, and says so; then the listener is
called as every other callback.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Listener"]


class Listener:
    """A callback for `Task.add_done_callback`; only classes right below this one are known."""

    def hear(self, task: Any) -> bool:
        """Hear that a task is done; False when nothing was done, and the call is to be made."""
        raise NotImplementedError
