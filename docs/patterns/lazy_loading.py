"""Lazy loading, invalidation and write-through, in front of SQLite or PostgreSQL. The page is lazy_loading.md."""

import json
import os
import random

from connect import arguments, ask, classic
from database import Database

TTL_SECS = 300  # bounds how long anything stale is served, whatever went wrong
MISSING_TTL_SECS = 30  # of "there is no such row"
LEASE_SECS = 10  # longer than a query takes
LEASE = b""  # no JSON is empty


class Products:
    """Products, read through the cache. A value is the row as JSON, `null` where there is none."""

    def __init__(self, cache, database):
        self.cache = cache
        self.database = database

    def read(self, product):
        """Lazy loading: from the cache, or else from the database, and then into the cache.

        Stored is only what was loaded under a lease that nobody has touched since: a write in between deletes
        the lease or overwrites it, and `cas` then fails."""
        key = key_of(product)
        found = ask(self.cache.get, key)
        if found:  # neither missing nor a lease
            return json.loads(found)
        unique = self.lease(key)
        row = self.database.load(product)
        if unique:
            ask(self.cache.cas, key, pack(row), unique, expire=ttl_of(row))
        return row

    def read_naively(self, product):
        """Lazy loading as it is usually written: it may store a row that has been replaced meanwhile."""
        key = key_of(product)
        found = ask(self.cache.get, key)
        if found:
            return json.loads(found)
        row = self.database.load(product)
        ask(self.cache.set, key, pack(row), expire=ttl_of(row))
        return row

    def write_behind(self, product, name, price):
        """To the database alone, as who does not know of the cache: the old row is served until its TTL."""
        self.database.store(product, name, price)

    def write_and_delete(self, product, name, price):
        """Invalidation: the next reader loads the new row. First the database, then the cache."""
        self.database.store(product, name, price)
        ask(self.cache.delete, key_of(product))

    def write_through(self, product, name, price):
        """To the database and into the cache; of two who write at once the later row stays."""
        row = self.database.store(product, name, price)
        self.put(product, row)

    def remove(self, product):
        """Ends the row; the next reader finds that there is none."""
        self.database.remove(product)
        ask(self.cache.delete, key_of(product))

    def put(self, product, row):
        key = key_of(product)
        for _ in range(10):
            found, unique = ask(self.cache.gets, key) or (None, None)
            if found is None:
                done = ask(self.cache.add, key, pack(row), expire=ttl_of(row))
            elif version_of(found) >= row["version"]:
                return
            else:
                done = ask(self.cache.cas, key, pack(row), unique, expire=ttl_of(row))
            if done:
                return
        ask(self.cache.delete, key)  # whoever it is that is faster, each time

    def lease(self, key):
        """A unique under which what is loaded from now on may be stored, or None: another has it, or no cache."""
        if not ask(self.cache.add, key, LEASE, expire=LEASE_SECS):
            return None
        _, unique = ask(self.cache.gets, key) or (None, None)
        return unique


def key_of(product):
    # A new layout of values is a new prefix, so that none is read as another; and `d` takes nothing but a number.
    return f"product:v1:{product:d}"


def pack(row):
    return json.dumps(row).encode()


def version_of(found):
    row = json.loads(found) if found else None
    return row["version"] if row else 0


def ttl_of(row):
    """Spread by a tenth, so that what was stored together does not expire together."""
    return int((TTL_SECS if row else MISSING_TTL_SECS) * random.uniform(0.9, 1.1))


def main():
    parser = arguments(__doc__)
    parser.add_argument("--database", default=os.environ.get("DATABASE_URL", ":memory:"))
    options = parser.parse_args()
    cache, database = classic(options.cache), Database(options.database)
    products = Products(cache, database)
    database.clear()
    ask(cache.delete_many, [key_of(1), key_of(2)])
    database.store(1, "tea", 300)

    def tell(what):
        print(f"{what}: read {products.read(1)['price']}, in the database {database.load(1)['price']}")

    before = database.queries
    for _ in range(100):
        products.read(1)
        products.read(2)  # there is no such row, and that is cached, too
    print(f"lazy loading: 200 reads, {database.queries - before} queries")
    products.write_behind(1, "tea", 310)
    tell("written to the database alone")
    products.write_and_delete(1, "tea", 320)
    tell("written and deleted")
    products.write_through(1, "tea", 330)
    tell("written through")
    products.remove(1)
    print(f"removed: read {products.read(1)}, in the database {database.load(1)}")


if __name__ == "__main__":
    main()
