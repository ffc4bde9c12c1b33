"""emcache (PyPI): the text protocol under asyncio, batches of gets, several daemons."""

import asyncio
import functools
import time

import emcache
from harness import check, same

MIB = 1024 * 1024


def check_async(function=None, **settings):
    """Makes a check of a coroutine; it is given the daemon and a client."""
    if function is None:
        return functools.partial(check_async, **settings)

    async def conversation(server):
        client = await connect(server, **settings)
        try:
            await function(server, client)
        finally:
            await client.close()

    @functools.wraps(function)
    def run(server):
        asyncio.run(conversation(server))

    return check(run)


async def connect(*servers, **settings):
    addresses = [emcache.MemcachedHostAddress("127.0.0.1", server.port) for server in servers]
    return await emcache.create_client(addresses, timeout=20, connection_timeout=20, **settings)


def address(server):
    return emcache.MemcachedHostAddress("127.0.0.1", server.port)


async def refused(error, awaitable):
    try:
        answer = await awaitable
    except error:
        return
    raise AssertionError(f"not refused: {answer!r:.200}")


async def value_of(client, key):
    item = await client.get(key)
    return item and item.value


@check_async
async def set_get_delete(server, client):
    same(await client.get(b"a"), None)
    await client.set(b"a", b"1", flags=7)
    item = await client.get(b"a", return_flags=True)
    same((item.value, item.flags), (b"1", 7))
    await client.delete(b"a")
    same(await client.get(b"a"), None)
    await refused(emcache.NotFoundCommandError, client.delete(b"a"))


@check_async
async def add_replace_append_prepend(server, client):
    for call in (client.replace, client.append, client.prepend):
        await refused(emcache.NotStoredStorageCommandError, call(b"a", b"x"))
    await client.add(b"a", b"1")
    await refused(emcache.NotStoredStorageCommandError, client.add(b"a", b"2"))
    await client.replace(b"a", b"3")
    await client.append(b"a", b">")
    await client.prepend(b"a", b"<")
    same(await value_of(client, b"a"), b"<3>")


@check_async
async def cas(server, client):
    await client.set(b"a", b"1")
    item = await client.gets(b"a")
    await client.cas(b"a", b"2", item.cas)
    await refused(emcache.StorageCommandError, client.cas(b"a", b"3", item.cas))
    same(await value_of(client, b"a"), b"2")
    found = await client.gets_many([b"a", b"missing"])
    same(list(found), [b"a"])
    assert found[b"a"].cas > item.cas, found


@check_async
async def incr_decr(server, client):
    await refused(emcache.NotFoundCommandError, client.increment(b"n", 1))
    await client.set(b"n", b"9")
    same(await client.increment(b"n", 1), 10)
    same(await client.decrement(b"n", 3), 7)
    same(await client.decrement(b"n", 100), 0)
    await client.set(b"text", b"text")
    await refused(ValueError, client.increment(b"text", 1))  # it takes the answer for a number
    same(await value_of(client, b"text"), b"text")


@check_async
async def touch_gat_expiry(server, client):
    await refused(emcache.NotFoundCommandError, client.touch(b"a", 100))
    for key in (b"a", b"b", b"c", b"short"):
        await client.set(key, key, exptime=100)
    await client.set(b"absolute", b"1", exptime=int(time.time()) + 1000)
    await client.touch(b"a", 1000)
    same((await client.gat(1000, b"b")).value, b"b")
    item = (await client.gats_many(1000, [b"c", b"missing"]))[b"c"]
    await client.cas(b"c", b"new", item.cas, exptime=1000)
    server.advance_clock(500)
    found = await client.get_many([b"a", b"b", b"c", b"short", b"absolute"])
    same(sorted(found), [b"a", b"absolute", b"b", b"c"])
    server.advance_clock(510)
    same(await client.get_many([b"a", b"b", b"c", b"short", b"absolute"]), {})


@check_async(max_connections=1)
async def noreply(server, client):
    """Nothing is answered: each later answer on the connection is the right one."""
    for number in range(300):
        await client.set(b"key%d" % number, b"%d" % number, noreply=True)
        await client.add(b"key%d" % number, b"x", noreply=True)
        await client.increment(b"key%d" % number, 1000, noreply=True)
        await client.touch(b"missing", 1, noreply=True)
    keys = [b"key%d" % number for number in range(300)]
    found = await client.get_many(keys)
    same([found[key].value for key in keys], [b"%d" % (1000 + number) for number in range(300)])
    for key in keys:
        await client.delete(key, noreply=True)
    same(await client.get_many(keys), {})


@check_async(autobatching=True)
async def batches(server, client):
    """Gets of one moment become one command."""
    numbers = range(500)
    await asyncio.gather(*(client.set(b"key%d" % n, b"%d" % n) for n in numbers))
    values = await asyncio.gather(*(value_of(client, b"key%d" % n) for n in numbers))
    same(values, [b"%d" % n for n in numbers])


@check_async
async def values(server, client):
    for value in (b"", b"\r\n", b"END\r\n", bytes(range(256))):
        await client.set(b"a", value)
        same(await value_of(client, b"a"), value)
    for size in (1, 2048, 65536, 524288, MIB - 512):
        value = bytes((size + i * i) % 251 for i in range(size))
        await client.set(b"a", value)
        same(await value_of(client, b"a"), value)
    await refused(emcache.StorageCommandError, client.set(b"a", bytes(2 * MIB)))
    same(await client.get(b"a"), None)
    await client.set(b"k" * 250, b"long")
    same(await value_of(client, b"k" * 250), b"long")


@check_async
async def administration(server, client):
    await client.set(b"a", b"1")
    await client.get_many([b"a", b"missing"])
    node = address(server)
    stats = await client.stats(node)
    same(stats["pid"], str(server.pid))
    same([stats[name] for name in ("cmd_set", "get_hits", "get_misses")], ["1"] * 3)
    same((await client.stats(node, "settings"))["item_size_max"], str(MIB))
    same(await client.version(node), stats["version"])
    await client.verbosity(node, 0)
    await client.cache_memlimit(node, 100)
    same(server.stats("settings")["maxbytes"], str(100 * MIB))
    await client.flush_all(node)
    same(await client.get(b"a"), None)


@check
def two_daemons(server):
    async def conversation(other):
        client = await connect(server, other)
        keys = [b"key%d" % number for number in range(400)]
        for key in keys:
            await client.set(key, key)
        found = await client.get_many(keys)
        same({key: item.value for key, item in found.items()}, {key: key for key in keys})
        await client.close()

    with server.another() as other:
        asyncio.run(conversation(other))
        counts = [int(each.stats()["curr_items"]) for each in (server, other)]
        same(sum(counts), 400)
        assert min(counts) > 0, counts
