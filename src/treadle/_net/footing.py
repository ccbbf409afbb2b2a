"""How a layer stands on a transport that is not one of treadle's stream transports."""

from __future__ import annotations

from contextvars import Context
from typing import Any

from treadle._net.scratch import Scratch
from treadle._net.upper import Upper

__all__ = ["Footing"]


class Footing:
    """What a transport of another kind takes for its protocol: it stands under a layer above."""

    def __init__(self, upper: Upper, scratch: Scratch, context: Context) -> None:
        self._upper = upper
        self._scratch = scratch
        self._context = context

    def connection_made(self, transport: Any) -> None:
        """Ignore; the layer above begins by itself."""

    def data_received(self, data: Any) -> None:
        """Put what came into the inbox, as if it had been received there."""
        data = bytes(data)
        start = 0
        while start < len(data):
            count = self._scratch.load(data, start)
            self._upper.lower_filled(count)
            start += count

    def eof_received(self) -> None:
        """Hand on."""
        self._upper.lower_eof()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Hand on, in the context of the layer above."""
        self._context.run(self._lost, exc)

    def _lost(self, exc: BaseException | None) -> None:
        self._upper.lower_lost(exc)

    def pause_writing(self) -> None:
        """Hand on."""
        self._upper.lower_paused()

    def resume_writing(self) -> None:
        """Hand on."""
        self._upper.lower_resumed()
