"""The servers that tests about accounts talk to are what they say they are."""

from __future__ import annotations

import asyncpg
import pytest
from redis.asyncio import Redis


async def test_a_database_of_postgres_is_new_durable_and_asks_for_the_password(postgres):
    first, second = postgres.new_database(), postgres.new_database()
    assert first != second
    connection = await asyncpg.connect(first)
    assert await connection.fetchval("SHOW fsync") == "on"
    await connection.execute("CREATE TABLE here (n int)")
    await connection.close()
    assert postgres.sql("SELECT count(*) FROM here", first) == "0"
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(first.replace("postgres-secret", "wrong"))


async def test_postgres_can_go_away_and_come_back_with_what_it_had(postgres):
    url = postgres.new_database()
    postgres.sql("CREATE TABLE here (n int)", url)
    postgres.stop()
    with pytest.raises(OSError):
        await asyncpg.connect(url)
    postgres.start()
    assert postgres.sql("SELECT count(*) FROM here", url) == "0"


async def test_valkey_answers_and_comes_back_empty(valkey):
    async with Redis.from_url(valkey.url) as client:
        await client.set("name", "value")
        assert (await client.info("server"))["server_name"] == "valkey"
    valkey.stop()
    valkey.start()
    async with Redis.from_url(valkey.url) as client:
        assert await client.get("name") is None
