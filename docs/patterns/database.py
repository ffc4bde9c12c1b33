"""Products of a shop, in SQLite or in PostgreSQL; counts its queries, so that a hit of the cache shows."""

import sqlite3

# The version orders the writes of a row, without comparing clocks. It goes up over the whole table and never back, so
# that a row that is removed and made anew is newer than what a cache may have of the old one.
SQLITE = (
    """CREATE TABLE IF NOT EXISTS pattern_products (version INTEGER PRIMARY KEY AUTOINCREMENT,
        id INTEGER UNIQUE NOT NULL, name TEXT NOT NULL, price INTEGER NOT NULL)""",
    """INSERT OR REPLACE INTO pattern_products (id, name, price) VALUES (?, ?, ?) RETURNING version""",
)
POSTGRESQL = (  # the row is locked before DEFAULT, the next of a sequence, is taken
    """CREATE TABLE IF NOT EXISTS pattern_products (version BIGSERIAL NOT NULL,
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, price INTEGER NOT NULL)""",
    """INSERT INTO pattern_products (id, name, price) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE
        SET name = excluded.name, price = excluded.price, version = DEFAULT RETURNING version""",
)


class Database:
    def __init__(self, url=":memory:"):
        """`url` is `postgresql://...`, or else SQLite's file. For one thread: with more, each has its own."""
        self.is_postgresql = url.startswith(("postgresql://", "postgres://"))
        if self.is_postgresql:
            import psycopg

            self.connection = psycopg.connect(url, autocommit=True)
        else:
            self.connection = sqlite3.connect(url, isolation_level=None)
        self.queries = 0
        schema, self.upsert = POSTGRESQL if self.is_postgresql else SQLITE
        self.connection.execute(schema)

    def load(self, product):
        """The row as a dictionary, or None."""
        row = self._query("SELECT name, price, version FROM pattern_products WHERE id = ?", product).fetchone()
        return row and dict(zip(("name", "price", "version"), row))

    def store(self, product, name, price):
        """Puts a row in place, and gives it as `load` would."""
        (version,) = self._query(self.upsert, product, name, price).fetchone()
        return {"name": name, "price": price, "version": version}

    def remove(self, product):
        self._query("DELETE FROM pattern_products WHERE id = ?", product)

    def clear(self):
        self.connection.execute("DELETE FROM pattern_products")

    def close(self):
        self.connection.close()

    def _query(self, sql, *values):
        self.queries += 1
        if self.is_postgresql:
            sql = sql.replace("?", "%s")
        return self.connection.execute(sql, values)
