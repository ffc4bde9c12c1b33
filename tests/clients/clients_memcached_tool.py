"""memcached-tool, which ships with memcached: what operators look at a server with."""

import re
from collections import Counter

from harness import check, run_tool, running, same

TOOL = "/usr/share/memcached/scripts/memcached-tool"
ITEMS = 50


def tool(server, command):
    for number in range(ITEMS):
        request = b"set key%d 7 0 %d\r\n%s\r\n" % (number, number, b"v" * number)
        same(server.exchange(request), b"STORED\r\n")
    said, complaints = run_tool(TOOL, server.address, command)
    assert complaints in (b"", b"Dumping memcache contents\n"), complaints
    return said.decode().replace("\r", "")


@check
def display(server):
    """Fine classes, one line each: item size, age, pages, count."""
    lines = [line.split() for line in tool(server, "display").splitlines()[1:]]
    assert lines, "no class"
    same(sum(int(line[4]) for line in lines), ITEMS)


@check
def stats(server):
    said = tool(server, "stats")
    for key in ("pid", "uptime", "curr_items", "limit_maxbytes", "evictions"):
        assert re.search(rf"^\s*{key}\s+\d+$", said, re.M), said
    assert re.search(rf"^\s*curr_items\s+{ITEMS}$", said, re.M), said


@check
def settings(server):
    assert re.search(r"^\s*maxbytes\s+67108864$", tool(server, "settings"), re.M)


def size_lines(server):
    """The lines under the heading, as (size, count)."""
    heading, *lines = tool(server, "sizes").splitlines()
    assert heading.split() == [f"#{server.address}", "Size", "Count"], heading
    return [tuple(line.split()) for line in lines]


@check
def sizes_off(server):
    """Without -o track_sizes there is nothing to show, and the tool says so."""
    same(size_lines(server), [("sizes_status", "disabled")])


@check
def sizes(server):
    """Items by the bytes that they ask for, in steps of 32."""
    with running([*server.command, "-o", "track_sizes"]) as tracking:
        buckets = {int(size): int(count) for size, count in size_lines(tracking)}
    # A header of 20 bytes, 4 of flags, key and value.
    asked = [20 + 4 + len(f"key{number}") + number for number in range(ITEMS)]
    same(buckets, Counter(-(-size // 32) * 32 for size in asked))


@check
def dump(server):
    """It writes `add` lines that fill another server."""
    run = tool(server, "dump")
    keys = set(re.findall(r"^add (key\d+) 7 \d+ \d+$", run, re.M))
    same(keys, {f"key{number}" for number in range(ITEMS)})
