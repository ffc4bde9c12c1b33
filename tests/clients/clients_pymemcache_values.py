"""pymemcache (PyPI): what values may be, and its clients for several daemons and threads."""

from concurrent.futures import ThreadPoolExecutor

from clients_pymemcache import MIB, SETTINGS, connect
from harness import check, refused, same
from pymemcache.client.base import PooledClient
from pymemcache.client.hash import HashClient
from pymemcache.exceptions import MemcacheServerError
from pymemcache.serde import CompressedSerde, PickleSerde


class FlagsSerde:
    """Values are pairs of bytes and flags."""

    def serialize(self, key, value):
        return value

    def deserialize(self, key, value, flags):
        return value, flags


@check
def flags(server):
    client = connect(server, serde=FlagsSerde())
    for number in (0, 1, 0x80, 0xFFFF, 2**31, 2**32 - 1):
        client.set("a", (b"x", number))
        same(client.get("a"), (b"x", number))
    client.append("a", (b"y", 5))
    same(client.get("a"), (b"xy", 2**32 - 1))


@check
def objects(server):
    for serde in (PickleSerde(), CompressedSerde(min_compress_len=400)):
        client = connect(server, serde=serde)
        for value in ("text é", 42, {"list": [1, None]}, b"bytes", "long" * 1000):
            client.set("a", value)
            same(client.get("a"), value)


@check
def value_sizes(server):
    client = connect(server)
    for size in (0, 1, 2, 100, 2047, 2048, 16384, 65536, 524288, MIB - 512):
        value = bytes((size + i) % 251 for i in range(size))
        same(client.set("a", value), True)
        same(client.get("a"), value)


@check
def too_large(server):
    """The refusal takes the old value along, as memcached's does, for set alone."""
    client = connect(server)
    for size in (MIB, 2 * MIB):
        client.set("a", b"old")
        refused(MemcacheServerError, lambda: client.replace("a", b"x" * size))
        same(client.get("a"), b"old")
        refused(MemcacheServerError, lambda: client.set("a", b"x" * size))
        same(client.get("a"), None)


@check
def binary_safe(server):
    client = connect(server, allow_unicode_keys=True)
    values = (b"", b"\r\n", b"END\r\n", b"a\r\nEND\r\nget a\r\n", bytes(range(256)) * 20)
    for value in values:
        client.set("a", value)
        same(client.get("a"), value)
    for key in ("k" * 250, "ключ", "key/with:signs\"'%"):
        same(client.set(key, b"1"), True)
        same(client.get_many([key, "missing"]), {key: b"1"})


@check
def hash_client_two_daemons(server):
    items = {f"key{i}": b"%d" % i for i in range(400)}
    with server.another() as other:
        client = HashClient([server.address, other.address], **SETTINGS)
        same(client.set_many(items), [])
        same(client.get_many(items), items)
        counts = [int(each.stats()["curr_items"]) for each in (server, other)]
        same(sum(counts), 400)
        assert min(counts) > 0, counts
        same(client.delete("key0"), True)
        same(client.get("key0"), None)


@check
def pool(server):
    """Threads share a counter by incr and another by cas: no step of either is lost."""
    client = PooledClient(server.address, max_pool_size=4, **SETTINGS)
    client.set_many({"incr": b"0", "cas": b"0"})

    def step(_):
        client.incr("incr", 1)
        for _ in range(1000):
            value, unique = client.gets("cas")
            if client.cas("cas", b"%d" % (int(value) + 1), unique):
                return
        raise RuntimeError("cas never succeeds")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(step, range(400)))
    same(client.get_many(["incr", "cas"]), {"incr": b"400", "cas": b"400"})
