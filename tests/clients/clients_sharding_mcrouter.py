"""mcrouter before four nodes: a pool by hash, failover, and warming a cold pool."""

import json
import shutil

from harness import Skipped, check, same
from nodes import FEW, KEYS, PORT, PROXY, with_nodes
from proxies import proxy
from sharding import OF_HASH, even, one_is_missed

if shutil.which("mcrouter") is None:
    raise Skipped("mcrouter")

QUIET = ("--asynclog-disable", "--stats-logging-interval=0", "--config-dump-root=")
# A node that refuses is left alone at once, and asked for its version five times a second.
HASTY = ("--timeouts-until-tko=1", "--probe-timeout-initial=200", "--probe-timeout-max=200")


def mcrouter(nodes, route, **pools):
    file = nodes[0].directory / "mcrouter.json"
    servers = {name: {"servers": [node.address for node in pool]} for name, pool in pools.items()}
    file.write_text(json.dumps({"pools": servers, "route": route}))
    place = (f"--listen-addresses={PROXY}", f"--port={PORT}")
    return proxy(nodes, "mcrouter", f"--config-file={file}", *place, *QUIET, *HASTY)


@check
@with_nodes
def hash_pool(nodes):
    """A get from a node that is not there is answered as a miss, a set as an error."""
    with mcrouter(nodes, "PoolRoute|all", all=nodes) as client:
        same(client.set("first", KEYS), set())
        same(client.get(KEYS), dict.fromkeys(KEYS, "first"))
        even(nodes.keys(), OF_HASH)
        one_is_missed(nodes, client, FEW)


@check
@with_nodes
def failover(nodes):
    """Keys of a pool's node that is not there go to another pool."""
    route = {"type": "FailoverRoute", "children": ["PoolRoute|main", "PoolRoute|spare"]}
    with mcrouter(nodes, route, main=nodes[:3], spare=nodes[3:]) as client:
        same(client.set("first", FEW), set())
        lost, spare, before = nodes[2], nodes[3].address, nodes.keys()
        theirs = before[lost.address]
        same(before[spare], set())
        with lost.stopped():
            nodes[0].await_that(lambda: not client.set("second", theirs))
            same(nodes.keys(), {**before, lost.address: set(), spare: theirs})
            same(client.get(theirs), dict.fromkeys(theirs, "second"))
        lost.await_that(lambda: not client.set("third", theirs) and nodes.keys()[lost.address] == theirs)
        same(client.get(theirs), dict.fromkeys(theirs, "third"))


@check
@with_nodes
def warming_up(nodes):
    """What the cold pool does not have is read from the warm one, and left in the cold one."""
    route = {"type": "WarmUpRoute", "cold": "PoolRoute|cold", "warm": "PoolRoute|warm", "exptime": 100}
    cold, warm = nodes[:2], nodes[2:]
    with mcrouter(nodes, "PoolRoute|warm", warm=warm) as client:
        same(client.set("warm", FEW), set())
    with mcrouter(nodes, route, cold=cold, warm=warm) as client:
        same(client.get(FEW), dict.fromkeys(FEW, "warm"))
        warmed = [node.address for node in cold]
        nodes[0].await_that(lambda: set().union(*map(nodes.keys().get, warmed)) == set(FEW))
        same(client.set("cold", FEW[:1]), set())
        same(client.get(FEW[:1]), {FEW[0]: "cold"})
