"""What the patterns share: the clients, with the settings that the pages give reasons for."""

import argparse
import logging
import sys

from meta_memcache import CacheClient
from meta_memcache.configuration import ServerAddress, connection_pool_factory_builder
from meta_memcache.errors import MemcacheServerError as MetaServerError
from pymemcache.client.hash import HashClient
from pymemcache.exceptions import MemcacheServerError

# A cache answers in well under a millisecond. Who waits longer than this is better served by the database.
ANSWER_SECS = 1
# A node that is not reached, answers too late or has no room. The caller's own errors, an illegal key say, are not
# among them: taken for these, they would be a way round a limit or a cache for whoever can write such a key.
NO_CACHE = (OSError, MemcacheServerError, MetaServerError)


def arguments(description):
    """A parser with the option that all of them have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--cache", default="127.0.0.1:11211", help="nodes: HOST:PORT,HOST:PORT")
    return parser


def run(main):
    """Runs a program that is nothing without a cache: it then ends with a line that says so."""
    logging.getLogger("meta_memcache").addHandler(logging.NullHandler())  # it would log a traceback before that
    try:
        main()
    except NO_CACHE as error:
        sys.exit(f"no cache: {error}")


def ask(command, *words, **more):
    """What the cache answers to a client's method, or None when there is no cache."""
    try:
        return command(*words, **more)
    except NO_CACHE:
        return None


def classic(nodes, retry_secs=1):
    """pymemcache, for threads, over one or several nodes (`HOST:PORT,HOST:PORT`).

    A node that is away keeps its place: nobody else takes over its keys, whose old values would be served when it
    is back. It is tried again after `retry_secs`; until then each call gives what it gives for a missing key, and
    only with 0 does each of them raise."""
    return HashClient(
        nodes.split(","),
        use_pooling=True,
        connect_timeout=ANSWER_SECS,
        timeout=ANSWER_SECS,
        no_delay=True,
        default_noreply=False,
        retry_attempts=1_000_000_000,
        retry_timeout=retry_secs,
    )


def meta(nodes, connections=8):
    """meta-memcache, which has the meta commands, over the same nodes; it keeps a node's place, too."""
    places = [node.rsplit(":", 1) for node in nodes.split(",")]
    return CacheClient.cache_client_from_servers(
        servers=[ServerAddress(host, int(port)) for host, port in places],
        connection_pool_factory_fn=connection_pool_factory_builder(
            connection_timeout=ANSWER_SECS,
            recv_timeout=ANSWER_SECS,
            mark_down_period_s=1,
            max_pool_size=connections,
        ),
    )
