"""memtier_benchmark, text and binary: a small mixed load, no errors, counts that add up."""

import json
import os
import shutil

from harness import Skipped, check_each, run_tool, same

CLIENTS = 4
REQUESTS = 2000  # of each client
PROTOCOLS = {"text": "memcache_text", "binary": "memcache_binary"}

MEMTIER = shutil.which(os.environ.get("MEMTIER", "memtier_benchmark"))
if MEMTIER is None:
    raise Skipped("memtier_benchmark")


def load(server, protocol, *arguments):
    """Runs the mixed load, then compares memtier's counts with the server's."""
    report_file = server.directory / "report.json"
    _, log = run_tool(
        MEMTIER,
        *("--server=127.0.0.1", f"--port={server.port}", f"--protocol={protocol}"),
        *("--threads=2", f"--clients={CLIENTS // 2}", f"--requests={REQUESTS}"),
        *("--ratio=1:2", "--key-maximum=500", "--data-size-range=1-8000", "--random-data"),
        *("--hide-histogram", f"--json-out-file={report_file}"),
        *arguments,
    )
    assert b"error" not in log.lower(), log[-300:]

    report = json.loads(report_file.read_text())["ALL STATS"]
    sets, gets, totals = report["Sets"], report["Gets"], report["Totals"]
    same(totals["Connection Errors"], 0)
    same(totals["Count"], CLIENTS * REQUESTS)
    same(sets["Count"] + gets["Count"], CLIENTS * REQUESTS)
    # Hits and misses are reported as rates, rounded to two places.
    assert abs(gets["Hits/sec"] + gets["Misses/sec"] - gets["Ops/sec"]) < 0.05, gets
    assert gets["Hits/sec"] > 0 and gets["Misses/sec"] > 0, gets

    stats = server.stats()
    hits, misses = int(stats["get_hits"]), int(stats["get_misses"])
    same(int(stats["cmd_set"]), sets["Count"])
    same(hits + misses, gets["Count"])
    same(hits, round(gets["Hits/sec"] / gets["Ops/sec"] * gets["Count"]))


@check_each(**PROTOCOLS)
def unpipelined(server, protocol):
    load(server, protocol)


@check_each(**PROTOCOLS)
def pipelined(server, protocol):
    load(server, protocol, "--pipeline=20")
