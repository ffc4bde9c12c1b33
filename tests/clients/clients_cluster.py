"""scripts/cluster: what it prints works as it stands, and nothing is left of it."""

import ctypes
import ctypes.util
import os
import signal
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pylibmc
from harness import ANSWER_SECS, REPOSITORY, check, refused, run_tool, same
from pymemcache.client.hash import HashClient

HOSTS = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
KEYS = [f"key:{i}" for i in range(300)]


def free_port():
    """A port that nobody listens on at the first of the hosts, nor at the others most likely."""
    with socket.create_server((HOSTS[0], 0)) as taken:
        return taken.getsockname()[1]


@contextmanager
def cluster(server, count, port):
    """The script with so many nodes, and the lines that it has printed, until Ctrl-C."""
    environment = {**os.environ, "NUTHATCH": os.path.abspath(server.command[0]), "PORT": str(port)}
    process = subprocess.Popen(
        [REPOSITORY / "scripts/cluster", str(count), "-m", "16"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        lines = []
        while "Ctrl-C" not in "".join(lines[-1:]):
            lines.append(process.stdout.readline())
            assert lines[-1], f"it ends with {process.wait(ANSWER_SECS)}"
        yield [line.strip() for line in lines]
        process.send_signal(signal.SIGINT)
        same(process.wait(ANSWER_SECS), 0)
    finally:
        process.terminate()
        process.wait(ANSWER_SECS)


def only(lines, start):
    (line,) = [line for line in lines if line.startswith(start)]
    return line


@check
def what_it_prints_works(server):
    port = free_port()
    addresses = [f"{host}:{port}" for host in HOSTS]
    with cluster(server, 3, port) as lines:
        file = Path(only(lines, "3 nodes").split(": ")[1])
        same(file.read_text().split(), [f"{host}|{host}|{port}" for host in HOSTS])
        client = eval(only(lines, "HashClient("), {"HashClient": HashClient})
        same(client.set_many(dict.fromkeys(KEYS, "pymemcache"), noreply=False), [])
        same(client.get_many(KEYS), dict.fromkeys(KEYS, b"pymemcache"))
        client = eval(only(lines, "pylibmc."), {"pylibmc": pylibmc})
        same(client.set_multi(dict.fromkeys(KEYS, "pylibmc")), [])
        same(client.get_multi(KEYS), dict.fromkeys(KEYS, "pylibmc"))
        php = lines[lines.index("PHP") + 1 : lines.index("PHP") + 4]
        ask = "exit($cache->set('key', 'php') && $cache->get('key') === 'php' ? 0 : 1);"
        run_tool("php", "-r", " ".join([*php, ask]))
        said, _ = run_tool("memcstat", only(lines, "memcstat").split()[1])
        assert all(f"Server: {host} ({port})".encode() in said for host in HOSTS), said
        check_configuration(only(lines, "--SERVER"))
        same(lines[-3], addresses[0])
        for host in HOSTS:
            with socket.create_connection((host, port), ANSWER_SECS) as node:
                node.sendall(b"config get cluster\r\nquit\r\n")
                assert file.read_text().split() == node.makefile().read().split("\n")[2].split()
    same(file.parent.exists(), False)
    for host in HOSTS:
        refused(ConnectionRefusedError, lambda: socket.create_connection((host, port), ANSWER_SECS))


def check_configuration(text):
    """Asserts that libmemcached takes a configuration string."""
    library = ctypes.CDLL(ctypes.util.find_library("memcached"))
    said = ctypes.create_string_buffer(500)
    asked = text.encode()
    verdict = library.libmemcached_check_configuration(
        asked, ctypes.c_size_t(len(asked)), said, ctypes.c_size_t(len(said))
    )
    same((verdict, said.value), (0, b""))


@check
def a_port_in_use_is_named(server):
    """Nothing of a cluster is left where one of its nodes cannot listen."""
    said = subprocess.run(
        [REPOSITORY / "scripts/cluster", "2"],
        env={**os.environ, "NUTHATCH": os.path.abspath(server.command[0]), "PORT": str(server.port)},
        capture_output=True,
        text=True,
        timeout=ANSWER_SECS,
    )
    same((said.returncode, said.stdout), (1, ""))
    assert f"127.0.0.1:{server.port} is in use" in said.stderr, said.stderr
