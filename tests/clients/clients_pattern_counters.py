"""docs/patterns/counters.py: how many requests each limiter lets in, over threads and clients."""

import threading
from concurrent.futures import ThreadPoolExecutor

import patterns
from connect import classic, meta
from counters import (
    HOUR_SECS,
    allowed,
    allowed_by_meta,
    allowed_by_slide,
    allowed_naively,
    count,
    last_day,
    or_open,
    rate_key,
)
from harness import Needs, check, check_each, on, refused, same
from pymemcache.exceptions import MemcacheClientError

LIMIT = 100
WINDOW_SECS = 60
THREADS = 16
# What is no key as it stands, too long, a command, or what json.loads makes of "\\ud800".
NAMES = ("a b", "", "x" * 300, "a\r\nflush_all", "\0", "\u00e9", "\ud800")
# In the middle of an hour and at the begin of a minute, so that no window ends by itself.
NOW = 1_000_000 * HOUR_SECS + HOUR_SECS // 2


def plain(server):
    return classic(server.address, retry_secs=0)


def by_slide(cache, who, limit, window_secs):
    return allowed_by_slide(cache, who, limit, window_secs, lambda: NOW)


WAYS = {
    "add_and_incr": (allowed, plain),
    "ma": (allowed_by_meta, lambda server: meta(server.address)),
    "slide": (by_slide, lambda server: meta(server.address)),
}


def crowd(server, way, requests_each, who="ann"):
    """How many requests of `THREADS` at once, with a client each, are allowed."""
    limiter, connect = way
    start = threading.Barrier(THREADS)

    def ask(_):
        cache = connect(server)
        start.wait()
        return sum(limiter(cache, who, LIMIT, WINDOW_SECS) for _ in range(requests_each))

    with ThreadPoolExecutor(THREADS) as threads:
        return sum(threads.map(ask, range(THREADS)))


@check_each(**WAYS)
def as_many_are_allowed_as_the_limit_says(server, way):
    for who in ("ann", "bob"):  # one does not count for the other
        same(crowd(server, way, 20, who), LIMIT)
    limiter, connect = way
    same(limiter(connect(server), "ann", LIMIT, WINDOW_SECS), False)


