"""The command-line tools of libmemcached (Debian: libmemcached-tools)."""

import re

from harness import check, run_tool, same

VALUE = bytes(i * i % 251 for i in range(200_000))


def tool(server, name, *arguments, expect_exit=0):
    """Runs a tool on the daemon; gives what it writes to its standard output."""
    servers = f"--servers={server.address}"
    return run_tool(name, servers, *arguments, expect_exit=expect_exit)[0]


def copy_in(server, key, *arguments, value=VALUE):
    """Stores `value` with memccp, which takes the name of the file as the key."""
    file = server.directory / key
    file.write_bytes(value)
    tool(server, "memccp", *arguments, file)


@check
def memcping(server):
    tool(server, "memcping")


@check
def memccp_memccat(server):
    copy_in(server, "blob", "--flag=7")
    copy_in(server, "empty", value=b"")
    for key, value in (("blob", VALUE), ("empty", b"")):
        out = server.directory / "out"
        tool(server, "memccat", f"--file={out}", key)
        same(out.read_bytes(), value)
    same(tool(server, "memccat", "blob"), VALUE + b"\n")
    assert tool(server, "memccat", "--flags", "blob").startswith(b"7\n")
    tool(server, "memccat", "missing", expect_exit=1)


@check
def memccp_modes(server):
    copy_in(server, "a", "--add", value=b"1")
    copy_in(server, "a", "--replace", value=b"2")
    same(tool(server, "memccat", "a"), b"2\n")


@check
def memcexist(server):
    tool(server, "memcexist", "a", expect_exit=1)
    copy_in(server, "a")
    tool(server, "memcexist", "a")


@check
def memcstat(server):
    copy_in(server, "a")
    same(re.findall(rb"\tpid: (\d+)\n", tool(server, "memcstat")), [b"%d" % server.pid])
    same(re.findall(rb"\tcmd_set: (\d+)\n", tool(server, "memcstat")), [b"1"])
    assert b"\titem_size_max: 1048576\n" in tool(server, "memcstat", "--args=settings")


@check
def memctouch(server):
    tool(server, "memctouch", "--expire=1000", "a", expect_exit=1)
    copy_in(server, "a", "--expire=100")
    tool(server, "memctouch", "--expire=1000", "a")
    server.advance_clock(500)
    tool(server, "memcexist", "a")
    server.advance_clock(501)
    tool(server, "memcexist", "a", expect_exit=1)


@check
def memcrm(server):
    copy_in(server, "a")
    tool(server, "memcrm", "a")
    tool(server, "memcexist", "a", expect_exit=1)
    tool(server, "memcrm", "a", expect_exit=1)


@check
def memcflush(server):
    copy_in(server, "a")
    tool(server, "memcflush")
    tool(server, "memcexist", "a", expect_exit=1)


@check
def memcdump(server):
    """It lists keys by `stats cachedump`. A server that answers ERROR to that, as nuthatch does
    today, makes the tool fail, and serves on. memcached lists what its COLD lists hold just then.
    """
    keys = {b"key%d" % i for i in range(20)}
    for key in keys:
        copy_in(server, key.decode(), value=b"1")
    if server.exchange(b"stats cachedump 1 0\r\n") == b"ERROR\r\n":
        tool(server, "memcdump", expect_exit=1)
    else:
        listed = tool(server, "memcdump").split()
        assert keys.issuperset(listed), listed
    tool(server, "memcexist", "key0")


@check
def memcslap(server):
    for test in ("set", "get", "mget"):
        tool(
            server,
            "memcslap",
            f"--test={test}",
            "--concurrency=4",
            "--execute-number=500",
            "--initial-load=500",
        )
    assert int(server.stats()["cmd_set"]) >= 3 * 500


@check
def memcaslap(server):
    """10,000 operations, gets 10 keys at once, every value read is compared with what was set."""
    said, complaints = run_tool(
        "memcaslap", "-s", server.address, "-T", 2, "-c", 8, "-x", 10000, "-d", 10, "-v", 1
    )
    same(complaints, b"")
    counted = {name: int(count) for name, count in re.findall(rb"^(\w+): (\d+)$", said, re.M)}
    same(counted[b"cmd_get"] + counted[b"cmd_set"], 10000)
    for name in (b"get_misses", b"verify_misses", b"verify_failed"):
        same(counted[name], 0)


@check
def memccapable(server):
    """The text half of its conformance suite. Two tests fail against memcached 1.6.45 likewise:
    it ignores further words behind the key of `delete`, and the suite wants them refused."""
    host, port = server.address.split(":")
    said, _ = run_tool("memccapable", "-a", "-h", host, "-p", port, expect_exit=1)
    results = re.findall(rb"(ascii \w+(?: noreply)?) +(\[pass\])?", said)
    same(len(results), 27)
    failing = [name for name, passed in results if not passed]
    same(failing, [b"ascii delete", b"ascii delete noreply"])
