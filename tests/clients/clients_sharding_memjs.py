"""memjs (npm) over four nodes, by sharding.js: a hash of its own, the rest of which is the node.

Node.js looks for packages where $NODE_PATH says."""

import json

from driver import Driver
from harness import REPOSITORY, check
from nodes import FEW, KEYS, with_nodes
from sharding import OF_HASH, one_is_ejected, one_is_missed, spread

ONCE = {"timeout": 20, "retries": 1}
FAILOVER = {**ONCE, "failover": True, "failoverTime": 1}


def client_of(nodes, options):
    script = REPOSITORY / "tests/clients/sharding.js"
    return Driver.running("node", script, json.dumps(options), *nodes.addresses)


def index_of(nodes, key):
    """The hash is that of Java's strings, signed, without its sign."""
    number = 0
    for byte in key.encode():
        number = (31 * number + byte) & 0xFFFFFFFF
    return min(number, 2**32 - number) % len(nodes)


def next_to(nodes):
    """A node's keys go to the next in the list while it is not there."""

    def without(lost):
        at = nodes.addresses.index(lost)

        def home(key):
            index = index_of(nodes, key)
            return nodes.addresses[(index + (index == at)) % len(nodes)]

        return home

    return without


@check
@with_nodes
def modula(nodes):
    with client_of(nodes, ONCE) as client:
        spread(nodes, client, KEYS, lambda key: nodes.addresses[index_of(nodes, key)], OF_HASH)
        one_is_missed(nodes, client, FEW)


@check
@with_nodes
def failover(nodes):
    with client_of(nodes, FAILOVER) as client:
        one_is_ejected(nodes, client, FEW, next_to(nodes))
