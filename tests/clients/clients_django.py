"""Django's cache backends PyMemcacheCache and PyLibMCCache, in a Django project of one module."""

from contextlib import suppress
from types import SimpleNamespace

import django
from django.conf import settings
from django.core.cache.backends import memcached
from harness import check_each, same

BACKENDS = {"pymemcache": "PyMemcacheCache", "pylibmc": "PyLibMCCache"}

settings.configure(
    SECRET_KEY="for tests",
    INSTALLED_APPS=["django.contrib.sessions"],
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    ROOT_URLCONF=SimpleNamespace(urlpatterns=[]),
    ALLOWED_HOSTS=["testserver"],
    CACHES={"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}},
)
django.setup()


def each_backend(function):
    """Makes a check for each backend of `function(cache, server)`."""

    def run(server, backend):
        cache = getattr(memcached, backend)(server.address, {})
        try:
            function(cache, server)
        finally:
            cache.close()

    run.__name__ = function.__name__
    check_each(**BACKENDS)(run)
    return function


@each_backend
def values(cache, _server):
    for value in ("text", "ünïcode", b"\x00\xff\r\n", 1, -1, 2.5, None, [1, {"a": (2, 3)}], "x" * 500_000):
        cache.set("key", value)
        same(cache.get("key"), value)
    same(cache.get("nope"), None)
    same(cache.get("nope", "default"), "default")
    assert "key" in cache and "nope" not in cache
    same(cache.has_key("key"), True)


@each_backend
def add_and_delete(cache, _server):
    same(cache.add("key", 1), True)
    same(cache.add("key", 2), False)
    same(cache.get("key"), 1)
    same(cache.delete("key"), True)
    same(cache.delete("key"), False)
    same(cache.get_or_set("key", lambda: "made"), "made")
    same(cache.get_or_set("key", "other"), "made")


@each_backend
def many(cache, _server):
    values = {f"key{i}": i for i in range(200)}
    same(cache.set_many(values), [])
    same(cache.get_many([*values, "nope"]), values)
    cache.delete_many(list(values)[:100])
    same(len(cache.get_many(values)), 100)
    cache.clear()
    same(cache.get_many(values), {})


@each_backend
def counting(cache, _server):
    cache.set("count", 41)
    same(cache.incr("count"), 42)
    same(cache.incr("count", 8), 50)
    same(cache.decr("count", 20), 30)
    same(cache.incr("count", -10), 20)
    for change in (cache.incr, cache.decr):
        try:
            change("nope")
        except ValueError:
            continue
        raise AssertionError("counted what is not there")


@each_backend
def versions(cache, _server):
    cache.set("key", "one", version=1)
    cache.set("key", "two", version=2)
    same((cache.get("key"), cache.get("key", version=2)), ("one", "two"))
    same(cache.incr_version("key"), 2)
    same((cache.get("key"), cache.get("key", version=2)), (None, "one"))


@each_backend
def timeouts(cache, server):
    cache.set("short", 1, 100)
    cache.set("long", 1, 60 * 60 * 24 * 60)
    cache.set("never", 1, None)
    cache.set("gone", 1, 0)
    same(cache.get("gone"), None)
    same(cache.touch("short", 1000), True)
    same(cache.touch("nope", 1000), False)
    server.advance_clock(500)
    same([cache.get(key) for key in ("short", "long", "never")], [1, 1, 1])
    server.advance_clock(1000)
    same([cache.get(key) for key in ("short", "long", "never")], [None, 1, 1])


@each_backend
def sessions(cache, _server):
    from django.contrib.sessions.backends import cache as engine

    def session(key=None):
        store = engine.SessionStore(key)
        store._cache = cache
        return store

    first = session()
    first["user"] = "somebody"
    first["visits"] = 1
    first.save()
    second = session(first.session_key)
    same((second["user"], second["visits"]), ("somebody", 1))
    second["visits"] += 1
    second.save()
    same(session(first.session_key)["visits"], 2)
    second.flush()
    same(session(first.session_key).get("user"), None)


@each_backend
def too_large(cache, _server):
    """A value that is refused is gone afterwards, as Django's own tests want it."""
    cache.set("key", "small")
    # Some client libraries raise, with an error of their own.
    with suppress(Exception):
        cache.set("key", "x" * 2_000_000)
    same(cache.get("key"), None)
