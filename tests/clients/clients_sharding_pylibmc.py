"""pylibmc over four nodes: ketama in both shapes, weights, failures and ejection."""

import pylibmc
from harness import check, same
from ketama import Plain, Ring, without
from nodes import FEW, KEYS, with_nodes
from sharding import (
    OF_RING_100,
    OF_RING_160,
    a_cut_node_has_old_values,
    at_home,
    one_is_ejected,
    one_is_missed,
    spread,
)

PLAIN = {"ketama": True, "hash": "md5"}
WEIGHTED = {"ketama_weighted": True, "hash": "md5"}
FAILING = {"failure_limit": 1, "retry_timeout": 1}
EJECTING = {"remove_failed": 1, "retry_timeout": 1, "dead_timeout": 1}


class Client:
    """One call a key where it may fail: an error of set_multi hides what was stored before it."""

    def __init__(self, addresses, **behaviors):
        self._client = pylibmc.Client(addresses, behaviors={"tcp_nodelay": True, **behaviors})

    def set(self, value, keys):
        return {key for key in keys if not self._does(self._client.set, key, value.encode())}

    def get(self, keys):
        found = self._does(self._client.get_multi, keys) or {}
        return {key: value.decode() for key, value in found.items()}

    def _does(self, call, *arguments):
        try:
            return call(*arguments)
        except pylibmc.Error:
            return None


@check
@with_nodes
def plain(nodes):
    client = Client(nodes.addresses, **PLAIN)
    spread(nodes, client, KEYS, Plain(nodes.addresses).home, OF_RING_100)


@check
@with_nodes
def weighted(nodes):
    client = Client(nodes.addresses, **WEIGHTED, **FAILING)
    spread(nodes, client, KEYS, Ring(nodes.addresses).home, OF_RING_160)
    one_is_missed(nodes, client, FEW)


@check
@with_nodes
def weights(nodes):
    """A node of weight 4 has about four times what one of weight 1 has; half a ring varies most."""
    by_weight = [1, 1, 2, 4]
    named = [f"{address}:{weight}" for address, weight in zip(nodes.addresses, by_weight)]
    same(Client(named, **WEIGHTED).set("first", KEYS), set())
    placed = nodes.keys()
    same(placed, at_home(nodes, KEYS, Ring(nodes.addresses, by_weight).home))
    for node, weight in zip(nodes, by_weight):
        share = 100 * len(placed[node.address]) / len(KEYS)
        assert abs(share - 100 * weight / 8) < 1.5 * OF_RING_160, (weight, share)


@check
@with_nodes
def ejection(nodes):
    one_is_ejected(nodes, Client(nodes.addresses, **WEIGHTED, **EJECTING), FEW, without(Ring, nodes))


@check
@with_nodes
def ejection_without_dead_timeout(nodes):
    """Without it an ejected node has its keys again after `retry_timeout`, but is never asked: they fail."""
    client = Client(nodes.addresses, **WEIGHTED, **{**EJECTING, "dead_timeout": 0})
    home = Ring(nodes.addresses).home
    theirs = {key for key in FEW if home(key) == nodes[2].address}
    same(client.set("first", theirs), set())
    with nodes[2].stopped():
        nodes[0].await_that(lambda: not client.set("second", theirs))
    nodes[2].await_that(lambda: client.set("third", theirs) == theirs)
    same(nodes[2].stats()["cmd_set"], "0")


@check
@with_nodes
def old_values(nodes):
    client = Client(nodes.addresses, **WEIGHTED, **EJECTING, _poll_timeout=200)
    a_cut_node_has_old_values(nodes, client, Ring(nodes.addresses).home)
