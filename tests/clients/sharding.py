"""What is asked of every client that spreads keys over nodes.

Such a client is an object with `set(value, keys)`, which gives the keys that were not stored, as a
set, and `get(keys)`, which gives what is found, as a dictionary. Where a key belongs is said by
`home(key)`, an address, which is not asked of the client."""

import time

from harness import same

# A node's share of a ring of 4 * P points has a standard deviation of sqrt(1/4 * 3/4 / (4 * P + 1)):
# 1.7 points of a hundred where P is 160, 2.2 where it is 100. The names of nodes are always the same, and
# so are their shares, at most 3 and 5 points from even on the first ten networks of nodes.py.
OF_RING_160, OF_RING_100 = 4, 6
# By a hash of each key and node there is but the chance of 10,000 keys: 0.4 points.
OF_HASH = 1.5


def at_home(nodes, keys, home):
    """The keys of each node, by its address."""
    placed = {node.address: set() for node in nodes}
    for key in keys:
        placed[home(key)].add(key)
    return placed


def spread(nodes, client, keys, home, within):
    """Each key is stored where it belongs, and found there; shares are even within so many percent."""
    same(client.set("first", keys), set())
    placed = nodes.keys()
    same(placed, at_home(nodes, keys, home))
    same(client.get(keys), dict.fromkeys(keys, "first"))
    even(placed, within)


def even(placed, within):
    """No node's share of the keys is further than so many percent from an even one."""
    total = sum(map(len, placed.values()))
    shares = [100 * len(keys) / total for keys in placed.values()]
    report(shares=" ".join(f"{share:.1f}%" for share in shares))
    assert all(abs(share - 100 / len(shares)) < within for share in shares), shares


def one_is_missed(nodes, client, keys):
    """Of a client that does not eject: while a node is stopped its keys are missed and no others; when it
    is back it has them again."""
    same(client.set("second", keys), set())
    before, lost = nodes.keys(), nodes[2]
    theirs = before[lost.address].intersection(keys)
    with lost.stopped():
        others = set(keys) - theirs
        # The call that finds the node gone may miss others' keys, too.
        short = len(others) - len(client.get(keys))
        nodes[0].await_that(lambda: client.get(keys) == dict.fromkeys(others, "second"))
        same(client.set("third", keys), theirs)
        same(nodes.keys(), {**before, lost.address: set()})
    same(client.get(theirs), {})
    again = secs_until(lost, lambda: not client.set("third", theirs))
    same(nodes.keys(), {**before, lost.address: theirs})
    same(client.get(keys), dict.fromkeys(keys, "third"))
    missed = f"{100 * len(theirs) / len(keys):.1f}%"
    report(missed=missed, at_first=f"{short} more", again=f"{again:.1f}s")


def one_is_ejected(nodes, client, keys, home_without):
    """Of a client that ejects: while a node is stopped others have its keys, each where it belongs
    without the node; then it has them again, and the others keep what they were left with.

    `home_without(address)` is `home` without the node of that address."""
    same(client.set("second", keys), set())
    before, lost = nodes.keys(), nodes[2]
    theirs = before[lost.address].intersection(keys)
    elsewhere = at_home(nodes, theirs, home_without(lost.address))
    with lost.stopped():
        ejected = secs_until(nodes[0], lambda: not client.set("third", theirs))
        after = {node: keys | elsewhere[node] for node, keys in before.items()}
        same(nodes.keys(), {**after, lost.address: set()})
        wanted = {**dict.fromkeys(keys, "second"), **dict.fromkeys(theirs, "third")}
        nodes[0].await_that(lambda: client.get(keys) == wanted)

    def is_back():
        return not client.set("fourth", theirs) and nodes.keys()[lost.address] == theirs

    again = secs_until(lost, is_back)
    same(nodes.keys(), after)
    same(client.set("fifth", theirs), set())
    same(client.get(keys), {**dict.fromkeys(keys, "second"), **dict.fromkeys(theirs, "fifth")})
    with lost.stopped():  # others were left with copies, which are old and now found
        nodes[0].await_that(lambda: client.get(theirs) == dict.fromkeys(theirs, "fourth"))
    moved = f"{100 * len(theirs) / len(keys):.1f}%"
    report(moved=moved, ejected=f"{ejected:.1f}s", again=f"{again:.1f}s")


def a_cut_node_has_old_values(nodes, client, home):
    """A node that was cut off and ejected has what it had when it is let in again, unless it is flushed."""
    lost = nodes[2]
    key, other = [key for key in map(str, range(100)) if home(key) == lost.address][:2]
    for flush in (False, True):
        same(client.set("old", [key, other]), set())
        with lost.frozen(), lost.connect() as operator:
            # By a key of its own: a value that is on its way when a client gives up arrives later.
            lost.await_that(lambda: not client.set("probe", [other]))
            same(client.set("new", [key]), set())
            same(client.get([key]), {key: "new"})
            if flush:
                operator.sendall(b"flush_all\r\n")
        ask = f"get {other}\r\n".encode()
        lost.await_that(lambda: not client.set("back", [other]) and b"back" in lost.exchange(ask))
        same(client.get([key]), {} if flush else {key: "old"})


def secs_until(node, condition):
    began = time.monotonic()
    node.await_that(condition)
    return time.monotonic() - began


def report(**figures):
    """Prints measured figures above the line that says how the check went."""
    print("  ", *(f"{name} {figure}" for name, figure in figures.items()), flush=True)
