"""What a promise is rejected with: exceptions, as they were raised or handed over."""

from __future__ import annotations

__all__ = ["caught", "check_reason", "raise_what_ends_a_loop"]


def check_reason(reason: object) -> None:
    """Raise TypeError for what cannot be raised where a promise is awaited."""
    if isinstance(reason, StopIteration):
        raise TypeError("StopIteration cannot be raised where a promise is awaited")
    if not isinstance(reason, BaseException):
        hint = f"{reason.__name__}(...)" if isinstance(reason, type) else f"Exception({reason!r})"
        raise TypeError(
            f"a promise is rejected with an exception, not {reason!r}: try reject({hint})"
        )


def caught(error: BaseException) -> BaseException:
    """The reason that an exception is, without the frame that caught it."""
    if error.__traceback__ is not None:
        error.__traceback__ = error.__traceback__.tb_next
    if isinstance(error, StopIteration):
        reason = RuntimeError("a promise's function raised StopIteration")
        reason.__cause__ = error
        return reason
    return error


def raise_what_ends_a_loop(error: BaseException) -> None:
    """Let through what asyncio lets through its tasks and callbacks."""
    if isinstance(error, (SystemExit, KeyboardInterrupt)):
        raise error
