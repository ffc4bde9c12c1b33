"""docs/patterns/stampede.py: fifty readers of one key, and how often what they ask for is loaded."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import patterns
from connect import classic, meta
from harness import ANSWER_SECS, check, check_each, refused, same
from stampede import (
    FRESH_SECS,
    GRACE_SECS,
    LEASE_SECS,
    PAUSES,
    get_by_cas,
    get_by_meta,
    get_naively,
    invalidate_by_meta,
)

READERS = 50


class Crowd:
    """Readers that ask at once. A load lasts until each of them has an answer, loads as well, or waits."""

    def __init__(self, value="new"):
        self.value = value
        self.loads = 0
        self.answers = []
        self._arrived = set()
        self._changed = threading.Condition()

    def load(self):
        with self._changed:
            self.loads += 1
            self._arrive()
            all_there = self._changed.wait_for(lambda: len(self._arrived) == READERS, ANSWER_SECS)
            assert all_there, f"{READERS - len(self._arrived)} hang"
        return self.value

    def wait(self, secs):
        with self._changed:
            self._arrive()
            self._changed.wait(secs)

    def ask(self, get):
        """Lets all of them call `get(load, wait)`."""
        start = threading.Barrier(READERS)  # which makes each a thread of its own

        def read(_):
            start.wait()
            answer = get(self.load, self.wait)
            with self._changed:
                self.answers.append(answer)
                self._arrive()

        with ThreadPoolExecutor(READERS) as readers:
            list(readers.map(read, range(READERS)))
        return self

    def _arrive(self):
        self._arrived.add(threading.get_ident())
        self._changed.notify_all()

    def got(self):
        """How many had which answer."""
        return {answer: self.answers.count(answer) for answer in set(self.answers)}


class ByMeta:
    """The pattern with meta commands, on a daemon."""

    def __init__(self, server):
        self.server = server
        self.cache = meta(server.address, connections=READERS)

    def get(self, load, wait=None):
        return get_by_meta(self.cache, "key", load, wait)

    def pass_time(self, secs):
        self.server.advance_clock(secs)

    def close(self):
        pass


class ByCas:
    """The pattern with cas. The readers' clock goes with the daemon's."""

    def __init__(self, server):
        self.server = server
        self.cache = classic(server.address, retry_secs=0)
        self.now = 1_000_000

    def get(self, load, wait=None):
        return get_by_cas(self.cache, "key", load, lambda: self.now, wait)

    def pass_time(self, secs):
        self.server.advance_clock(secs)
        self.now += secs

    def close(self):
        self.cache.close()


def each_way(function):
    """Makes a check for each pattern of `function(way, server)`."""

    def run(server, kind):
        way = kind(server)
        try:
            function(way, server)
        finally:
            way.close()

    run.__name__ = function.__name__
    check_each(meta=ByMeta, cas=ByCas)(run)
    return function


def fails():
    raise RuntimeError("no database")


def never():
    raise AssertionError("loaded although it is there")


@check
def without_protection_all_load(server):
    cache = meta(server.address, connections=READERS)
    crowd = Crowd().ask(lambda load, _wait: get_naively(cache, "key", load))
    same((crowd.loads, crowd.got()), (READERS, {"new": READERS}))


@each_way
def of_a_missing_key_one_loads(way, _server):
    crowd = Crowd().ask(way.get)
    same((crowd.loads, crowd.got()), (1, {"new": READERS}))
    same(way.get(never), "new")


@each_way
def of_an_expired_key_one_loads(way, _server):
    way.get(lambda: "old")
    way.pass_time(FRESH_SECS + GRACE_SECS + 2)
    crowd = Crowd().ask(way.get)
    same((crowd.loads, crowd.got()), (1, {"new": READERS}))


@each_way
def while_one_renews_the_others_have_the_old_value(way, _server):
    way.get(lambda: "old")
    way.pass_time(FRESH_SECS - 5)
    same(way.get(never), "old")
    way.pass_time(10)
    # The load ends when the others have their answers: none of them waits for it.
    crowd = Crowd().ask(way.get)
    same((crowd.loads, crowd.got()), (1, {"new": 1, "old": READERS - 1}))
    same(way.get(never), "new")


@each_way
def a_loader_of_a_missing_key_that_dies_gives_way(way, _server):
    refused(RuntimeError, lambda: way.get(fails))
    waits = []

    def wait(_secs):
        waits.append(1)
        if len(waits) == 3:
            way.pass_time(LEASE_SECS + 1)

    same(way.get(lambda: "new", wait), "new")
    same(len(waits), 3)
    same(way.get(never), "new")


@each_way
def who_has_waited_for_long_loads(way, _server):
    refused(RuntimeError, lambda: way.get(fails))
    waits = []
    same(way.get(lambda: "own", waits.append), "own")
    same(len(waits), PAUSES)


@check
def a_renewer_by_meta_that_dies_gives_way_when_the_value_ends(server):
    way = ByMeta(server)
    way.get(lambda: "old")
    way.pass_time(FRESH_SECS + 5)
    refused(RuntimeError, lambda: way.get(fails))
    way.pass_time(GRACE_SECS - 10)
    same(way.get(never), "old")
    way.pass_time(10)
    same(way.get(lambda: "new"), "new")


@check
def a_renewer_by_cas_that_dies_gives_way_after_its_lease(server):
    way = ByCas(server)
    way.get(lambda: "old")
    way.pass_time(FRESH_SECS + 5)
    refused(RuntimeError, lambda: way.get(fails))
    way.pass_time(LEASE_SECS - 1)
    same(way.get(never), "old")
    way.pass_time(1)
    same(way.get(lambda: "new"), "new")
    same(way.get(never), "new")
    way.close()


@check
def after_an_invalidation_one_loads_and_the_others_have_the_old_value(server):
    way = ByMeta(server)
    way.get(lambda: "old")
    invalidate_by_meta(way.cache, "key")
    crowd = Crowd().ask(way.get)
    same((crowd.loads, crowd.got()), (1, {"new": 1, "old": READERS - 1}))
    same(way.get(never), "new")
    invalidate_by_meta(way.cache, "key")
    refused(RuntimeError, lambda: way.get(fails))
    same(way.get(never), "new")
    way.pass_time(GRACE_SECS + 1)  # nobody renews it: what is stale ends
    same(way.get(lambda: "newer"), "newer")


@check
def an_invalidation_during_a_load_is_not_lost(server):
    """What was loaded before it is stored as stale: served, and loaded once more."""
    way = ByMeta(server)
    way.get(lambda: "old")

    def load():
        invalidate_by_meta(way.cache, "key")
        return "loaded before"

    def load_again():
        same(way.get(never), "loaded before")  # what another has meanwhile
        return "loaded after"

    invalidate_by_meta(way.cache, "key")
    same(way.get(load), "loaded before")
    same(way.get(load_again), "loaded after")
    same(way.get(never), "loaded after")


@each_way
def a_deletion_during_a_load_is_not_lost(way, server):
    def load():
        server.exchange(b"delete key\r\n")
        return "loaded before"

    same(way.get(load), "loaded before")
    same(way.get(lambda: "loaded after"), "loaded after")


@check
def by_cas_nothing_is_stored_without_a_lease(server):
    """The key is deleted between the winner's two requests: a delete during its load would not be seen."""
    way = ByCas(server)
    gets, waits = way.cache.gets, []

    def gets_of_what_is_deleted(key):
        if way.cache.get(key):
            way.cache.gets = gets
            way.cache.delete(key)
        return gets(key)

    def load():
        same(len(waits), 1)  # it had to ask again
        server.exchange(b"delete key\r\n")
        return "new"

    way.cache.gets = gets_of_what_is_deleted
    same(way.get(load, waits.append), "new")
    same(way.cache.get("key"), None)
    way.close()


