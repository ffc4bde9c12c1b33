"""docs/patterns/lazy_loading.py: what each way to write lets readers see, on SQLite and PostgreSQL."""

import patterns
import postgresql
from connect import classic
from database import Database
from harness import check, check_each, refused, same
from lazy_loading import LEASE_SECS, MISSING_TTL_SECS, TTL_SECS, Products, key_of


def on_each_database(function):
    """Makes a check for each database of `function(products, database, server)`."""

    def run(server, url):
        database = Database(url())
        database.clear()
        cache = classic(server.address)
        try:
            function(Products(cache, database), database, server)
        finally:
            cache.close()
            database.close()

    run.__name__ = function.__name__
    check_each(sqlite=lambda: ":memory:", postgresql=postgresql.url)(run)
    return function


def queries_of(database, call):
    """What the call costs the database, and what it gives."""
    before = database.queries
    answer = call()
    return database.queries - before, answer


def meanwhile(database, action):
    """Lets `action` happen once, after the next row is loaded and before its reader goes on."""
    load = database.load

    def load_and_act(product):
        database.load = load
        row = load(product)
        action()
        return row

    database.load = load_and_act


@on_each_database
def a_hit_costs_no_query(products, database, server):
    row = database.store(1, "tea", 300)
    same(queries_of(database, lambda: products.read(1)), (1, row))
    for _ in range(50):
        same(queries_of(database, lambda: products.read(1)), (0, row))
    server.advance_clock(TTL_SECS * 11 // 10 + 1)
    same(queries_of(database, lambda: products.read(1)), (1, row))


@on_each_database
def a_write_behind_the_cache_is_stale_until_the_ttl(products, database, server):
    database.store(1, "tea", 300)
    products.read(1)
    products.write_behind(1, "tea", 310)
    same((products.read(1)["price"], database.load(1)["price"]), (300, 310))
    server.advance_clock(TTL_SECS * 9 // 10 - 2)  # the shortest TTL that there is
    same(products.read(1)["price"], 300)
    server.advance_clock(TTL_SECS * 2 // 10 + 4)  # and the longest
    same(products.read(1)["price"], 310)


@on_each_database
def invalidation_costs_one_query_and_shows_the_new_row(products, database, _server):
    database.store(1, "tea", 300)
    products.read(1)
    products.write_and_delete(1, "tea", 320)
    loads, row = queries_of(database, lambda: products.read(1))
    same((loads, row["price"]), (1, 320))


@on_each_database
def write_through_shows_the_new_row_at_no_query(products, database, _server):
    products.write_through(1, "tea", 300)
    for price in (310, 320, 330):
        same(queries_of(database, lambda: products.read(1)["price"]), (0, price - 10))
        products.write_through(1, "tea", price)
    same(queries_of(database, lambda: products.read(1)["price"]), (0, 330))


@on_each_database
def a_naive_reader_stores_what_was_replaced(products, database, _server):
    """The race that a delete does not close: loaded, replaced, deleted, and then stored."""
    for write in (products.write_and_delete, products.write_through):
        database.clear()
        products.cache.delete(key_of(1))
        database.store(1, "tea", 300)
        meanwhile(database, lambda: write(1, "tea", 310))
        same(products.read_naively(1)["price"], 300)
        same((products.read(1)["price"], database.load(1)["price"]), (300, 310))


@on_each_database
def a_lease_keeps_it_out(products, database, server):
    for write in (products.write_and_delete, products.write_through):
        database.clear()
        products.cache.delete(key_of(1))
        database.store(1, "tea", 300)
        meanwhile(database, lambda: write(1, "tea", 310))
        same(products.read(1)["price"], 300)  # it asked before the write was done
        same((products.read(1)["price"], database.load(1)["price"]), (310, 310))
    # The same where another reader has a lease of its own by then.
    products.cache.delete(key_of(1))
    meanwhile(database, lambda: (products.write_and_delete(1, "tea", 320), products.lease(key_of(1))))
    same(products.read(1)["price"], 310)
    same(products.read(1)["price"], 320)
    server.advance_clock(LEASE_SECS + 1)  # that reader has died: the next one stores
    same(products.read(1)["price"], 320)
    same(queries_of(database, lambda: products.read(1)["price"]), (0, 320))


@on_each_database
def of_two_writers_the_later_row_stays(products, database, _server):
    """The first in the database comes last to the cache."""
    first, second = database.store(1, "tea", 300), database.store(1, "tea", 310)
    for rows in ((first, second), (second, first)):
        products.cache.delete(key_of(1))
        for row in rows:
            products.put(1, row)
        same(queries_of(database, lambda: products.read(1)["price"]), (0, 310))


@on_each_database
def a_removed_row_is_gone(products, database, _server):
    products.write_through(1, "tea", 300)
    products.remove(1)
    same(queries_of(database, lambda: products.read(1)), (1, None))
    products.write_through(1, "mate", 250)
    same(queries_of(database, lambda: products.read(1)["name"]), (0, "mate"))
    # The same amid a read.
    products.cache.delete(key_of(1))
    meanwhile(database, lambda: products.remove(1))
    same(products.read(1)["name"], "mate")
    same(queries_of(database, lambda: products.read(1)), (1, None))


@on_each_database
def a_row_made_anew_is_newer_than_what_is_cached(products, database, _server):
    """Its version does not start over: removed by who does not know of the cache, and written through."""
    for price in (300, 310, 320):
        products.write_through(1, "tea", price)
    before = database.load(1)["version"]
    database.remove(1)
    products.write_through(1, "tea", 330)
    assert database.load(1)["version"] > before, (database.load(1), before)
    same(queries_of(database, lambda: products.read(1)["price"]), (0, 330))


@check
def only_numbers_make_keys(_server):
    """A name that is no key would be asked of the database each time."""
    for made_up in ("1 2", "1", "x" * 300, "1\r\nflush_all"):
        refused(ValueError, lambda made_up=made_up: key_of(made_up))


@on_each_database
def a_missing_row_is_cached(products, database, server):
    same(queries_of(database, lambda: products.read(7)), (1, None))
    same(queries_of(database, lambda: products.read(7)), (0, None))
    products.write_behind(7, "mate", 250)
    same(products.read(7), None)
    server.advance_clock(MISSING_TTL_SECS * 11 // 10 + 1)
    same(products.read(7)["price"], 250)
    for number, write in ((8, products.write_and_delete), (9, products.write_through)):
        same(products.read(number), None)
        write(number, "mate", 250)
        same(products.read(number)["price"], 250)


@on_each_database
def ttls_are_spread(products, database, server):
    for number in range(200):
        database.store(number, "tea", 300)
        products.read(number)
    asked = b"".join(b"mg %s t\r\n" % key_of(number).encode() for number in range(200))
    ttls = [int(line.split(b" t")[1]) for line in server.exchange(asked).splitlines()]
    same(len(ttls), 200)
    assert TTL_SECS * 0.9 - 5 <= min(ttls) and max(ttls) <= TTL_SECS * 1.1, (min(ttls), max(ttls))
    assert len(set(ttls)) > 30, set(ttls)


@on_each_database
def without_the_cache_the_database_serves(products, database, server):
    with server.another() as other:
        products.cache = classic(other.address)
        products.write_through(1, "tea", 300)
        same(queries_of(database, lambda: products.read(1)["price"]), (0, 300))
    for price in (310, 320):
        same(queries_of(database, lambda: products.read(1)["price"]), (1, price - 10))
        products.write_and_delete(1, "tea", 0)
        products.write_through(1, "tea", price)
    products.cache.close()
    products.cache = classic(server.address)
    same(products.read(1)["price"], 320)
    products.cache.close()


@on_each_database
def a_node_that_is_away_keeps_its_place(products, database, server):
    """No other node takes its keys over: what they say there would be old when it is back and away again."""
    numbers = range(40)
    for number in numbers:
        database.store(number, "tea", 300)

    def read_all():
        for number in numbers:
            products.read(number)

    with server.another() as other:
        products.cache = classic(f"{server.address},{other.address}")
        same(queries_of(database, read_all), (40, None))
        same(queries_of(database, read_all), (0, None))
        its_keys = int(other.stats()["curr_items"])
        assert 0 < its_keys < 40, its_keys
    for _ in range(3):
        same(queries_of(database, read_all), (its_keys, None))
    products.cache.close()


def by_hand(server, url):
    lines = patterns.run_program("lazy_loading", "--cache", server.address, "--database", url())
    same(
        lines,
        [
            "lazy loading: 200 reads, 2 queries",
            "written to the database alone: read 300, in the database 310",
            "written and deleted: read 320, in the database 320",
            "written through: read 330, in the database 330",
            "removed: read None, in the database None",
        ],
    )
    with server.another() as gone:
        pass
    lines = patterns.run_program("lazy_loading", "--cache", gone.address, "--database", url())
    same(lines[:2], ["lazy loading: 200 reads, 200 queries", lines[1].replace("300", "310")])


check_each(sqlite=lambda: ":memory:", postgresql=postgresql.url)(by_hand)
