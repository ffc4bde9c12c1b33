"""Clients that find the nodes of a cluster by asking one of them (ElastiCache's auto discovery), unchanged:
elasticache_pyclient (PyPI) and memcached-elasticache (npm).

Each runs in a process of its own, which is told by a line what to do, and answers with one:

    nodes           the nodes that it knows, HOST:PORT each
    set KEY...      stores each key under itself; those that were stored
    get KEY...      those that were found, with that value
"""

import subprocess
import sys
from contextlib import contextmanager

from harness import REPOSITORY, check, check_each, path_of, same
from nodes import FEW, HOSTS, PORT, with_nodes_that

HERE = REPOSITORY / "tests/clients"
CLIENTS = {
    "pyclient": [sys.executable, HERE / "discovery_pyclient.py"],
    "node": ["node", HERE / "discovery_node.js"],
}


def lines_of(hosts):
    return "".join(f"{host}|{host}|{PORT}\n" for host in hosts)


def prepare(directory):
    (directory / "nodes").write_text(lines_of(HOSTS))


in_a_cluster = with_nodes_that(arguments=("--cluster-file", "{dir}/nodes"), prepare=prepare)


@contextmanager
def talking(command, address):
    """Gives what asks a client and takes its answer, a list of words."""
    program, script = command
    process = subprocess.Popen(
        [path_of(program), script, address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )

    def ask(*words):
        print(*words, file=process.stdin, flush=True)
        return process.stdout.readline().split()

    try:
        yield ask
        process.stdin.close()
        same(process.wait(10), 0)
    finally:
        process.kill()
        process.wait()


@check_each(**CLIENTS)
@in_a_cluster
def nodes_are_found_and_followed(nodes, command):
    """A client that is told of one node spreads keys over all; a node that leaves the file gets no more of them, and has its own again
    when it is back."""
    with talking(command, nodes[0].address) as ask:

        def knows(addresses):
            nodes[0].await_that(lambda: sorted(ask("nodes")) == sorted(addresses))

        def stand(hosts):
            for node in nodes:
                node.rewrite("nodes", lines_of(hosts))
                node.reload()
            knows([f"{host}:{PORT}" for host in hosts])

        knows(nodes.addresses)
        same(ask("set", *FEW), FEW)
        same(ask("get", *FEW), FEW)
        counts = nodes.counts()
        same(sum(counts), len(FEW))
        assert min(counts) > 0, counts
        stand(HOSTS[:3])
        others = [f"other:{key}" for key in FEW]
        same(ask("set", *others), others)
        same(nodes.counts()[3], counts[3])
        stand(HOSTS)
        same(ask("get", *FEW), FEW)
        # By hand, at the node that is asked.
        listed = b"4000000000\n" + b" ".join(lines_of(HOSTS[:2]).encode().split()) + b"\n"
        same(nodes[0].exchange(b"config set cluster 0 %d\r\n%b\r\n" % (len(listed), listed)), b"STORED\r\n")
        knows(nodes.addresses[:2])


@check
@in_a_cluster
def all_nodes_tell_the_same(nodes):
    """Whichever is asked, by the new command or the old one; each has but the version of its own file's time."""
    for node in nodes:
        new = node.exchange(b"config get cluster\r\n").split(b"\r\n")
        old = node.exchange(b"get AmazonElastiCache:cluster\r\n").split(b"\r\n")
        same(new[1:], old[1:])
        same(new[1].split(b"\n")[1], b" ".join(lines_of(HOSTS).encode().split()))
        same(new[0].split()[-1], b"%d" % len(new[1]))
