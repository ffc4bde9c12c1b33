"""libmemcached itself over four nodes: its tools (Debian: libmemcached-tools), which take the rest of
a hash, and sharding.c (Debian: libmemcached-dev, gcc), which is set up as an application would be."""

from contextlib import contextmanager
from hashlib import md5

from driver import Driver
from harness import REPOSITORY, check, run_tool, same
from ketama import Ring, number, without
from nodes import FEW, KEYS, with_nodes
from sharding import OF_HASH, OF_RING_160, at_home, one_is_ejected, one_is_missed, spread

MD5 = "HASH=1"
KETAMA = ("KETAMA_WEIGHTED=1", MD5)
MODULA = ("DISTRIBUTION=0", MD5)
FAILING = ("SERVER_FAILURE_LIMIT=1", "RETRY_TIMEOUT=1")
EJECTING = ("REMOVE_FAILED_SERVERS=1", *FAILING, "DEAD_TIMEOUT=1")


@contextmanager
def client_of(nodes, *behaviors):
    """sharding.c, compiled, with these behaviours."""
    program = nodes[0].directory / "sharding"
    source = REPOSITORY / "tests/clients/sharding.c"
    run_tool("gcc", "-Wall", "-Wextra", "-Werror", "-O1", source, "-o", program, "-lmemcached")
    with Driver.running(program, *behaviors, *nodes.addresses) as client:
        yield client


def by_rest(nodes):
    """The home of a key where it is the rest of the MD5 by the number of nodes."""
    return lambda key: nodes.addresses[number(md5(key.encode()).digest(), 0) % len(nodes)]


@check
@with_nodes
def ketama(nodes):
    with client_of(nodes, *KETAMA, *FAILING) as client:
        spread(nodes, client, KEYS, Ring(nodes.addresses).home, OF_RING_160)
        one_is_missed(nodes, client, FEW)


@check
@with_nodes
def ketama_ejection(nodes):
    with client_of(nodes, *KETAMA, *EJECTING) as client:
        one_is_ejected(nodes, client, FEW, without(Ring, nodes))


@check
@with_nodes
def modula(nodes):
    with client_of(nodes, *MODULA) as client:
        spread(nodes, client, KEYS, by_rest(nodes), OF_HASH)


@check
@with_nodes
def replicas(nodes):
    """Two copies of each value, which only the binary protocol has. With a node stopped the other copy
    is read; a node that has returned empty says that it has nothing, and the copy is not asked for."""
    copies = ("NUMBER_OF_REPLICAS=1", "BINARY_PROTOCOL=1")

    def found(client):
        """In small batches: one of thousands of keys is not read to its end, whatever the server is."""
        return set().union(*(client.get(FEW[i : i + 100]) for i in range(0, len(FEW), 100)))

    with client_of(nodes, *KETAMA, *FAILING, *copies) as client:
        same(client.set("first", FEW), set())
        same(found(client), set(FEW))  # a copy leaves with the next request to its node
        nodes[0].await_that(lambda: sum(nodes.counts()) == 2 * len(FEW))
        with nodes[2].stopped():
            nodes[0].await_that(lambda: found(client) == set(FEW))
        theirs = at_home(nodes, FEW, Ring(nodes.addresses).home)[nodes[2].address]
        nodes[2].await_that(lambda: found(client) == set(FEW) - theirs)


@check
@with_nodes
def tools(nodes):
    """memccp and memcexist, each a process of its own that knows nothing of the one before."""
    servers = ("--servers=" + ",".join(nodes.addresses), "--hash=md5")
    files = [nodes[0].directory / f"file{i}" for i in range(200)]
    for file in files:
        file.write_text("1")
    run_tool("memccp", *servers, *files)
    keys = [file.name for file in files]
    placed = nodes.keys()
    same(placed, at_home(nodes, keys, by_rest(nodes)))
    with nodes[2].stopped():
        for node, has in placed.items():
            exits = int(node == nodes[2].address)
            run_tool("memcexist", *servers, min(has), expect_exit=exits)
            run_tool("memccp", *servers, nodes[0].directory / min(has), expect_exit=exits)
    run_tool("memccp", *servers, *files)
    same(nodes.keys(), placed)
