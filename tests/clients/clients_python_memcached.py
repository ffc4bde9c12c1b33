"""python-memcached (PyPI, module memcache): its calls, as far as it has them."""

import memcache
from harness import check, same

MIB = 1024 * 1024


def connect(*servers, **settings):
    addresses = [server.address for server in servers]
    settings = {"cache_cas": True, "socket_timeout": 20, **settings}
    return memcache.Client(addresses, **settings)


@check
def set_get_delete(server):
    client = connect(server)
    same(client.get("a"), None)
    same(client.set("a", "1"), True)
    same(client.get("a"), "1")
    same(client.delete("a"), 1)
    same(client.get("a"), None)
    same(client.delete("a"), 0)


@check
def cas(server):
    first, second = connect(server), connect(server)
    first.set("a", "1")
    same(first.gets("a"), "1")
    same(second.gets("a"), "1")
    same(first.cas("a", "2"), True)
    same(second.cas("a", "3"), False)
    same(first.get("a"), "2")
    same(first.gets("a"), "2")
    first.delete("a")
    same(first.cas("a", "4"), False)
    same(first.get("a"), None)


@check
def add_replace_append_prepend(server):
    client = connect(server)
    for call in (client.replace, client.append, client.prepend):
        same(call("a", "x"), False)
    same(client.add("a", "1"), True)
    same(client.add("a", "2"), False)
    same(client.replace("a", "3"), True)
    same(client.append("a", ">"), True)
    same(client.prepend("a", "<"), True)
    same(client.get("a"), "<3>")


@check
def incr_decr(server):
    client = connect(server)
    same(client.incr("n"), None)
    same(client.decr("n"), None)
    client.set("n", 9)
    same(client.incr("n"), 10)
    same(client.get("n"), 10)
    same(client.decr("n", 3), 7)
    same(client.get("n"), 7)
    same(client.decr("n", 100), 0)
    same(client.incr("n", 2**64 - 1), 2**64 - 1)
    same(client.incr("n", 2), 1)


@check
def touch_and_expiry(server):
    client = connect(server)
    same(client.touch("a", 100), 0)
    client.set("a", "1", time=100)
    client.set("short", "1", time=100)
    same(client.touch("a", 1000), 1)
    server.advance_clock(500)
    same(client.get_multi(["a", "short"]), {"a": "1"})
    server.advance_clock(501)
    same(client.get("a"), None)


@check
def multi(server):
    client = connect(server)
    items = {f"key{i}": i for i in range(1000)}
    same(client.set_multi(items), [])
    same(client.get_multi([*items, "missing"]), items)
    same(client.delete_multi(list(items)[:999]), 1)
    same(client.get_multi(items), {"key999": 999})
    same(client.set_multi({"1": "a", "2": "b"}, key_prefix="p"), [])
    same(client.get_multi(["1", "2"], key_prefix="p"), {"1": "a", "2": "b"})
    same(client.get("p1"), "a")


@check
def noreply(server):
    client = connect(server)
    client.set("a", "1", noreply=True)
    client.add("a", "x", noreply=True)
    client.replace("a", "2", noreply=True)
    client.append("a", "3", noreply=True)
    client.prepend("a", "1", noreply=True)
    client.incr("a", 10, noreply=True)
    client.decr("a", 3, noreply=True)
    client.touch("a", 1000, noreply=True)
    same(client.gets("a"), "130")
    client.cas("a", "new", noreply=True)
    same(client.get("a"), "new")
    client.delete("a", noreply=True)
    same(client.get("a"), None)


@check
def objects(server):
    client = connect(server)
    for value in ("text é", b"bytes \x00\r\n", 42, -1, 2**70, 1.5, {"list": [1, None]}, ("a",)):
        same(client.set("a", value), True)
        same(client.get("a"), value)


@check
def compressed(server):
    client = connect(server)
    value = "compressible " * 10000
    same(client.set("a", value, min_compress_len=1000), True)
    same(client.get("a"), value)
    header = server.exchange(b"get a\r\n").split(b"\r\n")[0]
    stored_bytes = int(header.split()[3])
    assert stored_bytes < len(value) // 10, header


@check
def value_sizes(server):
    client = connect(server, server_max_value_length=4 * MIB)
    for size in (0, 1, 100, 2048, 65536, 524288, MIB - 512):
        value = bytes((size + i) % 251 for i in range(size))
        same(client.set("a", value), True)
        same(client.get("a"), value)
    same(client.set("a", b"x" * MIB), False)
    same(client.get("a"), None)


@check
def stats_flush(server):
    client = connect(server)
    client.set("a", "1")
    client.get_multi(["a", "missing"])
    ((_, stats),) = client.get_stats()
    same(int(stats["pid"]), server.pid)
    counted = [stats[name] for name in ("cmd_set", "get_hits", "get_misses", "curr_items")]
    same(counted, ["1", "1", "1", "1"])
    client.flush_all()
    same(client.get("a"), None)


@check
def two_daemons(server):
    items = {f"key{i}": str(i) for i in range(400)}
    with server.another() as other:
        client = connect(server, other)
        same(client.set_multi(items), [])
        same(client.get_multi(items), items)
        counts = [int(each.stats()["curr_items"]) for each in (server, other)]
        same(sum(counts), 400)
        assert min(counts) > 0, counts
