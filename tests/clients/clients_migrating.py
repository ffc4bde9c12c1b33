"""From a memcached.conf to clients that are served: Debian's file, and the commands of docs/migrating.md as the page has
them."""

import os
import pwd
import re
import socket
import subprocess
from pathlib import Path

from harness import ANSWER_SECS, REPOSITORY, Needs, check, path_of, run_tool, running, same
from pymemcache.client.base import Client

INSTALLED = Path("/etc/memcached.conf")
# What Debian has shipped for years, but for most of its comments.
DEBIANS = """\
# memcached default config file
# This configuration file is read by the start-memcached script provided as
# part of the Debian GNU/Linux distribution.

# Run memcached as a daemon. This command is implied, and isn't needed
-d

# Log memcached's output to /var/log/memcached
logfile /var/log/memcached.log

# Be verbose
# -v

-m 64
-p 11211
-u {user}
-l 127.0.0.1

# Limit the number of simultaneous incoming connections. The daemon default is 1024
# -c 1024

# Use a pidfile
-P /var/run/memcached/memcached.pid
"""


def is_user(name):
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def started_with(server, text):
    """A daemon of a file with this text, as a context. Who it becomes may write into its directory."""

    def prepare(directory):
        directory.chmod(0o777)
        (directory / "memcached.conf").write_text(text)

    arguments = ("--config", "{dir}/memcached.conf", "-P", "{dir}/pid")
    return running(server.command, Needs(arguments, prepare=prepare))


def serves(server):
    client = Client(("127.0.0.1", server.port), default_noreply=False, timeout=ANSWER_SECS)
    same(client.set("key", b"value", expire=100), True)
    same(client.get("key"), b"value")
    settings = server.stats("settings")
    same((settings["maxbytes"], settings["maxconns"]), (str(64 << 20), "1024"))


@check
def the_file_as_debian_has_shipped_it(server):
    """It serves, says what it ignores and where that stands, and is who the file says."""
    user = "memcache" if is_user("memcache") else "nobody"
    with started_with(server, DEBIANS.format(user=user)) as daemon:
        serves(daemon)
        conf = daemon.directory / "memcached.conf"
        assert f"{conf}:6: -d is for the command line only" in daemon.log(), daemon.log()
        assert f"{conf}:9: logfile is ignored" in daemon.log(), daemon.log()
        same(int((daemon.directory / "pid").read_text()), daemon.pid)
        if os.getuid() == 0:
            same(os.stat(f"/proc/{daemon.pid}").st_uid, pwd.getpwnam(user).pw_uid)


@check
def the_file_as_it_is_installed(server):
    """That of Debian's package, where there is one."""
    if not INSTALLED.exists():
        return
    with started_with(server, INSTALLED.read_text()) as daemon:
        serves(daemon)


@check
def what_does_not_fit_is_told(server):
    """A user who does not exist, with memcached's exit code; a file of RHEL's form; a wrong value with its line."""
    conf = server.directory / "memcached.conf"
    for text, code, words in [
        ("-u nosuchuserhere\n", 67, "can't find the user nosuchuserhere"),
        ('PORT="11211"\nUSER="memcached"\n', 64, f"{conf}:1: "),
        ("-m 64\n-m lots\n", 64, f"{conf}:2: -m"),
        ("-m 64\n--port\n11211\n", 1, f"{conf}:2: option"),
    ]:
        if code == 67 and os.getuid() != 0:
            continue
        conf.write_text(text)
        _, said = run_tool(*server.command, "--config", conf, "-l", "127.0.0.1", "-p", "-1", expect_exit=code)
        assert words in said.decode(), said


def page_blocks(heading, kind):
    """Fenced blocks below a heading of docs/migrating.md."""
    page = (REPOSITORY / "docs" / "migrating.md").read_text()
    part = page.split(f"\n{heading}\n")[1].split("\n## ")[0]
    return re.findall(rf"^```{kind}\n(.*?)^```$", part, re.M | re.S)


def free_port():
    with socket.socket() as plug:
        plug.bind(("127.0.0.1", 0))
        return plug.getsockname()[1]


@check
def the_commands_of_the_page(server):
    """Those beside a memcached: the daemon of the second block, then what the third asks it."""
    build, start, ask = page_blocks("## Try it beside memcached", "sh")
    same(build, "cargo build --release\n")
    conf = server.directory / "memcached.conf"
    conf.write_text(DEBIANS.format(user="nobody"))
    path_of("nc")
    with running([path_of("memcached"), "-u", "root"]) as old:
        same(old.exchange(b"set kept 5 1000 3\r\nold\r\n"), b"STORED\r\n")
        port = free_port()

        def adapted(block):
            changes = {
                "target/release/nuthatch": server.command[0],
                "/etc/memcached.conf": conf,
                "/tmp/nuthatch.pid": server.directory / "pid",
                "11211": old.port,
                "11212": port,
            }
            for was, becomes in changes.items():
                assert was in build + start + ask, was
                block = block.replace(was, str(becomes))
            return block

        daemon = subprocess.Popen(["bash", "-c", f"exec {adapted(start)}"], stderr=subprocess.PIPE)
        try:
            # The log's first lines are about the file; then it listens.
            said = iter(lambda: daemon.stderr.readline().decode(), "")
            assert any("listening on" in line for line in said)
            done = subprocess.run(
                ["bash", "-ec", adapted(ask)], cwd=REPOSITORY, capture_output=True, timeout=ANSWER_SECS
            )
            output = done.stdout.decode()
            same((done.returncode, done.stderr.decode()), (0, ""))
            for line in ("VALUE a 0 1", "stored 1", "STAT curr_items 2", "STAT limit_maxbytes 67108864"):
                assert line in output, output
        finally:
            daemon.terminate()
            same(daemon.wait(ANSWER_SECS), 0)


@check
def the_fallback_of_the_page(server):
    """What is only in the old cache is found; what is deleted or written anew stays so."""
    with server.another() as old:
        (code,) = page_blocks("## Without a cold cache", "python")
        names = {}
        exec(code.replace("11212", str(server.port)).replace("11211", str(old.port)), names)
        cache = names["cache"]
        for name in (b"kept", b"gone", b"changed"):
            same(old.exchange(b"set %s 0 0 3\r\nold\r\n" % name), b"STORED\r\n")
        cache.delete("gone", noreply=False)
        cache.set("changed", b"new", noreply=False)
        same([cache.get(name) for name in ("kept", "gone", "changed")], [b"old", None, b"new"])
        same(old.exchange(b"get changed\r\n"), b"END\r\n")
