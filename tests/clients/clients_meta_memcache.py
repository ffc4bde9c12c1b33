"""meta-memcache (PyPI): the meta commands, as a client uses them: leases, stale values, recache."""

import dataclasses
import logging
import time
from concurrent.futures import ThreadPoolExecutor

from harness import check, refused, same
from meta_memcache import CacheClient, Key, SetMode
from meta_memcache.configuration import (
    LeasePolicy,
    RecachePolicy,
    ServerAddress,
    StalePolicy,
    connection_pool_factory_builder,
)
from meta_memcache.errors import MemcacheError
from meta_memcache.protocol import Miss, NotStored, RequestFlags, Success, Value

# It logs each error before it raises it.
logging.getLogger("meta_memcache").setLevel(logging.CRITICAL)

MIB = 1024 * 1024
HOUR = 3600


@dataclasses.dataclass
class Point:
    x: int
    y: int


def connect(*servers, **settings):
    return CacheClient.cache_client_from_servers(
        servers=[ServerAddress("127.0.0.1", server.port) for server in servers],
        connection_pool_factory_fn=connection_pool_factory_builder(
            connection_timeout=20, recv_timeout=20
        ),
        **settings,
    )


@check
def set_get_delete(server):
    client = connect(server)
    same(client.get("a"), None)
    same(client.set("a", b"1", ttl=HOUR), True)
    same(client.get("a"), b"1")
    same(client.get_typed("a", bytes), b"1")
    same(client.get_typed("a", str), None)
    same(client.delete("a"), True)
    same(client.delete("a"), False)
    same(client.invalidate("a"), True)
    same(client.get("a"), None)


@check
def modes(server):
    client = connect(server)
    for mode in (SetMode.REPLACE, SetMode.APPEND, SetMode.PREPEND):
        same(client.set("a", b"x", ttl=HOUR, set_mode=mode), False)
    same(client.refill("a", b"1", ttl=HOUR), True)
    same(client.refill("a", b"2", ttl=HOUR), False)
    same(client.set("a", b"2", ttl=HOUR, set_mode=SetMode.ADD), False)
    same(client.set("a", b"3", ttl=HOUR, set_mode=SetMode.REPLACE), True)
    same(client.set("a", b">", ttl=HOUR, set_mode=SetMode.APPEND), True)
    same(client.set("a", b"<", ttl=HOUR, set_mode=SetMode.PREPEND), True)
    same(client.get("a"), b"<3>")


@check
def cas(server):
    client = connect(server)
    same(client.get_cas("a"), (None, None))
    unique = client.set_cas("a", 1, ttl=HOUR)
    same(client.get_cas("a"), (1, unique))
    same(client.set("a", 2, ttl=HOUR, cas_token=unique), True)
    same(client.set("a", 3, ttl=HOUR, cas_token=unique), False)
    same(client.set("missing", 3, ttl=HOUR, cas_token=unique), False)
    same(client.delete("a", cas_token=unique), False)
    value, unique = client.get_cas("a")
    same(value, 2)
    same(client.delta("a", 5, cas_token=unique + 1), False)
    same(client.delta_and_get("a", 5, cas_token=unique), 7)
    _, unique = client.get_cas("a")
    same(client.delete("a", cas_token=unique), True)


@check
def delta(server):
    client = connect(server)
    same(client.delta("n", 1), False)
    same(client.delta_and_get("n", 1), None)
    same(client.delta_initialize_and_get("n", 1, initial_value=10, initial_ttl=100), 10)
    same(client.delta_initialize_and_get("n", 5, initial_value=10, initial_ttl=100), 15)
    same(client.delta_and_get("n", -3), 12)
    same(client.delta_and_get("n", -100), 0)
    same(client.delta_initialize("m", 1, initial_value=0, initial_ttl=HOUR), True)
    same(client.delta("m", 2, no_reply=True), True)
    same(client.delta_and_get("m", 1, refresh_ttl=100), 3)
    server.advance_clock(101)
    same(client.multi_get(["n", "m"]), {Key("n"): None, Key("m"): None})
    client.set("text", "text", ttl=HOUR)
    refused(MemcacheError, lambda: client.delta("text", 1))
    same(client.get("text"), "text")