@check_each(**WAYS)
def fewer_than_the_limit_are_all_allowed(server, way):
    same(crowd(server, way, LIMIT // THREADS), LIMIT // THREADS * THREADS)


@check_each(**WAYS)
def whatever_users_write_is_limited(server, way):
    limiter, connect = way
    cache = connect(server)
    for name in NAMES:
        same(or_open(limiter, cache, name, 0, WINDOW_SECS), False)
    for name in (f"{name}{name}" for name in NAMES if name):
        same([or_open(limiter, cache, name, 2, WINDOW_SECS) for _ in range(4)], [True, True, False, False])


@check_each(**{name: way for name, way in WAYS.items() if name != "slide"})
def the_window_ends_and_is_not_renewed(server, way):
    limiter, connect = way
    cache = connect(server)
    for _ in range(3):
        same([limiter(cache, "ann", 2, WINDOW_SECS) for _ in range(4)], [True, True, False, False])
        server.advance_clock(WINDOW_SECS - 10)
        same(limiter(cache, "ann", 2, WINDOW_SECS), False)
        server.advance_clock(12)


class Racing:
    """A client after whose first `incr` another does its whole request."""

    def __init__(self, cache, other):
        self._cache, self._other = cache, other

    def incr(self, *words):
        counted = self._cache.incr(*words)
        other, self._other = self._other, lambda: None
        other()
        return counted

    def __getattr__(self, name):
        return getattr(self._cache, name)


@check
def set_where_incr_finds_nothing_loses_counts(server):
    """The race of the naive limiter, and that `add` closes it."""
    cache = plain(server)
    for limiter, counted in ((allowed_naively, b"1"), (allowed, b"2")):
        racing = Racing(cache, lambda limiter=limiter: limiter(cache, "ann", LIMIT, WINDOW_SECS))
        same(limiter(racing, "ann", LIMIT, WINDOW_SECS), True)
        same(cache.get(rate_key("ann")), counted)
        cache.delete(rate_key("ann"))


@check
def a_window_that_ends_amid_a_request_begins_anew(server):
    """Between an `add` that is refused and the `incr` behind it the counter may go."""
    cache = plain(server)
    same(allowed(cache, "ann", 1, WINDOW_SECS), True)
    racing = Racing(cache, lambda: cache.delete(rate_key("ann")))
    same(allowed(racing, "ann", 1, WINDOW_SECS), False)
    same(allowed(racing, "ann", 1, WINDOW_SECS), True)
    same(allowed(racing, "ann", 1, WINDOW_SECS), False)


@check
def a_sliding_window_has_no_boundary_to_wait_for(server):
    cache = meta(server.address)
    begin = NOW // WINDOW_SECS * WINDOW_SECS

    def ask(requests, secs, limiter=allowed_by_slide):
        clock = [] if limiter is allowed_by_meta else [lambda: begin + secs]
        return sum(limiter(cache, "ann", LIMIT, WINDOW_SECS, *clock) for _ in range(requests))

    # A fixed window lets twice the limit in within two seconds, if it ends in between.
    same(ask(150, 59, allowed_by_meta), LIMIT)
    server.advance_clock(WINDOW_SECS + 2)
    same(ask(150, 61, allowed_by_meta), LIMIT)
    same(ask(150, 59), LIMIT)
    same(ask(150, 61), 1)  # 59 sixtieths of a hundred, and that one
    same(ask(150, 90), 49)  # half of a hundred and these fifty
    same(ask(150, 180), LIMIT)
    server.advance_clock(2 * WINDOW_SECS + 2)
    server.await_that(lambda: server.stats()["curr_items"] == "0")  # what is over costs no memory


@check
def hours_are_counted_and_forgotten(server):
    cache = plain(server)

    def visit(_):
        for _ in range(50):
            count(cache, "home", lambda: NOW)

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(visit, range(THREADS)))
    for ago in (1, 23, 24, 25):
        count(cache, "home", lambda ago=ago: NOW - ago * HOUR_SECS)
    same(last_day(cache, "home", lambda: NOW), THREADS * 50 + 2)
    racing = Racing(cache, lambda: count(cache, "new", lambda: NOW))
    count(racing, "new", lambda: NOW)
    same(last_day(cache, "new", lambda: NOW), 2)
    for name in NAMES:
        count(cache, name, lambda: NOW)
        same(last_day(cache, name, lambda: NOW), 1)
    server.advance_clock(25 * HOUR_SECS + 2)
    same(last_day(cache, "home", lambda: NOW), 0)


@on(Needs(arguments=("-m", "2")))
@check
def an_evicted_counter_begins_anew(server):
    """A cache that is too small forgets, and then lets in more than the limit."""
    cache = plain(server)
    same([allowed(cache, "ann", 2, WINDOW_SECS) for _ in range(3)], [True, True, False])
    for first in range(0, 1_000_000, 20_000):  # items of its size, that are asked for as it is
        others = [b"%037d" % number for number in range(first, first + 20_000)]
        told = [b"ms %s 1 q\r\n1\r\nmg %s q\r\nmg %s q\r\n" % (key, key, key) for key in others]
        if b"EN\r\n" in server.exchange(b"".join(told) + b"me %s\r\n" % rate_key("ann").encode()):
            break
    else:
        raise AssertionError("not evicted")
    assert int(server.stats()["evictions"]) > 0
    same([allowed(cache, "ann", 2, WINDOW_SECS) for _ in range(3)], [True, True, False])


@on(Needs(arguments=("-m", "2", "-M")))
@check
def without_evictions_a_full_cache_counts_on(server):
    """With `-M` a counter stays, a new one may be refused, and `or_open` lets its owner in."""
    cache = plain(server)
    same([allowed(cache, "ann", 2, WINDOW_SECS) for _ in range(3)], [True, True, False])
    fill = b"".join(b"ms page:%d 2000 q\r\n%s\r\n" % (n, b"x" * 2000) for n in range(2000))
    assert b"out of memory" in server.exchange(fill)
    # Smaller items than the pages are refused when their own pages are full, too.
    small = b"".join(b"ms %037d 1 q\r\nx\r\n" % n for n in range(100_000))
    assert b"out of memory" in server.exchange(small)
    same(allowed(cache, "ann", 2, WINDOW_SECS), False)
    same([or_open(allowed, cache, "bob", 2, WINDOW_SECS) for _ in range(4)], [True] * 4)


@check
def without_the_cache_requests_are_let_in(server):
    with server.another() as other:
        clients = [(limiter, connect(other)) for limiter, connect in WAYS.values()]
        same([or_open(limiter, cache, "ann", 0, WINDOW_SECS) for limiter, cache in clients], [False] * 3)
    for _ in range(2):
        same([or_open(limiter, cache, "ann", 0, WINDOW_SECS) for limiter, cache in clients], [True] * 3)


@check
def errors_of_the_caller_let_nobody_in(server):
    cache = plain(server)
    refused(MemcacheClientError, lambda: or_open(lambda: cache.incr("a b", 1)))
    cache.set(rate_key("ann"), b"no number")
    refused(MemcacheClientError, lambda: or_open(allowed, cache, "ann", 0, WINDOW_SECS))


@check
def without_the_cache_by_hand(server):
    patterns.ends_with_a_line(server, "counters")


@check
def by_hand(server):
    same(
        patterns.run_program("counters", "--cache", server.address),
        [
            "480 counted over 48 hours, 240 of them in the last 24",
            "fixed window, add and incr: 100 of 150 requests allowed by a limit of 100",
            "fixed window, ma: 100 of 150 requests allowed by a limit of 100",
            "sliding window, 100 requests each at 0:59, 1:01 and 1:30: [100, 1, 49] allowed by 100 a minute",
        ],
    )
