"""Which process does what only one may do, such as to run a game.

A turn is taken for a few seconds and renewed. A process that dies takes none, so that another one
has it soon after.
"""

from __future__ import annotations

from typing import Protocol

LEASE = 3.0  # seconds
RENEW = 1.0

TAKE = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
GIVE_UP = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""


class Turns(Protocol):
    """Where turns are taken."""

    async def take(self, name: str) -> bool:
        """Take or renew a turn; call it again before `RENEW` has passed twice."""

    async def give_up(self, name: str) -> None:
        """Let another process have it at once."""

    async def close(self) -> None: ...


class Alone:
    """There is one process, and it is always its turn."""

    async def take(self, name: str) -> bool:
        return True

    async def give_up(self, name: str) -> None:
        pass

    async def close(self) -> None:
        pass


class RedisTurns:
    """Turns among the processes that use the same Redis. While that is away, nobody has one."""

    def __init__(self, url: str, me: str) -> None:
        from redis.asyncio import Redis

        self._redis = Redis.from_url(url, socket_timeout=RENEW)
        self._me = me

    async def take(self, name: str) -> bool:
        from redis.exceptions import RedisError

        try:
            taken = await self._redis.eval(TAKE, 1, key(name), self._me, str(int(LEASE * 1000)))
        except (RedisError, OSError):
            return False
        return bool(taken)

    async def give_up(self, name: str) -> None:
        from redis.exceptions import RedisError

        try:
            await self._redis.eval(GIVE_UP, 1, key(name), self._me)
        except (RedisError, OSError):
            pass  # it runs out

    async def close(self) -> None:
        await self._redis.aclose()


def key(name: str) -> str:
    return f"showcase:turn:{name}"