@check
def touch_and_expiry(server):
    client = connect(server)
    same(client.touch("a", ttl=1000), False)
    for key in ("a", "b", "short"):
        client.set(key, key, ttl=100)
    client.set("forever", "1", ttl=None)
    same(client.touch("a", ttl=1000), True)
    same(client.get("b", touch_ttl=1000), "b")
    server.advance_clock(500)
    keys = ["a", "b", "short", "forever"]
    found = {Key("a"): "a", Key("b"): "b", Key("short"): None, Key("forever"): "1"}
    same(client.multi_get(keys, touch_ttl=2000), found)
    server.advance_clock(1000)
    same(client.multi_get(keys), found)


@check
def multi(server):
    client = connect(server)
    items = {Key(f"key{i}"): i for i in range(1000)}
    for key, value in items.items():
        client.set(key, value, ttl=HOUR)
    same(client.multi_get([*items, "missing"]), {**items, Key("missing"): None})
    pairs = client.multi_get_cas(items)
    same({key: value for key, (value, _) in pairs.items()}, items)
    same(len({unique for _, unique in pairs.values()}), 1000)


@check
def no_reply(server):
    """Quiet requests answer nothing: each later answer on the connection is the right one."""
    client = connect(server)
    for i in range(500):
        client.set(f"key{i}", i, ttl=HOUR, no_reply=True)
        client.touch(f"key{i}", ttl=2 * HOUR, no_reply=True)
        client.delta(f"key{i}", 1000, no_reply=True)
        client.delta_initialize(f"n{i}", 1, initial_value=i, initial_ttl=HOUR, no_reply=True)
    for i in range(0, 500, 50):
        # A counter that the server made carries no client flags, so it is read as a string.
        expected = {Key(f"key{i}"): 1000 + i, Key(f"n{i}"): str(i)}
        same(client.multi_get([*expected]), expected)
    for i in range(500):
        client.delete(f"key{i}", no_reply=True)
        client.invalidate(f"n{i}", no_reply=True)
        client.delete("missing", no_reply=True)
    same(client.get("key0"), None)
    same(int(server.stats()["curr_items"]), 0)


@check
def lease(server):
    """The first reader of a missing key is told of a miss and is to fill it; others wait."""
    policy = LeasePolicy(ttl=30, miss_retries=4)
    first, second = connect(server), connect(server)
    same(first.get_or_lease("a", lease_policy=policy), None)
    waits = []

    def wait(secs):
        waits.append(secs)
        if len(waits) == 2:
            first.set("a", "filled", ttl=HOUR)

    same(second.get_or_lease("a", lease_policy=policy, lease_wait_fn=wait), "filled")
    same(len(waits), 2)
    same(first.get_or_lease("b", lease_policy=policy), None)
    server.advance_clock(31)  # the lease ends, and the next reader has it
    same(second.get_or_lease("b", lease_policy=policy, lease_wait_fn=wait), None)
    same(len(waits), 2)


@check
def recache(server):
    """Near its end a value is a miss to one reader, the one to renew it, and a hit to others."""
    policy = RecachePolicy(ttl=30)
    first, second = connect(server), connect(server)
    first.set("a", "old", ttl=100)
    same(first.get("a", recache_policy=policy), "old")
    server.advance_clock(75)
    same(first.get("a", recache_policy=policy), None)
    same(second.get("a", recache_policy=policy), "old")
    same(first.get("a", recache_policy=policy), "old")
    first.set("a", "new", ttl=100)
    same(second.get("a", recache_policy=policy), "new")
    same(second.get("a", recache_policy=policy), "new")


@check
def stale(server):
    """A value invalidated softly is a miss to one reader; writes under an old unique are stale."""
    policy = StalePolicy(mark_stale_on_deletion_ttl=30, mark_stale_on_cas_mismatch=True)
    first, second = connect(server), connect(server)
    same(first.delete("a", stale_policy=policy), False)
    unique = first.set_cas("a", "old", ttl=1000)
    same(first.delete("a", stale_policy=policy), True)
    value, lease = first.get_cas("a")
    same(value, None)
    assert lease is not None and lease != unique, (lease, unique)
    same(second.get("a"), "old")
    same(first.invalidate("a", stale_policy=policy), True)  # again, while the first refills it
    same(first.set("a", "filled", ttl=1000, cas_token=lease, stale_policy=policy), True)
    same(first.get("a"), None)
    same(second.get("a"), "filled")
    same(second.set("a", "fresh", ttl=1000), True)
    same([first.get("a"), second.get("a")], ["fresh", "fresh"])
    first.delete("a", stale_policy=policy)
    server.advance_clock(31)
    same(second.get_cas("a"), (None, None))


