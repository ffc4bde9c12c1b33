"""Products of a shop, in SQLite or in PostgreSQL; counts its queries, so that a hit of the cache shows."""

import sqlite3

SCHEMA = """CREATE TABLE IF NOT EXISTS pattern_products
    (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price INTEGER NOT NULL, version INTEGER NOT NULL)"""
LOAD = "SELECT name, price, version FROM pattern_products WHERE id = ?"
# The version orders the writes of one row: the database counts it, so no two clocks are compared.
STORE = """INSERT INTO pattern_products (id, name, price, version) VALUES (?, ?, ?, 1)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, price = excluded.price,
    version = pattern_products.version + 1 RETURNING version"""


class Database:
    def __init__(self, url=":memory:"):
        """`url` is `postgresql://...`, or else SQLite's file."""
        self.is_postgresql = url.startswith(("postgresql://", "postgres://"))
        if self.is_postgresql:
            import psycopg

            self.connection = psycopg.connect(url, autocommit=True)
        else:
            self.connection = sqlite3.connect(url, isolation_level=None)
        self.queries = 0
        self.connection.execute(SCHEMA)

    def load(self, product):
        """The row as a dictionary, or None."""
        row = self._query(LOAD, product)
        return row and dict(zip(("name", "price", "version"), row))

    def store(self, product, name, price):
        """Puts a row in place, and gives it as `load` would."""
        (version,) = self._query(STORE, product, name, price)
        return {"name": name, "price": price, "version": version}

    def clear(self):
        self.connection.execute("DELETE FROM pattern_products")

    def close(self):
        self.connection.close()

    def _query(self, sql, *values):
        self.queries += 1
        if self.is_postgresql:
            sql = sql.replace("?", "%s")
        return self.connection.execute(sql, values).fetchone()
