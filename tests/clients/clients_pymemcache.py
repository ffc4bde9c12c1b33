"""pymemcache (PyPI): every command it has a call for."""

import re
import time

from harness import check, refused, same
from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheClientError

SETTINGS = {"default_noreply": False, "connect_timeout": 20, "timeout": 20}
U64_MAX = 2**64 - 1
MIB = 1024 * 1024


def connect(server, **settings):
    return Client(server.address, **{**SETTINGS, **settings})


@check
def set_get(server):
    client = connect(server)
    same(client.get("a"), None)
    same(client.set("a", b"1"), True)
    same(client.get("a"), b"1")
    same(client.set("a", b"two"), True)
    same(client.get("a"), b"two")
    same(client.gets("missing"), (None, None))


@check
def cas(server):
    client = connect(server)
    client.set("a", b"1")
    value, unique = client.gets("a")
    same(value, b"1")
    same(client.cas("a", b"2", unique), True)
    same(client.cas("a", b"3", unique), False)
    same(client.cas("missing", b"3", unique), None)
    same(client.get("a"), b"2")


@check
def add_replace_append_prepend(server):
    client = connect(server)
    for call in (client.replace, client.append, client.prepend):
        same(call("a", b"x"), False)
    same(client.add("a", b"1"), True)
    same(client.add("a", b"2"), False)
    same(client.replace("a", b"3"), True)
    same(client.append("a", b">"), True)
    same(client.prepend("a", b"<"), True)
    same(client.get("a"), b"<3>")


@check
def incr_decr(server):
    client = connect(server)
    same(client.incr("n", 1), None)
    same(client.decr("n", 1), None)
    client.set("n", b"9")
    same(client.incr("n", 1), 10)
    same(client.decr("n", 3), 7)
    same(client.get("n"), b"7 ")  # shrunk in place, padded to its old length
    same(client.decr("n", 100), 0)
    client.set("n", str(U64_MAX))
    same(client.incr("n", 2), 1)
    client.set("n", b"0")
    same(client.incr("n", U64_MAX), U64_MAX)
    client.set("n", b"text")
    refused(MemcacheClientError, lambda: client.incr("n", 1))


@check
def touch(server):
    client = connect(server)
    same(client.touch("a", 100), False)
    client.set("a", b"1", expire=100)
    client.set("short", b"1", expire=100)
    same(client.touch("a", 1000), True)
    server.advance_clock(500)
    same(client.get_many(["a", "short"]), {"a": b"1"})
    same(client.touch("a", -1), True)
    same(client.get("a"), None)


@check
def gat_gats(server):
    """Raw commands: version 4.0.0 has no call for them."""
    client = connect(server)
    client.set_many({"a": b"1", "b": b"2"}, expire=100)
    unique = client.gets("a")[1]
    answer = client.raw_command("gat 1000 a missing b", end_tokens="END\r\n")
    same(answer, b"VALUE a 0 1\r\n1\r\nVALUE b 0 1\r\n2\r\n")
    answer = client.raw_command("gats 1000 a", end_tokens="END\r\n")
    same(answer, b"VALUE a 0 1 %s\r\n1\r\n" % unique)
    server.advance_clock(500)
    same(client.get("a"), b"1")
    server.advance_clock(501)
    same(client.get("a"), None)


@check
def expiry(server):
    client = connect(server)
    client.set("relative", b"1", expire=100)
    client.set("absolute", b"1", expire=int(time.time()) + 100)
    client.set("never", b"1")
    client.set("past", b"1", expire=-1)
    keys = ["relative", "absolute", "never", "past"]
    server.advance_clock(50)
    same(sorted(client.get_many(keys)), ["absolute", "never", "relative"])
    server.advance_clock(60)
    same(client.get_many(keys), {"never": b"1"})
    same(client.add("relative", b"2"), True)


@check
def delete(server):
    client = connect(server)
    same(client.delete("a"), False)
    client.set("a", b"1")
    same(client.delete("a"), True)
    same(client.get("a"), None)


@check
def many(server):
    client = connect(server)
    items = {f"key{i}": b"%d" % i for i in range(1000)}
    same(client.set_many(items), [])
    same(client.get_many([*items, "missing"]), items)
    uniques = [unique for _, unique in client.gets_many(items).values()]
    same(len(set(uniques)), 1000)
    same(client.delete_many(list(items)[:999]), True)
    same(client.get_many(items), {"key999": b"999"})


@check
def noreply(server):
    """Nothing is answered: each later answer on the connection is the right one."""
    client = connect(server, default_noreply=True)
    client.set("a", b"1")
    client.add("a", b"x")
    client.replace("a", b"2")
    client.append("a", b"3")
    client.prepend("a", b"1")
    client.incr("a", 10, noreply=True)
    client.decr("a", 3, noreply=True)
    client.touch("a", 1000)
    same(client.get("a"), b"130")
    client.cas("a", b"new", client.gets("a")[1], noreply=True)
    same(client.get("a"), b"new")
    client.delete("a")
    same(client.get("a"), None)
    client.set("big", b"x" * 2 * MIB)  # refused in silence
    items = {f"key{i}": b"%d" % i for i in range(1000)}
    client.set_many(items)
    same(client.get_many(["big", *items]), items)
    client.delete_many(list(items))
    same(client.get_many(items), {})
    client.set("a", b"1")
    client.flush_all()
    same(client.get("a"), None)


@check
def stats_version(server):
    client = connect(server)
    client.set("a", b"1")
    client.get_many(["a", "missing"])
    stats = client.stats()
    same(stats[b"pid"], server.pid)
    counted = [stats[name] for name in (b"cmd_set", b"get_hits", b"get_misses", b"curr_items")]
    same(counted, [1, 1, 1, 1])
    same(client.stats("settings")[b"item_size_max"], MIB)
    assert re.match(rb"1\.\d+\.\d+", client.version()), client.version()
    same(stats[b"version"], client.version())


@check
def flush_all(server):
    client = connect(server)
    client.set("a", b"1")
    same(client.flush_all(), True)
    same(client.get("a"), None)
    client.set("a", b"2")
    same(client.flush_all(delay=100), True)
    same(client.get("a"), b"2")
    server.advance_clock(110)
    same(client.get("a"), None)
    client.set("a", b"3")
    same(client.get("a"), b"3")
