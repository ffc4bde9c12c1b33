"""pylibmc (PyPI), which is libmemcached for Python: both protocols, behaviours, ketama."""

import time
from concurrent.futures import ThreadPoolExecutor

import pylibmc
from harness import check, check_each, refused, same

TIMEOUTS = {"connect_timeout": 20_000, "receive_timeout": 20_000_000, "send_timeout": 20_000_000}
MIB = 1024 * 1024

each_protocol = check_each(text=False, binary=True)


def connect(servers, binary, **behaviors):
    servers = servers if isinstance(servers, list) else [servers]
    addresses = [server.address for server in servers]
    behaviors = {**TIMEOUTS, "cas": True, "tcp_nodelay": True, **behaviors}
    return pylibmc.Client(addresses, binary=binary, behaviors=behaviors)


@each_protocol
def set_get_delete(server, binary):
    client = connect(server, binary)
    same(client.get("a"), None)
    same(client.get("a", "default"), "default")
    same(client.set("a", b"1"), True)
    same(client.get("a"), b"1")
    same("a" in client, True)
    client["b"] = "two"
    same(client["b"], "two")
    del client["b"]
    same("b" in client, False)
    same(client.delete("a"), True)
    same(client.delete("a"), False)


@each_protocol
def add_replace_append_prepend(server, binary):
    client = connect(server, binary)
    for call in (client.append, client.prepend):
        same(call("a", b"x"), False)
    if binary:  # the client tells the two refusals apart, and so must the server
        refused(pylibmc.NotFound, lambda: client.replace("a", b"x"))
    else:
        same(client.replace("a", b"x"), False)
    same(client.add("a", b"1"), True)
    same(client.add("a", b"2"), False)
    same(client.replace("a", b"3"), True)
    same(client.append("a", b">"), True)
    same(client.prepend("a", b"<"), True)
    same(client.get("a"), b"<3>")


@each_protocol
def cas(server, binary):
    client = connect(server, binary)
    same(client.gets("a"), (None, None))
    client.set("a", b"1")
    value, unique = client.gets("a")
    same(value, b"1")
    same(client.cas("a", b"2", unique), True)
    same(client.cas("a", b"3", unique), False)
    refused(pylibmc.NotFound, lambda: client.cas("missing", b"3", unique))
    same(client.get("a"), b"2")


@each_protocol
def incr_decr(server, binary):
    client = connect(server, binary)
    refused(pylibmc.NotFound, lambda: client.incr("n"))
    refused(pylibmc.NotFound, lambda: client.decr("n"))
    client.set("n", 9)
    same(client.incr("n"), 10)
    same(client.incr("n", 5), 15)
    same(client.decr("n", 3), 12)
    same(client.get("n"), 12)
    same(client.decr("n", 100), 0)
    client.set_multi({"a": 1, "b": 2})
    client.incr_multi(["a", "b"], delta=10)
    same(client.get_multi(["a", "b"]), {"a": 11, "b": 12})
    client.set("text", "text")
    refused(pylibmc.Error, lambda: client.incr("text"))
    same(connect(server, binary).get("text"), "text")  # the first gives its connection up


@each_protocol
def touch_and_expiry(server, binary):
    client = connect(server, binary)
    same(client.touch("a", 100), False)
    client.set("a", b"1", time=100)
    client.set("short", b"1", time=100)
    client.set("absolute", b"1", time=int(time.time()) + 1000)
    same(client.touch("a", 1000), True)
    server.advance_clock(500)
    same(client.get_multi(["a", "short", "absolute"]), {"a": b"1", "absolute": b"1"})
    server.advance_clock(510)
    same(client.get_multi(["a", "short", "absolute"]), {})


@each_protocol
def multi(server, binary):
    client = connect(server, binary)
    items = {f"key{i}": b"%d" % i for i in range(1000)}
    same(client.set_multi(items), [])
    same(client.get_multi([*items, "missing"]), items)
    same(client.set_multi(items, key_prefix="p:", time=100), [])
    same(client.get_multi(["key1", "key2"], key_prefix="p:"), {"key1": b"1", "key2": b"2"})
    same(client.delete_multi(list(items)[:999]), True)
    same(client.get_multi([*items]), {"key999": b"999"})
    same(client.delete_multi(["key999", "missing"]), False)
    same(client.add_multi({"p:key1": b"x", "new": b"1"}), ["p:key1"])


@each_protocol
def objects(server, binary):
    client = connect(server, binary)
    for value in ("text é", 42, -1, True, 1.5, {"list": [1, None]}, b"bytes", "", b"", None):
        client.set("a", value)
        same(client.get("a", "default"), value)
    same(client.get("a", "default"), None)
    items = {f"key{i}": {"number": i, "bytes": bytes([i])} for i in range(100)}
    client.set_multi(items)
    same(client.get_multi([*items]), items)


