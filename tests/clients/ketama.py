"""Which node has a key, by the rings that libmemcached calls ketama: what its clients must agree on.

A node has points on a ring of 32-bit numbers, each a part of the MD5 of its address and a number; a
key belongs to the node of the first point at or behind the key's own MD5. This is written from what
libmemcached documents and does (hosts.cc), not with it, so that it can tell whether a client errs."""

import bisect
from hashlib import md5


class Ring:
    """libmemcached's weighted ketama: four points of a digest, 160 of a node of mean weight."""

    points, per_digest = 160, 4

    def __init__(self, addresses, weights=None):
        weights = weights or [1] * len(addresses)
        mean = sum(weights) / len(weights)
        of_digest, points = self.per_digest, []
        for address, weight in zip(addresses, weights):
            for i in range(int(self.points * weight / mean / of_digest + 1e-6)):
                digest = md5(f"{address}-{i}".encode()).digest()
                points += [(number(digest, part), address) for part in range(of_digest)]
        points.sort()
        self.values, self.owners = zip(*points)

    def home(self, key):
        """The address of the node that has the key."""
        at = bisect.bisect_left(self.values, number(md5(key.encode()).digest(), 0))
        return self.owners[at % len(self.owners)]


class Plain(Ring):
    """libmemcached's ketama without weights: a point of a digest, 100 of a node."""

    points, per_digest = 100, 1


def number(digest, part):
    return int.from_bytes(digest[4 * part : 4 * part + 4], "little")


def without(ring, nodes):
    """Where keys belong while the node of an address is not there."""
    return lambda lost: ring([address for address in nodes.addresses if address != lost]).home