@check
def objects(server):
    client = connect(server)
    values = ("text é", 42, -1, True, 1.5, {"list": [1, None]}, b"bytes", b"", "x" * 50_000)
    for value in (*values, Point(3, 4)):
        same(client.set("a", value, ttl=HOUR), True)
        same(client.get("a"), value)
    assert int(server.stats()["bytes"]) < 1000, "the long ones are compressed"


@check
def value_sizes(server):
    """Bytes that do not compress, past the 128 at which the client tries."""
    client = connect(server)
    state = 1
    noise = bytearray()
    for _ in range(MIB - 1024):
        state = state * 1103515245 + 12345 & 0x7FFFFFFF
        noise.append(state >> 16 & 255)
    for size in (0, 1, 2, 127, 2047, 2048, 16384, 65536, 524288, MIB - 1024):
        value = bytes(noise[:size])
        same(client.set("a", value, ttl=HOUR), True)
        same(client.get("a"), value)
    refused(MemcacheError, lambda: client.set("a", bytes(noise) * 2, ttl=HOUR))
    same(client.set("a", b"small", ttl=HOUR), True)
    same(client.get("a"), b"small")


@check
def binary_safe(server):
    client = connect(server)
    for value in (b"\r\n", b"EN\r\n", b"HD\r\nmn\r\n", b"VA 1\r\n", bytes(range(256)), b"\r"):
        same(client.set(Key("a", disabled_compression=True), value, ttl=HOUR), True)
        same(client.get("a"), value)


@check
def keys(server):
    """Keys that are no words of text go out as base64; long ones are hashed by the client."""
    client = connect(server)
    keys = [Key("k"), Key("k" * 250), Key("é"), Key("with space"), Key("\x00\r\n"), Key("é" * 90)]
    keys += [Key("ü" * 400), Key("k" * 1000), Key("a", routing_key="elsewhere", domain="d")]
    for number, key in enumerate(keys):
        same(client.set(key, number, ttl=HOUR), True)
        same(client.get(key), number)
    same(client.multi_get(keys), {key: number for number, key in enumerate(keys)})
    for key in keys:
        same(client.delta_and_get(key, 100), keys.index(key) + 100)
        same(client.touch(key, ttl=HOUR), True)
        same(client.delete(key), True)
    same(int(server.stats()["curr_items"]), 0)


@check
def metadata(server):
    """What a value's item tells of itself, by the low-level calls."""
    client, key = connect(server), Key("a")
    assert isinstance(client.meta_get(key), Miss)
    client.set(key, b"12345", ttl=1000)
    server.advance_clock(100)
    flags = RequestFlags(
        return_value=True,
        return_ttl=True,
        return_size=True,
        return_last_access=True,
        return_fetched=True,
        return_client_flag=True,
        return_cas_token=True,
        return_key=True,
        opaque=b"opaque",
    )
    found = client.meta_get(key, flags=flags)
    assert isinstance(found, Value), found
    same((found.value, found.flags.size, found.flags.opaque), (b"12345", 5, b"opaque"))
    assert found.flags.fetched is not True and 898 <= found.flags.ttl <= 900, found
    assert 100 <= found.flags.last_access <= 102 and found.flags.cas_token, found
    again = client.meta_get(key, flags=flags)
    assert again.flags.fetched is True, again
    peek = client.meta_get(key, flags=RequestFlags(return_ttl=True, no_update_lru=True))
    assert isinstance(peek, Success) and 898 <= peek.flags.ttl <= 900, peek
    assert isinstance(client.meta_delete(Key("missing")), (Miss, NotStored))


@check
def two_daemons(server):
    items = {Key(f"key{i}"): str(i) for i in range(400)}
    with server.another() as other:
        client = connect(server, other)
        for key, value in items.items():
            same(client.set(key, value, ttl=int(time.time()) % 7 + HOUR), True)
        same(client.multi_get(items), items)
        counts = [int(each.stats()["curr_items"]) for each in (server, other)]
        same(sum(counts), 400)
        assert min(counts) > 0, counts


@check
def threads(server):
    client = connect(server)

    def work(thread):
        for i in range(200):
            client.set(f"key{thread}-{i}", i, ttl=HOUR)
            same(client.get(f"key{thread}-{i}"), i)

    with ThreadPoolExecutor(8) as executor:
        list(executor.map(work, range(8)))
    same(int(server.stats()["curr_items"]), 1600)
