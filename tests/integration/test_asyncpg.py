"""asyncpg on the loop, against a real PostgreSQL.

Over TCP with TLS it takes `loop.start_tls`: the connection asks for TLS in plain text first.
"""

from __future__ import annotations

import asyncio
import datetime
import decimal
import io
import ssl
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.integration.servers import Postgres, client_context

asyncpg = pytest.importorskip("asyncpg")

pytestmark = pytest.mark.every_driver


def address(server: Postgres, way: str = "tcp") -> dict[str, Any]:
    """How to connect: over `tcp`, `tls` or `unix`."""
    host = str(server.folder) if way == "unix" else "localhost"
    wanted = {"host": host, "port": server.port, "user": "postgres", "password": "secret"}
    return wanted | {"ssl": client_context() if way == "tls" else False}


@asynccontextmanager
async def connected(server: Postgres, way: str = "tcp", **options: Any) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(**address(server, way), **options)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture(params=["tcp", "tls", "unix"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# on every way to the server -------------------------------------------------------------------


async def test_values_of_many_types_come_back(postgres_server: Postgres, way: str) -> None:
    values = {
        "bigint": 2**62,
        "numeric": decimal.Decimal("1.50"),
        "text": "ä" * 1000,
        "bytea": bytes(range(256)),
        "uuid": uuid.UUID(int=7),
        "timestamptz": datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC),
        "int[]": [1, None, 3],
    }
    async with connected(postgres_server, way) as connection:
        for kind, value in values.items():
            assert await connection.fetchval(f"select $1::{kind}", value) == value


async def test_the_connection_is_what_was_asked_for(postgres_server: Postgres, way: str) -> None:
    async with connected(postgres_server, way) as connection:
        encrypted = await connection.fetchval(
            "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
        )
        peer = await connection.fetchval("select inet_client_addr()")
    assert (encrypted, peer is None) == (way == "tls", way == "unix")


async def test_a_large_result_is_whole(postgres_server: Postgres, way: str) -> None:
    async with connected(postgres_server, way) as connection:
        rows = await connection.fetch(
            "select i, repeat('x', i % 500) from generate_series(1, 20000) i"
        )
    assert [row[0] for row in rows] == list(range(1, 20001))
    assert all(len(row[1]) == row[0] % 500 for row in rows)


async def test_copy_brings_data_in_and_out(postgres_server: Postgres, way: str, fresh: str) -> None:
    async def lines() -> AsyncIterator[bytes]:
        for start in range(0, 20000, 1000):
            yield b"".join(b"%d\t%b\n" % (n, b"x" * 100) for n in range(start, start + 1000))
            await asyncio.sleep(0)

    out = io.BytesIO()
    async with connected(postgres_server, way) as connection:
        await connection.execute(f"create temp table {fresh} (number int, filler text)")
        assert await connection.copy_to_table(fresh, source=lines()) == "COPY 20000"
        copied = await connection.copy_from_table(fresh, columns=["number"], output=out)
        assert copied == "COPY 20000"
        records = [(n, None) for n in range(1000)]
        assert await connection.copy_records_to_table(fresh, records=records) == "COPY 1000"
    assert out.getvalue().split() == [b"%d" % n for n in range(20000)]


async def test_a_cancelled_query_is_cancelled_in_the_server_as_well(
    postgres_server: Postgres, way: str, fresh: str
) -> None:
    async with (
        connected(postgres_server, way, server_settings={"application_name": fresh}) as connection,
        connected(postgres_server) as observer,
    ):
        query = asyncio.ensure_future(connection.execute("select pg_sleep(3600)"))
        await until_active(observer, fresh, "select pg_sleep(3600)")
        query.cancel()
        with pytest.raises(asyncio.CancelledError):
            await query
        assert await connection.fetchval("select 1") == 1


async def until_active(observer: Any, application: str, query: str) -> None:
    """Wait until the server runs the query."""
    active = "select from pg_stat_activity where application_name = $1 and query = $2"
    while not await observer.fetch(f"{active} and state = 'active'", application, query):
        await asyncio.sleep(0)


# what does not depend on the way --------------------------------------------------------------


async def test_a_query_that_takes_too_long_times_out(postgres_server: Postgres) -> None:
    async with connected(postgres_server) as connection:
        with pytest.raises(TimeoutError):
            await connection.execute("select pg_sleep(3600)", timeout=0.02)
        assert await connection.fetchval("select 2") == 2


async def test_a_prepared_statement_is_executed_many_times(postgres_server: Postgres) -> None:
    async with connected(postgres_server) as connection:
        statement = await connection.prepare("select $1::int * 2")
        assert [await statement.fetchval(n) for n in range(200)] == [n * 2 for n in range(200)]


async def test_a_transaction_that_fails_leaves_no_trace(
    postgres_server: Postgres, fresh: str
) -> None:
    async with connected(postgres_server) as connection:
        await connection.execute(f"create temp table {fresh} (name text)")
        async with connection.transaction():
            await connection.execute(f"insert into {fresh} values ('outer')")
            with pytest.raises(asyncpg.UndefinedTableError):
                await insert_and_fail(connection, fresh)  # to a savepoint
        with pytest.raises(asyncpg.UndefinedTableError):
            await insert_and_fail(connection, fresh)
        assert [row["name"] for row in await connection.fetch(f"table {fresh}")] == ["outer"]


async def insert_and_fail(connection: Any, table: str) -> None:
    async with connection.transaction():
        await connection.execute(f"insert into {table} values ('failed')")
        await connection.execute("select * from nowhere")


async def test_a_cursor_is_read_piece_by_piece(postgres_server: Postgres) -> None:
    async with connected(postgres_server) as connection, connection.transaction():
        cursor = connection.cursor("select generate_series(1, 500)", prefetch=10)
        assert [row[0] async for row in cursor] == list(range(1, 501))


async def test_what_one_connection_notifies_another_hears(
    postgres_server: Postgres, fresh: str
) -> None:
    heard: list[str] = []
    complete = asyncio.Event()

    def listen(connection: Any, pid: int, channel: str, payload: str) -> None:
        heard.append(payload)
        if len(heard) == 100:
            complete.set()

    async with connected(postgres_server) as listener, connected(postgres_server) as speaker:
        await listener.add_listener(fresh, listen)
        for number in range(100):
            await speaker.execute("select pg_notify($1, $2)", fresh, str(number))
        await complete.wait()
        await listener.remove_listener(fresh, listen)
    assert heard == [str(number) for number in range(100)]


async def test_a_pool_serves_more_tasks_than_it_has_connections(postgres_server: Postgres) -> None:
    async def backend(pool: Any, number: int) -> int:
        async with pool.acquire() as connection:
            assert await connection.fetchval("select $1::int", number) == number
            return int(await connection.fetchval("select pg_backend_pid()"))

    async with asyncpg.create_pool(**address(postgres_server), min_size=1, max_size=4) as pool:
        backends = await asyncio.gather(*[backend(pool, number) for number in range(100)])
    assert 1 <= len(set(backends)) <= 4


async def test_a_pool_gives_back_the_connection_of_a_cancelled_task(
    postgres_server: Postgres,
) -> None:
    async with asyncpg.create_pool(**address(postgres_server), min_size=1, max_size=1) as pool:
        for _ in range(5):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01), pool.acquire() as connection:
                    await connection.execute("select pg_sleep(3600)")
        assert await pool.fetchval("select 3") == 3


async def test_a_backend_that_is_killed_ends_the_query_with_an_error(
    postgres_server: Postgres, fresh: str
) -> None:
    named = {"server_settings": {"application_name": fresh}}
    async with (
        connected(postgres_server, **named) as connection,
        connected(postgres_server) as killer,
    ):
        query = asyncio.ensure_future(connection.execute("select pg_sleep(3600)"))
        await until_active(killer, fresh, "select pg_sleep(3600)")
        await killer.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1",
            fresh,
        )
        with pytest.raises(asyncpg.ConnectionDoesNotExistError, match="administrator"):
            await query
        with pytest.raises(asyncpg.InterfaceError):
            await connection.fetchval("select 1")


async def test_a_wrong_password_is_refused_and_leaves_nothing_open(
    postgres_server: Postgres,
) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(**address(postgres_server) | {"password": "wrong"})


async def test_a_certificate_that_nobody_signed_is_refused(postgres_server: Postgres) -> None:
    stranger = ssl.create_default_context()
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncpg.connect(**address(postgres_server) | {"ssl": stranger})


async def test_nobody_there_is_refused(postgres_server: Postgres) -> None:
    with pytest.raises(ConnectionRefusedError):
        await asyncpg.connect(**address(postgres_server) | {"port": 1})
