"""aiomcache (PyPI): the text protocol under asyncio."""

import asyncio
import functools
import json
import time

import aiomcache
from aiomcache.exceptions import ClientException
from harness import check, same

MIB = 1024 * 1024


def check_async(function):
    """Makes a check of a coroutine; it is given the daemon and a client."""

    async def conversation(server):
        client = aiomcache.Client("127.0.0.1", server.port, pool_size=4)
        try:
            await function(server, client)
        finally:
            await client.close()

    @functools.wraps(function)
    def run(server):
        asyncio.run(conversation(server))

    return check(run)


async def refused(awaitable):
    try:
        answer = await awaitable
    except ClientException:
        return
    raise AssertionError(f"not refused: {answer!r:.200}")


@check_async
async def set_get_delete(server, client):
    same(await client.get(b"a"), None)
    same(await client.get(b"a", b"default"), b"default")
    same(await client.set(b"a", b"1"), True)
    same(await client.get(b"a"), b"1")
    same(await client.delete(b"a"), True)
    same(await client.delete(b"a"), False)


@check_async
async def add_replace_append_prepend(server, client):
    for call in (client.replace, client.append, client.prepend):
        same(await call(b"a", b"x"), False)
    same(await client.add(b"a", b"1"), True)
    same(await client.add(b"a", b"2"), False)
    same(await client.replace(b"a", b"3"), True)
    same(await client.append(b"a", b">"), True)
    same(await client.prepend(b"a", b"<"), True)
    same(await client.get(b"a"), b"<3>")


@check_async
async def cas(server, client):
    same(await client.gets(b"a"), (None, None))
    await client.set(b"a", b"1")
    value, unique = await client.gets(b"a")
    same(value, b"1")
    same(await client.cas(b"a", b"2", unique), True)
    same(await client.cas(b"a", b"3", unique), False)
    same(await client.get(b"a"), b"2")


@check_async
async def incr_decr(server, client):
    await refused(client.incr(b"n"))
    await client.set(b"n", b"9")
    same(await client.incr(b"n"), 10)
    same(await client.decr(b"n", 3), 7)
    same(await client.decr(b"n", 100), 0)
    await client.set(b"text", b"text")
    await refused(client.incr(b"text"))
    same(await client.get(b"text"), b"text")


@check_async
async def touch_and_expiry(server, client):
    same(await client.touch(b"a", 100), False)
    for key in (b"a", b"short"):
        await client.set(key, b"1", exptime=100)
    await client.set(b"absolute", b"1", exptime=int(time.time()) + 1000)
    same(await client.touch(b"a", 1000), True)
    server.advance_clock(500)
    same(await client.multi_get(b"a", b"short", b"absolute"), (b"1", None, b"1"))
    server.advance_clock(510)
    same(await client.multi_get(b"a", b"short", b"absolute"), (None, None, None))


@check_async
async def at_once(server, client):
    """Hundreds of coroutines share four connections."""

    async def work(number):
        key = b"key%d" % number
        await client.set(key, b"%d" % number)
        return await client.get(key)

    numbers = range(500)
    same(await asyncio.gather(*map(work, numbers)), [b"%d" % number for number in numbers])
    keys = [b"key%d" % number for number in numbers]
    same(await client.multi_get(*keys), tuple(b"%d" % number for number in numbers))


@check_async
async def values(server, client):
    for value in (b"", b"\r\n", b"END\r\n", bytes(range(256))):
        same(await client.set(b"a", value), True)
        same(await client.get(b"a"), value)
    for size in (1, 2048, 65536, 524288, MIB - 512):
        value = bytes((size + i * i) % 251 for i in range(size))
        same(await client.set(b"a", value), True)
        same(await client.get(b"a"), value)
    await refused(client.set(b"a", bytes(2 * MIB)))
    same(await client.get(b"a"), None)


@check
def flags(server):
    """Objects are told from bytes by the flags of the item."""

    async def encode(value):
        return json.dumps(value).encode(), 7

    async def decode(value, flags):
        same(flags, 7)
        return json.loads(value)

    async def conversation():
        client = aiomcache.FlagClient(
            "127.0.0.1", server.port, set_flag_handler=encode, get_flag_handler=decode
        )
        for value in ({"list": [1, None]}, "text é", 42):
            same(await client.set(b"a", value), True)
            same(await client.get(b"a"), value)
        same(await client.set(b"b", b"bytes"), True)
        same(await client.multi_get(b"a", b"b"), (42, b"bytes"))
        await client.close()

    asyncio.run(conversation())


@check_async
async def stats_flush_version(server, client):
    await client.set(b"a", b"1")
    await client.multi_get(b"a", b"missing")
    stats = await client.stats()
    same(stats[b"pid"], b"%d" % server.pid)
    same([stats[name] for name in (b"cmd_set", b"get_hits", b"get_misses")], [b"1"] * 3)
    same((await client.stats(b"settings"))[b"item_size_max"], b"%d" % MIB)
    same(await client.version(), stats[b"version"])
    await client.flush_all()
    same(await client.get(b"a"), None)