@check
def what_the_page_shows_goes_over_the_wire(server):
    ask = b"mg key v N10 R60\r\n"
    same(server.exchange(ask * 2), b"VA 0 W\r\n\r\nVA 0 Z\r\n\r\n")
    fill = b"ms key 3 T360\r\nold\r\n"
    same(server.exchange(fill + ask), b"HD\r\nVA 3\r\nold\r\n")
    server.advance_clock(305)
    same(server.exchange(ask * 2), b"VA 3 W\r\nold\r\nVA 3 Z\r\nold\r\n")
    made_stale = fill + b"md key I T60\r\n" + ask * 2
    same(server.exchange(made_stale), b"HD\r\nHD\r\nVA 3 X W\r\nold\r\nVA 3 Z X\r\nold\r\n")


@each_way
def without_the_cache_each_loads_at_once(way, server):
    with server.another() as other:
        gone = type(way)(other)
        same(gone.get(lambda: "new"), "new")
    for value in ("one", "two"):
        same(gone.get(lambda value=value: value), value)
    gone.close()


@each_way
def a_cache_that_goes_amid_a_load_costs_no_second_one(way, server):
    loads = []
    with ExitStack() as until_it_loads:
        going = type(way)(until_it_loads.enter_context(server.another()))

        def load():
            loads.append(1)
            until_it_loads.close()
            return "new"

        same(going.get(load), "new")
    same(len(loads), 1)
    going.close()


@each_way
def what_a_load_raises_is_passed_on_and_not_tried_again(way, server):
    loads = []

    def load():
        loads.append(1)
        raise ConnectionRefusedError("no database")

    refused(ConnectionRefusedError, lambda: way.get(load))
    same(len(loads), 1)
    with server.another() as other:
        gone = type(way)(other)
    refused(ConnectionRefusedError, lambda: gone.get(load))
    same(len(loads), 2)
    gone.close()


@check
def without_the_cache_by_hand(server):
    patterns.ends_with_a_line(server, "stampede")


@check
def by_hand(server):
    lines = patterns.run_program("stampede", "--cache", server.address)
    loads = [int(match[1]) for line in lines if (match := re.search(r": (\d+) load", line))]
    # Without protection not quite all, where it takes some of them long to start.
    assert loads[0] > 25, lines
    same((loads[1:], len(lines)), ([1] * 5, 8))
