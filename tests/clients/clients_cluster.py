"""scripts/cluster: what it prints works as it stands, what is not for it to do is refused, and
nothing is left of it."""

import ctypes
import ctypes.util
import json
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
        # Who runs in the background has it ignored, and bash cannot take that back.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
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
        other = eval(only(lines, "HashClient("), {"HashClient": HashClient})
        same(other.set_many(dict.fromkeys(KEYS, "pymemcache"), noreply=False), [])
        same(other.get_many(KEYS), dict.fromkeys(KEYS, b"pymemcache"))
        ring = [Libmemcached(lines), Pylibmc(lines), Php(lines)]
        for writer in ring:
            value = type(writer).__name__.encode()
            writer.store(value)
            for reader in ring:
                same((type(reader), reader.fetch()), (type(reader), dict.fromkeys(KEYS, value)))
        said, _ = run_tool("memcstat", only(lines, "memcstat").split()[1])
        assert all(f"Server: {host} ({port})".encode() in said for host in HOSTS), said
        same(lines[-3], addresses[0])
        for host in HOSTS:
            with socket.create_connection((host, port), ANSWER_SECS) as node:
                node.sendall(b"config get cluster\r\nquit\r\n")
                assert file.read_text().split() == node.makefile().read().split("\n")[2].split()
    same(file.parent.exists(), False)
    for host in HOSTS:
        refused(ConnectionRefusedError, lambda: socket.create_connection((host, port), ANSWER_SECS))


class Libmemcached:
    """A client of the configuration string that is printed."""

    def __init__(self, lines):
        asked = only(lines, "--HASH").encode()
        self.library = ctypes.CDLL(ctypes.util.find_library("memcached"))
        self.library.memcached.restype = ctypes.c_void_p
        self.library.memcached_get.restype = ctypes.c_void_p
        self.client = ctypes.c_void_p(self.library.memcached(asked, ctypes.c_size_t(len(asked))))
        assert self.client, asked

    def store(self, value):
        for key in map(str.encode, KEYS):
            sized = [word for text in (key, value) for word in (text, ctypes.c_size_t(len(text)))]
            same(self.library.memcached_set(self.client, *sized, ctypes.c_long(0), 0), 0)

    def fetch(self):
        return {key: value for key in KEYS if (value := self.fetch_one(key.encode())) is not None}

    def fetch_one(self, key):
        length, flags, error = ctypes.c_size_t(), ctypes.c_uint32(), ctypes.c_int()
        places = map(ctypes.byref, (length, flags, error))
        found = self.library.memcached_get(self.client, key, ctypes.c_size_t(len(key)), *places)
        if not found:
            return None
        value = ctypes.string_at(found, length.value)
        ctypes.CDLL(None).free(ctypes.c_void_p(found))
        return value


class Pylibmc:
    """The client that is printed."""

    def __init__(self, lines):
        self.client = eval(only(lines, "pylibmc."), {"pylibmc": pylibmc})

    def store(self, value):
        same(self.client.set_multi(dict.fromkeys(KEYS, value)), [])

    def fetch(self):
        return self.client.get_multi(KEYS)


class Php:
    """The lines that are printed, with others behind them."""

    def __init__(self, lines):
        start = lines.index("PHP") + 1
        keys = f"$keys = json_decode('{json.dumps(KEYS)}');"
        self.lines = [*lines[start : start + 3], keys]

    def store(self, value):
        stored = f"$cache->setMulti(array_fill_keys($keys, '{value.decode()}'))"
        run_tool("php", "-r", " ".join([*self.lines, f"exit({stored} ? 0 : 1);"]))

    def fetch(self):
        ask = "echo json_encode($cache->getMulti($keys));"
        said, _ = run_tool("php", "-r", " ".join([*self.lines, ask]))
        return {key: value.encode() for key, value in dict(json.loads(said)).items()}


@check
def a_port_in_use_is_named(server):
    """Nothing of a cluster is left where one of its nodes cannot listen."""
    said = run_script(["2"], NUTHATCH=os.path.abspath(server.command[0]), PORT=str(server.port))
    same((said.returncode, said.stdout), (1, ""))
    assert f"127.0.0.1:{server.port} is in use" in said.stderr, said.stderr


def run_script(arguments, **environment):
    """The script where it ends by itself."""
    return subprocess.run(
        [REPOSITORY / "scripts/cluster", *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=ANSWER_SECS,
    )


def stand_in(server, text):
    """A program that runs this instead of the daemon."""
    path = server.directory / "stand-in"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@check
def options_that_it_gives_itself_are_refused(server):
    """However they are spelt, before anything is started; values that look like them are none."""
    started = server.directory / "started"
    program = stand_in(server, f"echo >{started}; exit 3")

    def run(*options):
        return run_script(["1", *options], NUTHATCH=str(program), PORT=str(free_port()))

    for options in [
        *("-p5", "-p 5", "--port 5", "--port=5", "--por=5", "-vp5", "-Mvp 5"),
        *("-l 127.0.0.9", "-l127.0.0.9", "--listen=127.0.0.9", "--list 127.0.0.9"),
        *("-d", "-vd", "-dv", "--daemon", "--daem", "-m 16 -d", "-m16 --daemon"),
        *("-s /s", "--unix-socket=/s", "--unix-s /s", "-P /p", "-vP/p", "--pidfile /p"),
        *("-U 5", "-vU5", "--udp-port=5"),
        *("--cluster-file /c", "--clu=/c", "--config /c", "--conf=/c"),
    ]:
        said = run(*options.split())
        same((options, said.returncode, said.stdout, started.exists()), (options, 2, "", False))
        assert "is not for its nodes" in said.stderr, said.stderr
    for options in "-m16 -ulp -vD, -Yd --listen-backlog=5 --con=50 --unix-mask=700".split():
        said = run(options)
        same((options, said.returncode, started.exists()), (options, 1, True))
        started.unlink()


@check
def a_node_that_does_not_listen_is_named(server):
    """It is not waited for without end, nor left behind."""
    pid = server.directory / "pid"
    program = stand_in(server, f"echo $$ >{pid}; exec sleep 60")
    port = free_port()
    said = run_script(["1"], NUTHATCH=str(program), PORT=str(port), WAIT="1")
    same((said.returncode, said.stdout), (1, ""))
    assert f"127.0.0.1:{port} does not listen after 1 s" in said.stderr, said.stderr
    refused(ProcessLookupError, lambda: os.kill(int(pid.read_text()), 0))
