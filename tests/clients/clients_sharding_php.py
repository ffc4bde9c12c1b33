"""PHP's memcached extension (Debian: php-memcached) over four nodes, by sharding.php."""

import json

from driver import Driver
from harness import REPOSITORY, check
from ketama import Ring, without
from nodes import FEW, KEYS, with_nodes
from sharding import OF_RING_160, one_is_ejected, one_is_missed, spread

KETAMA = {"OPT_LIBKETAMA_COMPATIBLE": True, "OPT_TCP_NODELAY": True}
FAILING = {"OPT_SERVER_FAILURE_LIMIT": 1, "OPT_RETRY_TIMEOUT": 1}
EJECTING = {"OPT_REMOVE_FAILED_SERVERS": True, **FAILING, "OPT_DEAD_TIMEOUT": 1}


def client_of(nodes, options):
    script = REPOSITORY / "tests/clients/sharding.php"
    return Driver.running("php", script, json.dumps(options), *nodes.addresses)


@check
@with_nodes
def ketama(nodes):
    with client_of(nodes, {**KETAMA, **FAILING}) as client:
        spread(nodes, client, KEYS, Ring(nodes.addresses).home, OF_RING_160)
        one_is_missed(nodes, client, FEW)


@check
@with_nodes
def ketama_ejection(nodes):
    with client_of(nodes, {**KETAMA, **EJECTING}) as client:
        one_is_ejected(nodes, client, FEW, without(Ring, nodes))
