"""python-binary-memcached (PyPI): the binary protocol, with its quiet batches."""

import time
from concurrent.futures import ThreadPoolExecutor

import bmemcached
from bmemcached.exceptions import MemcachedException
from harness import check, refused, same

MIB = 1024 * 1024
U64_MAX = 2**64 - 1


def connect(*servers, kind=bmemcached.Client, **settings):
    return kind([server.address for server in servers], socket_timeout=20, **settings)


@check
def set_get_delete(server):
    client = connect(server)
    same(client.get("a"), None)
    same(client.get("a", default="default"), "default")
    same(client.set("a", b"1"), True)
    same(client.get("a"), b"1")
    same(client.delete("a"), True)
    same(client.get("a"), None)
    same(client.delete("a"), True)  # a miss is no failure to this client


@check
def add_replace(server):
    client = connect(server)
    same(client.replace("a", "x"), False)
    same(client.add("a", "1"), True)
    same(client.add("a", "2"), False)
    same(client.replace("a", "3"), True)
    same(client.get("a"), "3")


@check
def cas(server):
    """Every write tells the unique that it gave; deletes and writes may demand one."""
    client = connect(server)
    same(client.gets("a"), (None, None))
    stored, unique = client.set("a", "1", get_cas=True)
    same(stored, True)
    same(client.gets("a"), ("1", unique))
    same(client.cas("a", "2", unique), True)
    same(client.cas("a", "3", unique), False)
    same(client.cas("missing", "3", unique), False)
    same(client.delete("a", cas=unique), False)
    value, unique = client.gets("a")
    same(value, "2")
    same(client.delete("a", cas=unique), True)
    same(client.get("a"), None)


@check
def incr_decr(server):
    """A counter that is missing starts at what the client says, and lives as long as it says."""
    client = connect(server)
    same(client.incr("n", 1), 0)
    same(client.incr("n", 7), 7)
    same(client.decr("n", 3), 4)
    same(client.decr("n", 100), 0)
    same(client.incr("m", 1, default=40, time=100), 40)
    same(client.incr("m", 2), 42)
    same(client.incr("m", U64_MAX), 41)
    server.advance_clock(101)
    same(client.get("m"), None)
    client.set("text", "text")
    refused(MemcachedException, lambda: client.incr("text", 1))
    same(client.get("text"), "text")


@check
def expiry(server):
    client = connect(server)
    client.set("relative", "1", time=100)
    client.set("absolute", "1", time=int(time.time()) + 100)
    client.set("never", "1")
    client.set_multi({"many1": "1", "many2": "2"}, time=100)
    keys = ["relative", "absolute", "never", "many1", "many2"]
    server.advance_clock(50)
    same(sorted(client.get_multi(keys)), sorted(keys))
    server.advance_clock(60)
    same(client.get_multi(keys), {"never": "1"})


@check
def multi(server):
    client = connect(server)
    items = {f"key{i}": str(i) for i in range(1000)}
    same(client.set_multi(items), [])
    same(client.get_multi([*items, "missing"]), items)
    with_uniques = client.get_multi(items, get_cas=True)
    same({key: value for key, (value, _) in with_uniques.items()}, items)
    same(len({unique for _, unique in with_uniques.values()}), 1000)
    same(client.delete_multi([*items][:999]), True)
    same(client.get_multi([*items]), {"key999": "999"})


@check
def multi_with_refusals(server):
    """Quiet requests answer when they fail: those that were refused come back by name."""
    client = connect(server)
    client.set("a", "old")
    _, unique = client.gets("a")
    client.set("a", "new")
    failed = client.set_multi({("a", unique): "x", ("a", 0): "y", ("b", 0): "1", "c": "2"})
    same(failed, [("a", 0)])  # the unique that it names is the refusal's, which has none
    same(client.get_multi(["a", "b", "c"]), {"a": "new", "b": "1", "c": "2"})
    uniques = client.set_multi_cas({("a", unique): "x", ("b", 0): "y", "c": "3", "d": "4"})
    same([uniques["a"], uniques["b"]], [None, None])
    written = {"c": ("3", uniques["c"]), "d": ("4", uniques["d"])}
    same(client.get_multi([*written], get_cas=True), written)


