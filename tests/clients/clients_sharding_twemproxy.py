"""twemproxy (Debian: nutcracker) before four nodes: its ketama, what it passes on, failures and ejection."""

from harness import check, refused, same
from ketama import Ring, without
from nodes import FEW, KEYS, with_nodes
from proxies import twemproxy
from pymemcache.exceptions import MemcacheError, MemcacheServerError, MemcacheUnexpectedCloseError
from sharding import (
    OF_RING_160,
    a_cut_node_has_old_values,
    one_is_ejected,
    one_is_missed,
    spread,
)


@check
@with_nodes
def ketama(nodes):
    with twemproxy(nodes) as client:
        spread(nodes, client, KEYS, Ring(nodes.addresses).home, OF_RING_160)
        one_is_missed(nodes, client, FEW)
        with nodes[2].stopped():
            refused(MemcacheServerError, lambda: client.one.get_many(FEW))


@check
@with_nodes
def ejection(nodes):
    with twemproxy(nodes, ejecting=True) as client:
        one_is_ejected(nodes, client, FEW, without(Ring, nodes))


@check
@with_nodes
def old_values(nodes):
    with twemproxy(nodes, ejecting=True, timeout=200) as client:
        a_cut_node_has_old_values(nodes, client, Ring(nodes.addresses).home)


@check
@with_nodes
def commands(nodes):
    with twemproxy(nodes) as client:
        one = client.one
        same(one.version().decode(), nodes[0].stats()["version"])
        large = b"x" * 1_000_000
        same(one.set("large", large), True)
        same(one.get("large"), large)
        refused(MemcacheError, lambda: one.set("large", 2 * large))
        one.set("n", 9, noreply=True)
        same([one.incr("n", 5), one.decr("n", 4), one.incr("missing", 1)], [14, 10, None])
        same([one.append("n", "0"), one.prepend("n", "1"), one.get("n")], [True, True, b"1100"])
        same([one.add("n", 1), one.replace("n", 2), one.touch("n", 100)], [False, True, True])
        value, unique = one.gets("n")
        same([one.cas("n", 3, unique), one.cas("n", 4, unique), one.get("n")], [True, False, b"3"])
        one.set_many({f"key{i}": str(i) for i in range(100)}, noreply=True)
        same(len(one.get_many([f"key{i}" for i in range(200)])), 100)
        same([one.delete("n"), one.delete("n")], [True, False])


@check
@with_nodes
def what_it_does_not_pass_on(nodes):
    """It closes the connection of who asks for a node's own affairs, or in words newer than it."""
    with twemproxy(nodes) as client:
        for request in ("stats", "flush_all", "gat 1 key", "mg key v", "mn", "config get cluster"):
            refused(MemcacheUnexpectedCloseError, lambda: client.one.raw_command(request))
