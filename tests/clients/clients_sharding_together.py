"""Clients whose rings are said to be the same find one another's keys, on the same nodes."""

import clients_sharding_libmemcached as libmemcached
import clients_sharding_php as php
import clients_sharding_pylibmc as pylibmc
import clients_sharding_twemproxy as twemproxy
from harness import check, same
from nodes import FEW, with_nodes


@check
@with_nodes
def one_ring(nodes):
    with (
        libmemcached.client_of(nodes, *libmemcached.KETAMA) as in_c,
        php.client_of(nodes, php.KETAMA) as in_php,
        twemproxy.twemproxy(nodes) as by_proxy,
    ):
        in_python = pylibmc.Client(nodes.addresses, **pylibmc.WEIGHTED)
        clients = {"c": in_c, "php": in_php, "proxy": by_proxy, "python": in_python}
        wanted = {}
        for i, (name, client) in enumerate(clients.items()):
            part = FEW[i :: len(clients)]
            same(client.set(name, part), set())
            wanted.update(dict.fromkeys(part, name))
        for client in clients.values():
            same(client.get(FEW), wanted)
        same(sum(nodes.counts()), len(FEW))
