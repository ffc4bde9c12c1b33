"""Counters that expire, and rate limits, by incr. The page is counters.md."""

import hashlib
import time

from connect import NO_CACHE, arguments, classic, meta, run

HOUR_SECS = 3600


def count(cache, what, clock=time.time):
    """Counts one more in this hour; a day later the hour's count is gone."""
    key = hour_key(what, clock() // HOUR_SECS)
    if cache.incr(key, 1) is None and not cache.add(key, b"1", expire=25 * HOUR_SECS):
        cache.incr(key, 1)  # another has made it in between


def last_day(cache, what, clock=time.time):
    """The sum of 24 hours, this one as far as it has come."""
    now = clock() // HOUR_SECS
    found = cache.get_many([hour_key(what, now - ago) for ago in range(24)])
    return sum(int(each) for each in found.values())


def hour_key(what, hour):
    return f"count:{digest(what)}:{int(hour)}"


def rate_key(who):
    return f"rate:{digest(who)}"


def digest(text):
    """What users may have written, for a key: of one length, and without spaces."""
    return hashlib.blake2s(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def allowed_naively(cache, who, limit, window_secs):
    """With a race: two who find no counter each set it to 1, and one request is not counted."""
    key = rate_key(who)
    counted = cache.incr(key, 1)
    if counted is None:
        cache.set(key, b"1", expire=window_secs)
        counted = 1
    return counted <= limit


def allowed(cache, who, limit, window_secs):
    """A fixed window, which the first request begins and the server's clock ends.

    `add` makes the counter for one of those who find none; `incr` does not renew its TTL."""
    key = rate_key(who)
    for _ in range(3):
        counted = cache.incr(key, 1)
        if counted is not None:
            return counted <= limit
        if cache.add(key, b"1", expire=window_secs):
            return limit >= 1
    return True  # gone each time: the cache has no room, and a limit is not worth an outage


def allowed_by_meta(cache, who, limit, window_secs):
    """The same in one round trip: `ma KEY N60 J1 D1 v` makes it with 1 and a TTL, or else adds 1."""
    key = rate_key(who)
    counted = cache.delta_initialize_and_get(key, 1, initial_value=1, initial_ttl=window_secs)
    return counted <= limit


def allowed_by_slide(cache, who, limit, window_secs, clock=time.time):
    """A sliding window, estimated from two fixed ones: of the one before counts the part that has not slid out.

    So nobody gets two windows' worth around a boundary. What is refused is taken back, and does not count."""
    now = clock()
    number, into = int(now // window_secs), now % window_secs / window_secs
    key, before = (f"slide:{digest(who)}:{window_secs}:{each}" for each in (number, number - 1))
    counted = cache.delta_initialize_and_get(key, 1, initial_value=1, initial_ttl=2 * window_secs)
    if int(cache.get(before) or 0) * (1 - into) + counted <= limit:
        return True
    cache.delta(key, -1)
    return False


def or_open(limiter, *arguments):
    """Whoever asks while there is no cache is let in; return False where that is worse than refusing everybody.

    Any other error is the caller's, and raised: a limit that opens for those has a way round it."""
    try:
        return limiter(*arguments)
    except NO_CACHE:
        return True


def main():
    options = arguments(__doc__).parse_args()
    plain, metas = classic(options.cache, retry_secs=0), meta(options.cache)
    now = time.time()
    keys = [hour_key("patterns", now // HOUR_SECS - ago) for ago in range(24)]
    plain.delete_many(keys)
    for ago in range(48):
        for _ in range(10):
            count(plain, "patterns", lambda ago=ago: now - ago * HOUR_SECS)
    print(f"480 counted over 48 hours, {last_day(plain, 'patterns', lambda: now)} of them in the last 24")
    for name, limiter, cache in (
        ("fixed window, add and incr", allowed, plain),
        ("fixed window, ma", allowed_by_meta, metas),
    ):
        plain.delete(rate_key("patterns"))
        let_in = sum(or_open(limiter, cache, "patterns", 100, 60) for _ in range(150))
        print(f"{name}: {let_in} of 150 requests allowed by a limit of 100")
    who = f"patterns-{now}"  # of the windows of a run before nothing is left
    at = [now // 60 * 60 + 59, now // 60 * 60 + 61, now // 60 * 60 + 90]
    told = []
    for clock in at:
        let_in = (or_open(allowed_by_slide, metas, who, 100, 60, lambda: clock) for _ in range(100))
        told.append(sum(let_in))
    print(f"sliding window, 100 requests each at 0:59, 1:01 and 1:30: {told} allowed by 100 a minute")


if __name__ == "__main__":
    run(main)
