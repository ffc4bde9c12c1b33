"""Perl's Cache::Memcached::Fast (Debian: libcache-memcached-fast-perl): its checks are in
cache_memcached_fast.pl."""

from harness import REPOSITORY, script_checks

SCRIPT = REPOSITORY / "tests/clients/cache_memcached_fast.pl"
script_checks(__name__, SCRIPT, ["perl", SCRIPT])
