"""Four daemons that clients spread their keys over, each with a name that is always the same.

Rings are made of the names of nodes, so that a node's share depends on its name: with ports of the
system's choice no two runs would share alike. Nodes therefore have addresses of their own, of which
runs at the same time have different ones, and a port that the system gives nobody by itself: no
client can have it while its node is stopped."""

import functools
import socket
from contextlib import ExitStack
from urllib.parse import unquote

from harness import Needs, on, same

COUNT = 4
PORT = 21211
KEYS = [f"user:{i}:profile" for i in range(10_000)]
FEW = KEYS[:2000]  # where shares are not measured


def take_a_network():
    """The first of these networks that no other run of the checks has.

    Its last address is bound until this process ends: that says that it is taken."""
    for i in range(1, 11):
        network, held = f"127.66.{i}", socket.socket()
        try:
            held.bind((f"{network}.254", PORT))
        except OSError:
            held.close()
        else:
            return network, held
    raise RuntimeError("no network is free")


NETWORK, _held = take_a_network()
HOSTS = [f"{NETWORK}.{i + 1}" for i in range(COUNT)]
PROXY = f"{NETWORK}.10"  # with the same port, for who stands between clients and nodes


def with_nodes_that(**needs):
    """Makes a function of four nodes that need this one of the first of them, as a check is."""

    def decorate(function):
        @functools.wraps(function)
        def one(server, *variant):
            with ExitStack() as stack:
                others = [stack.enter_context(server.another(host=host)) for host in HOSTS[1:]]
                function(Nodes([server, *others]), *variant)

        return on(Needs(host=HOSTS[0], port=PORT, **needs))(one)

    return decorate


with_nodes = with_nodes_that()


class Nodes(list):
    """The four daemons, and what lies where."""

    @property
    def addresses(self):
        return [node.address for node in self]

    def counts(self):
        """How many items each of them has, by its own account."""
        return [int(node.stats()["curr_items"]) for node in self]

    def keys(self):
        """The keys that each of them lists, by its address; their number is the one it counts."""
        placed = {}
        for node in self:
            placed[node.address] = keys = keys_of(node) if node.is_running() else set()
            if keys:
                same(int(node.stats()["curr_items"]), len(keys))
        return placed


def keys_of(node):
    """The keys that a daemon lists. memcached takes nothing more from a connection that lists."""
    listed = bytearray()
    with node.connect() as connection:
        connection.sendall(b"lru_crawler metadump all\r\n")
        while not listed.endswith(b"END\r\n"):
            listed += connection.recv(1 << 20) or b"END\r\n"
    return {unquote(word[4:]) for word in listed.decode().split() if word.startswith("key=")}
