"""elasticache_pyclient (PyPI), in a process of its own since it changes python-memcached for all; discovery.py
says what is read and answered.

    python discovery_pyclient.py HOST:PORT
"""

import sys
import warnings

# It calls names that Python has others for by now.
warnings.simplefilter("ignore", DeprecationWarning)

from elasticache_pyclient import MemcacheClient

client = MemcacheClient(sys.argv[1], ad_interval=0.05)


def answer(verb, *keys):
    if verb == "nodes":
        with client.cluster.lock:
            return client.cluster.servers
    if verb == "set":
        return [key for key in keys if client.set(key, key)]
    return [key for key in keys if client.get(key) == key]


for line in sys.stdin:
    print(*answer(*line.split()), flush=True)
client.stop_timer()