@check
def objects(server):
    client = connect(server)
    for value in ("text é", 42, -1, 2**70, True, {"list": [1, None]}, b"bytes", "", b"", "x" * 5000):
        client.set("a", value)
        same(client.get("a"), value)


@check
def compressed(server):
    client = connect(server)
    text = "compressible " * 200_000
    for level in (-1, 1, 9):
        same(client.set("a", text, compress_level=level), True)
        same(client.get("a"), text)
    assert int(server.stats()["bytes"]) < 100_000, server.stats()["bytes"]


@check
def value_sizes(server):
    client = connect(server)
    for size in (0, 1, 2, 100, 2047, 2048, 16384, 65536, 524288, MIB - 512):
        value = bytes((size + i * i) % 251 for i in range(size))
        same(client.set("a", value, compress_level=0), True)
        same(client.get("a"), value)


@check
def too_large(server):
    client = connect(server)
    for size in (MIB, 2 * MIB):
        value = bytes(size)
        refused(MemcachedException, lambda: client.set("a", value, compress_level=0))
        same(client.get("a"), None)
        same(client.set("a", "small"), True)
        same(client.get("a"), "small")


@check
def keys(server):
    client = connect(server)
    for key in ("k", "k" * 250, "é" * 125, "with space", "with\ttab", "a\r\nflush_all\r\n"):
        same(client.set(key, key), True)
        same(client.get(key), key)
        same(client.get_multi([key]), {key: key})
    refused(MemcachedException, lambda: client.set("k" * 251, "x"))
    client.disconnect_all()  # the server has hung up
    same(client.get("k"), "k")


@check
def stats_flush(server):
    client = connect(server)
    client.set("a", "1")
    client.get_multi(["a", "missing"])
    stats = client.stats()[server.address]
    same(stats["pid"].decode(), str(server.pid))
    counted = [stats[name] for name in ("cmd_set", "get_hits", "get_misses", "curr_items")]
    same(counted, [b"1"] * 4)
    same(client.stats("settings")[server.address]["item_size_max"], b"1048576")
    same(client.flush_all(), True)
    same(client.get("a"), None)
    client.set("a", "2")
    same(client.flush_all(time=100), True)
    same(client.get("a"), "2")
    server.advance_clock(110)
    same(client.get("a"), None)


@check
def reconnect(server):
    client = connect(server)
    client.set("a", "1")
    client.disconnect_all()
    same(client.get("a"), "1")
    client.enable_retry_delay(True)
    same(client.get("a"), "1")


@check
def threads(server):
    def work(thread):
        client = connect(server)
        for i in range(200):
            client.set(f"key{thread}-{i}", i)
            same(client.get(f"key{thread}-{i}"), i)

    with ThreadPoolExecutor(4) as executor:
        list(executor.map(work, range(4)))
    same(int(server.stats()["curr_items"]), 800)


@check
def distributed(server):
    """Its consistent hashing over two daemons; the plain client writes to both."""
    items = {f"key{i}": str(i) for i in range(400)}
    with server.another() as other:
        client = connect(server, other, kind=bmemcached.DistributedClient)
        same(client.set_multi(items), [])
        same(client.get_multi([*items]), items)
        counts = [int(each.stats()["curr_items"]) for each in (server, other)]
        same(sum(counts), 400)
        assert min(counts) > 0, counts
        same(client.delete_multi([*items]), True)
        same(client.get_multi([*items]), {})
        replicated = connect(server, other, kind=bmemcached.ReplicatingClient)
        same(replicated.set("a", "1"), True)
        same([connect(each).get("a") for each in (server, other)], ["1", "1"])
