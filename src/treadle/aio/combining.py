"""Several promises that settle one: what `Promise.all_` and its like have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from treadle.aio.reasons import caught, raise_what_ends_a_loop

if TYPE_CHECKING:
    from treadle.aio.promise import Promise

__all__ = ["Combination", "Settled"]


class Settled(NamedTuple):
    """How a promise ended, as `Promise.all_settled` tells it."""

    status: Literal["fulfilled", "rejected"]
    value: Any = None
    reason: BaseException | None = None


class Combination:
    """Several promises that settle one."""

    def __init__(
        self,
        promise: Promise[Any],
        finish: Callable[[Combination], None] | None = None,
    ) -> None:
        self.promise = promise
        self.finish = finish or Combination.fulfil_with_all
        self.kept: list[Any] = []
        self.missing = 1  # itself, until all items have been seen

    def run(
        self,
        items: Iterable[Any],
        fulfilled: Callable[[Combination, int, Any], None] | None,
        rejected: Callable[[Combination, int, BaseException], None] | None = None,
    ) -> Promise[Any]:
        """Watch the items; an outcome for which there is no method settles the promise."""
        promise = self.promise
        try:
            for index, item in enumerate(items):
                self.kept.append(None)
                self.missing += 1
                type(promise).resolve(item).then(
                    _bound(fulfilled, self, index) or self.fulfil,
                    _bound(rejected, self, index) or self.reject,
                )
            self._one_less()
            return promise
        except BaseException as error:  # the iteration
            promise._settle("rejected", caught(error))
            raise_what_ends_a_loop(error)
            return promise
        finally:
            del self, promise  # the iteration's frame holds this one

    def fulfil(self, value: Any) -> None:
        self.promise._settle("fulfilled", value)

    def reject(self, reason: BaseException) -> None:
        self.promise._settle("rejected", reason)

    def keep_value(self, index: int, value: Any) -> None:
        self.kept[index] = value
        self._one_less()

    def keep_settled(self, index: int, value: Any) -> None:
        self.keep_value(index, Settled("fulfilled", value=value))

    def keep_failed(self, index: int, reason: BaseException) -> None:
        self.keep_value(index, Settled("rejected", reason=reason))

    def keep_reason(self, index: int, reason: BaseException) -> None:
        self.keep_value(index, reason)

    def _one_less(self) -> None:
        self.missing -= 1
        if not self.missing:
            self.finish(self)

    def fulfil_with_all(self) -> None:
        self.promise._settle("fulfilled", self.kept)

    def reject_with_all(self) -> None:
        self.promise._settle(
            "rejected",
            BaseExceptionGroup("all promises were rejected", self.kept)
            if self.kept
            else ValueError("no promise to be fulfilled: there are no items"),
        )


def _bound(
    method: Callable[[Combination, int, Any], None] | None, combination: Combination, index: int
) -> Callable[[Any], None] | None:
    if method is None:
        return None
    return lambda outcome: method(combination, index, outcome)
