"""Proxies before nodes, and a client that knows of one server only: the proxy."""

import shutil
import subprocess
from contextlib import contextmanager

from harness import path_of
from nodes import PORT, PROXY
from pymemcache.client.base import Client as OneServer
from pymemcache.exceptions import MemcacheError


# Debian's is where programs are that only root is expected to run.
NUTCRACKER = shutil.which("nutcracker") or "/usr/sbin/nutcracker"

POOL = """
pool:
  listen: {proxy}:{port}
  hash: md5
  distribution: ketama
  timeout: {timeout}
  auto_eject_hosts: {ejecting}
  server_failure_limit: 1
  server_retry_timeout: 1000
  servers:
"""


@contextmanager
def proxy(nodes, *command):
    """Runs a proxy that listens on `PROXY`, port `PORT`; gives a client of it."""
    program, *arguments = map(str, command)
    with subprocess.Popen([path_of(program), *arguments]) as process:
        try:
            nodes[0].await_that(listens)
            yield Client()
        finally:
            process.kill()


def twemproxy(nodes, ejecting=False, timeout=20_000):
    """A client of a twemproxy; times in milliseconds."""
    directory = nodes[0].directory
    pool = POOL.format(proxy=PROXY, port=PORT, timeout=timeout, ejecting=str(ejecting).lower())
    servers = "".join(f"    - {address}:1\n" for address in nodes.addresses)
    (directory / "pool.yml").write_text(pool + servers)
    files = ("-c", directory / "pool.yml", "-o", directory / "proxy.log", "-p", directory / "proxy.pid")
    return proxy(nodes, NUTCRACKER, *files, "-a", PROXY, "-s", PORT + 1)


def listens():
    try:
        return OneServer((PROXY, PORT)).version()
    except OSError:
        return False


class Client:
    def __init__(self):
        self.one = OneServer((PROXY, PORT), default_noreply=False, timeout=20)

    def set(self, value, keys):
        return {key for key in keys if not self._does(self.one.set, key, value)}

    def get(self, keys):
        """Key by key, if need be: an error for one may be the answer to all."""
        found = self._does(self.one.get_many, keys)
        if found is None:
            found = {key: self._does(self.one.get, key) for key in keys}
        return {key: value.decode() for key, value in found.items() if value is not None}

    def _does(self, call, *arguments):
        try:
            return call(*arguments)
        except MemcacheError:
            return None