@each_protocol
def value_sizes(server, binary):
    client = connect(server, binary)
    for size in (0, 1, 2, 100, 2047, 2048, 16384, 65536, 524288, MIB - 512):
        value = bytes((size + i * i) % 251 for i in range(size))
        same(client.set("a", value), True)
        same(client.get("a"), value)
    items = {f"key{i}": bytes([i]) * 100_000 for i in range(20)}
    same(client.set_multi(items), [])
    same(client.get_multi([*items]), items)


@each_protocol
def compressed(server, binary):
    client = connect(server, binary)
    text, noise = "compressible " * 100_000, bytes(i * i % 251 for i in range(100_000))
    client.set("a", text, min_compress_len=1000)
    client.set_multi({"b": text, "c": noise, "d": "short"}, min_compress_len=1000)
    same(client.get_multi(["a", "b", "c", "d"]), {"a": text, "b": text, "c": noise, "d": "short"})
    assert int(server.stats()["bytes"]) < 200_000, server.stats()["bytes"]


@each_protocol
def too_large(server, binary):
    client = connect(server, binary)
    for size in (MIB, 2 * MIB):
        refused(pylibmc.Error, lambda: client.set("a", b"x" * size))
        same(client.get("a"), None)
        same(client.set("a", b"old"), True)
        same(client.get("a"), b"old")


@each_protocol
def keys(server, binary):
    client = connect(server, binary)
    for key in ("k", "k" * 250, "\xe9" * 100, "!$%&'()*+,-./:;<=>?@[]^_`{|}~"):
        same(client.set(key, key), True)
        same(client.get(key), key)
        same(client.get_multi([key]), {key: key})
    refused(ValueError, lambda: client.set("k" * 251, "x"))


@each_protocol
def noreply_and_buffers(server, binary):
    """Answers that do not come or that come late do not get the connection out of step."""
    client = connect(server, binary, no_block=True, _noreply=True)
    items = {f"key{i}": b"%d" % i * 50 for i in range(500)}
    for key, value in items.items():
        client.set(key, value)
    same(client.get_multi([*items]), items)
    for key in items:
        client.delete(key)
    same(client.get_multi([*items]), {})


@each_protocol
def stats_flush(server, binary):
    client = connect(server, binary)
    client.set("a", b"1")
    client.get_multi(["a", "missing"])
    ((name, stats),) = client.get_stats()
    assert server.address in name.decode() if isinstance(name, bytes) else name, name
    stats = {key: value.decode() for key, value in stats.items()}
    same(stats["pid"], str(server.pid))
    counted = [stats[name] for name in ("cmd_set", "get_hits", "get_misses", "curr_items")]
    same(counted, ["1", "1", "1", "1"])
    same(client.flush_all(), True)
    same(client.get("a"), None)
    client.set("a", b"2")
    same(client.get("a"), b"2")


@each_protocol
def reconnect(server, binary):
    client = connect(server, binary)
    client.set("a", b"1")
    client.disconnect_all()
    same(client.get("a"), b"1")
    same(client.clone().get("a"), b"1")


@each_protocol
def threads(server, binary):
    pool = pylibmc.ClientPool(connect(server, binary), 4)

    def work(thread):
        for i in range(200):
            key = f"key{thread}-{i}"
            with pool.reserve(block=True) as client:
                client.set(key, (thread, i))
                same(client.get(key), (thread, i))

    with ThreadPoolExecutor(8) as executor:
        list(executor.map(work, range(8)))
    same(int(server.stats()["curr_items"]), 1600)


@each_protocol
def ketama(server, binary):
    """Four daemons on a ring of hashes: each gets a share; without one, most keys stay."""
    items = {f"key{i}": str(i) for i in range(1000)}
    with server.and_others(3) as servers:
        client = connect(servers, binary, ketama=True)
        same(client.set_multi(items), [])
        same(client.get_multi([*items]), items)
        shares = [int(each.stats()["curr_items"]) for each in servers]
        same(sum(shares), 1000)
        assert min(shares) > 100, shares
        left = connect(servers[:3], binary, ketama=True).get_multi([*items])
        assert len(left) > 600 and left.items() <= items.items(), len(left)
        same(len(client.get_stats()), 4)
        same(client.delete_multi([*items]), True)
        same(client.get_multi([*items]), {})


@check
def protocols_share_values(server):
    text, binary = connect(server, False), connect(server, True)
    text.set("a", {"from": "text"})
    same(binary.get("a"), {"from": "text"})
    _, unique = binary.gets("a")
    same(text.gets("a")[1], unique)
    same(binary.cas("a", 41, unique), True)
    same(text.cas("a", 0, unique), False)
    same(text.incr("a"), 42)
    same(binary.get("a"), 42)
