"""One load where many readers miss at once, by meta commands and by cas. The page is stampede.md."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from connect import NO_CACHE, arguments, ask, classic, meta, run
from meta_memcache import Key
from meta_memcache.protocol import RequestFlags

FRESH_SECS = 300
GRACE_SECS = 60  # for which a value is kept and served after that, while it is loaded anew
LEASE_SECS = 10  # longer than a load takes; who has not stored by then is taken for dead
PAUSE_SECS = 0.05
PAUSES = int(2 * LEASE_SECS / PAUSE_SECS)  # so long that a dead loader's place is taken


def get_naively(cache, key, load):
    """Without protection: whoever misses loads."""
    value = cache.get(key)
    if value is None:
        value = load()
        cache.set(key, value, ttl=FRESH_SECS)
    return value


def get_by_meta(cache, key, load, wait=time.sleep):
    """`mg KEY v c f N10 R60`: the server tells one reader that it is the one to load (W), and nobody else."""
    flags = RequestFlags(
        return_value=True,
        return_cas_token=True,
        return_client_flag=True,
        vivify_on_miss_ttl=LEASE_SECS,  # N: a miss makes an empty item, which is the lease
        recache_ttl=GRACE_SECS,  # R: nearer to its end than that, a value is to be renewed
    )

    def look():
        found = cache.meta_get(Key(key), flags=flags)
        # What has a size is fresh, or old (with Z) while another renews it.
        return found.value if found.size else None, found.flags.cas_token if found.flags.win else None

    def store(value, unique):
        # C and I: had it been deleted since, nothing is stored; had it been made stale, it stays that.
        kept = RequestFlags(cache_ttl=FRESH_SECS + GRACE_SECS, cas_token=unique, mark_stale=True)
        cache.meta_set(Key(key), value, flags=kept)

    return get(look, store, load, wait)


def invalidate_by_meta(cache, key):
    """`md KEY I T60`: the old value is served on, until the first reader (X W) has loaded the new one."""
    cache.meta_delete(Key(key), flags=RequestFlags(mark_stale=True, cache_ttl=GRACE_SECS))


def get_by_cas(cache, key, load, clock=time.time, wait=time.sleep):
    """With any client: the value stands beside the time at which it is to be renewed, which one reader's cas
    moves on. The clocks of all readers must agree to a second or so."""

    def look():
        found, unique = cache.gets(key)
        until, value = json.loads(found) if found else (0, None)
        won = clock() >= until and store(value, unique, LEASE_SECS)
        return value, cache.gets(key)[1] if won else None

    def store(value, unique, secs=FRESH_SECS):
        item, kept_secs = json.dumps([clock() + secs, value]), FRESH_SECS + GRACE_SECS
        if unique is None:
            return cache.add(key, item, expire=kept_secs)
        return cache.cas(key, item, unique, expire=kept_secs)

    return get(look, store, load, wait)


def get(look, store, load, wait):
    """`look` gives a value or None, and the unique of a lease or None; `store` takes both.

    Only requests to the cache are within its errors: `load` is called once, and what it gives or raises passed on."""
    unique = None
    try:
        for _ in range(PAUSES):
            value, unique = look()
            if unique is not None:
                break
            if value is not None:
                return value
            wait(PAUSE_SECS)
    except NO_CACHE:
        pass  # each for itself
    value = load()
    if unique is not None:
        ask(store, value, unique)
    return value


def crowd(way, cache, count=50):
    """Lets `count` readers ask at once; says how often was loaded, and how long who did not load has waited."""
    loads, waits, start = [], [], threading.Barrier(count)

    def load():
        loads.append(threading.get_ident())
        time.sleep(0.3)  # stands for a slow query
        return "new"

    def read(_):
        start.wait()
        began = time.monotonic()
        way(cache, "patterns:stampede", load)
        if threading.get_ident() not in loads:
            waits.append(time.monotonic() - began)

    with ThreadPoolExecutor(count) as readers:
        list(readers.map(read, range(count)))
    waited = f", the others waited for up to {max(waits) * 1000:.0f} ms" if waits else ""
    return f"{len(loads)} load{'s' * (len(loads) > 1)}{waited}"


def main():
    options = arguments(__doc__).parse_args()
    metas, classics = meta(options.cache, connections=50), classic(options.cache, retry_secs=0)
    key = "patterns:stampede"
    print("50 readers of a missing key, each load 300 ms")
    for name, way, cache in (
        ("no protection", get_naively, metas),
        ("meta commands", get_by_meta, metas),
        ("cas", get_by_cas, classics),
    ):
        metas.delete(key)
        print(f"  {name}: {crowd(way, cache)}")
    print("50 readers of a key that is to be renewed")
    metas.set(key, "old", ttl=GRACE_SECS - 1)
    print(f"  meta commands: {crowd(get_by_meta, metas)}")
    invalidate_by_meta(metas, key)
    print(f"  meta commands, invalidated: {crowd(get_by_meta, metas)}")
    classics.set(key, json.dumps([time.time(), "old"]), expire=GRACE_SECS)
    print(f"  cas: {crowd(get_by_cas, classics)}")
    metas.delete(key)


if __name__ == "__main__":
    run(main)
