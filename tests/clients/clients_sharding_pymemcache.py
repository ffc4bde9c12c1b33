"""pymemcache's HashClient over four nodes: rendezvous hashing, errors shown or not, ejection, pools."""

from functools import cache

from harness import check, check_each, same
from nodes import FEW, KEYS, with_nodes
from pymemcache.client.hash import HashClient
from pymemcache.client.murmur3 import murmur3_32
from pymemcache.exceptions import MemcacheError
from sharding import OF_HASH, a_cut_node_has_old_values, one_is_ejected, one_is_missed, spread

KEEPING = {"retry_attempts": 10**6, "retry_timeout": 0.2}
EJECTING = {"retry_attempts": 0, "dead_timeout": 0.5}
SETTINGS = {
    "raising": {},
    "silent_pooled": {"ignore_exc": True, "use_pooling": True, "max_pool_size": 4},
}


class Client:
    def __init__(self, nodes, **settings):
        settings = {"default_noreply": False, "timeout": 20, "encoding": "ascii", **settings}
        self._client = HashClient(nodes.addresses, **settings)

    def set(self, value, keys):
        """One call a key: with `ignore_exc` set_many takes what a stopped node should have for stored."""
        return {key for key in keys if not self._does(self._client.set, key, value)}

    def get(self, keys):
        found = {key: self._does(self._client.get, key) for key in keys}
        return {key: value.decode() for key, value in found.items() if value is not None}

    def _does(self, call, *arguments):
        try:
            return call(*arguments)
        except (OSError, MemcacheError):  # a connection that was closed is the latter
            return None


class Batches(Client):
    """The calls that take many keys, for where nothing fails."""

    def set(self, value, keys):
        return set(self._client.set_many(dict.fromkeys(keys, value)))

    def get(self, keys):
        return {key: value.decode() for key, value in self._client.get_many(keys).items()}


def highest(addresses):
    """The home of a key: the node whose name and the key have the highest hash together."""
    return cache(lambda key: max(addresses, key=lambda node: murmur3_32(f"{node}-{key}")))


def without(nodes):
    return lambda lost: highest([address for address in nodes.addresses if address != lost])


@check
@with_nodes
def rendezvous(nodes):
    spread(nodes, Batches(nodes), KEYS, highest(nodes.addresses), OF_HASH)


@check_each(**SETTINGS)
@with_nodes
def missed(nodes, settings):
    one_is_missed(nodes, Client(nodes, **KEEPING, **settings), FEW)


@check_each(**SETTINGS)
@with_nodes
def ejected(nodes, settings):
    one_is_ejected(nodes, Client(nodes, **EJECTING, **settings), FEW, without(nodes))


@check
@with_nodes
def silent_set_many(nodes):
    """With `ignore_exc` it takes for stored, and for no failure, what a stopped node should have."""
    client = HashClient(nodes.addresses, default_noreply=False, ignore_exc=True)
    with nodes[2].stopped():
        for _ in range(2):
            same(client.set_many(dict.fromkeys(FEW, "value")), [])
        stored = sum(map(len, nodes.keys().values()))
        assert 0.6 < stored / len(FEW) < 0.9, stored


@check
@with_nodes
def old_values(nodes):
    client = Client(nodes, retry_attempts=0, dead_timeout=1, timeout=0.2, connect_timeout=0.2)
    a_cut_node_has_old_values(nodes, client, highest(nodes.addresses))
