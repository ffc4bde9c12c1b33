"""scripts/warm, which copies one cache into another: from Debian's memcached, back to it, and between two of ours."""

import base64
import re
import signal
import socket
import socketserver
import subprocess
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

from certificates import TLS, certificates
from harness import ANSWER_SECS, REPOSITORY, check, on, path_of, run_tool, running, same
from logins import USER, by_sasl, by_text
from nodes import PORT, PROXY, with_nodes
from proxies import twemproxy

WARM = REPOSITORY / "scripts" / "warm"
MONTH = 30 * 24 * 3600
BINARY_KEYS = [b"two words", b"\x00\x01\xff zero", b"tab\there", b"line\r\nfeed", b"k" * 185 + b" "]
PLAIN_KEYS = ["ümläut".encode(), b"per%20cent", b"a=b&c=d", b"k" * 250, b"\x80\xff"]
# Seconds, and how many of them may have passed between two looks at an item.
TTLS = {b"never": 0, b"short": 100, b"month": MONTH, b"long": MONTH + 1000, b"year": 12 * MONTH}
PATIENCE_SECS = 30


def memcached():
    """Debian's memcached, as a context. It takes a second to end."""
    return running([path_of("memcached"), "-u", "root"])


@contextmanager
def pretended(answer):
    """A server that answers each line by what `answer` gives for it, and closes the connection for None."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            for line in self.rfile:
                reply = answer(line.rstrip(b"\r\n"))
                if reply is None:
                    return
                self.wfile.write(reply)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield SimpleNamespace(address=f"127.0.0.1:{server.server_address[1]}")
        finally:
            server.shutdown()


def listing(*keys):
    """The answer to `lru_crawler metadump all`."""
    return b"".join(b"key=%s exp=-1 la=1 cas=1 fetch=no cls=1 size=63\r\n" % key for key in keys) + b"END\r\n"


def warm(source, target, *options, expect_exit=0):
    """Copies; gives what is counted, and the errors."""
    said, complaints = run_tool(WARM, *options, source.address, target.address, expect_exit=expect_exit)
    counts = re.findall(r"([a-z ]+) (\d+)[,;]", said.decode())
    return {name.strip(): int(count) for name, count in counts}, complaints.decode()


def ask(server, *requests):
    """Sends requests; the lines of the answers."""
    return server.exchange(b"".join(requests)).splitlines()


def fill(server):
    """Items of all kinds; gives the names by which `mg` finds them."""
    names = [b"key%d" % number for number in range(500)]
    requests = [b"set %s %d 0 %d\r\n%s\r\n" % (name, at, at, b"v" * at) for at, name in enumerate(names)]
    for key in PLAIN_KEYS:
        requests.append(b"set %s 4294967295 0 3\r\na\r\n\r\n" % key)
    for key in BINARY_KEYS:
        token = base64.b64encode(key)
        requests.append(b"ms %s 6 b F7 T5000\r\nbinary\r\n" % token)
        names.append(token + b" b")
    for name, ttl in TTLS.items():
        # Beyond a month a time is one of the day.
        asked = ttl if ttl <= MONTH else int(server.stats()["time"]) + ttl
        requests.append(b"set %s 1 %d 2\r\nab\r\n" % (name, asked))
    requests.append(b"set large 2 0 1000000\r\n" + b"large!" * 166666 + b"1234\r\n")
    requests.append(b"set empty 3 0 0\r\n\r\n")
    answers = ask(server, *requests, b"set expired 0 -1 1\r\nx\r\n")
    assert set(answers) <= {b"STORED", b"HD"}, set(answers)
    return names + PLAIN_KEYS + list(TTLS) + [b"large", b"empty"]


def item(server, name):
    """Flags, seconds left and value of an item."""
    token, _, mode = name.partition(b" ")
    answer = server.exchange(b"mg %s f t v %s\r\n" % (token, mode))
    head, _, value = answer.partition(b"\r\n")
    kind, _length, flags, left = head.split(b" ")[:4]
    same(kind, b"VA")
    return flags, int(left[1:]), value


def check_copied(source, target, names):
    for name in names:
        old, new = item(source, name), item(target, name)
        same((new[0], new[2]), (old[0], old[2]))
        assert abs(new[1] - old[1]) <= 2, (name, old[1], new[1])


@check
def from_memcached(server):
    """Values, flags and times are those of the source; a second run finds all there."""
    with memcached() as source:
        names = fill(source)
        counts, _ = warm(source, server)
        same(counts["listed"], len(names))
        same(counts["stored"], len(names))
        check_copied(source, server, names)
        same(server.exchange(b"mg expired v\r\n"), b"EN\r\n")
        again, _ = warm(source, server)
        same((again["stored"], again["there already"]), (0, len(names)))


@check
def back_to_memcached(server):
    """The way back is the same."""
    with memcached() as target:
        names = fill(server)
        counts, _ = warm(server, target)
        same((counts["listed"], counts["stored"]), (len(names), len(names)))
        check_copied(server, target, names)


@check
def the_last_time_there_is_is_copied(server):
    """INT_MAX for "never", of which memcached 1.6.18 says at times that a second or two more are left."""

    def source_of_1_6_18(line):
        if line.startswith(b"lru"):
            return listing(b"a")
        return b"VA 1 f0 t%d\r\nx\r\n" % ((1 << 31) + 1 - int(time.time()))

    with pretended(source_of_1_6_18) as source, memcached() as target:
        for end in (target, server):
            same(warm(source, end)[0]["stored"], 1)
            same(end.exchange(b"get a\r\n"), b"VALUE a 0 1\r\nx\r\nEND\r\n")


@check
def what_clients_write_meanwhile_stays(server):
    """A client writes every key to the target, each once, while they are copied there."""
    names = [b"key%d" % number for number in range(1000)]
    with memcached() as source:
        ask(source, *(b"set %s 0 0 3\r\nold\r\n" % name for name in names))

        def write():
            with server.connect() as connection:
                answers = connection.makefile("rb")
                for name in reversed(names):
                    connection.sendall(b"set %s 0 0 3\r\nnew\r\n" % name)
                    same(answers.readline(), b"STORED\r\n")

        writer = threading.Thread(target=write)
        same(server.exchange(b"set key0 0 0 3\r\nnew\r\n"), b"STORED\r\n")
        writer.start()
        counts, _ = warm(source, server, "--rate", "4000")
        writer.join(PATIENCE_SECS)
        same(counts["stored"] + counts["there already"], len(names))
        assert counts["there already"] > 0
        for name in names:
            same(server.exchange(b"get %s\r\n" % name).split(b"\r\n")[1], b"new")


@check
def expired_and_stale_items_are_left_out(server):
    """Of what has expired since it was stored, or has been marked as stale, nothing is copied."""
    with server.another() as target:
        ask(server, *(b"set key%d 0 %d 1\r\nx\r\n" % (number, number % 2 * 100) for number in range(100)))
        server.advance_clock(200)
        ask(server, b"set stale 0 0 1\r\nx\r\n", b"md stale I T1000\r\n")
        counts, _ = warm(server, target)
        same((counts["stored"], counts["stale"]), (50, 1))
        same(int(target.stats()["curr_items"]), 50)


@check
def its_pace_has_a_bound(server):
    """So many items a second, or so many bytes."""
    with server.another() as target:
        ask(server, *(b"set key%d 0 0 1000\r\n%s\r\n" % (number, b"v" * 1000) for number in range(500)))
        said, _ = run_tool(WARM, "--rate", "1000", server.address, target.address)
        assert float(re.search(rb"in ([\d.]+) s", said)[1]) >= 0.4, said
        ask(target, b"flush_all\r\n")
        said, _ = run_tool(WARM, "--megabytes", "1", server.address, target.address)
        assert float(re.search(rb"in ([\d.]+) s", said)[1]) >= 0.4, said


@check
def its_pace_is_even(server):
    """Items come one by one, not many at once and then none."""
    with server.another() as target:
        ask(server, *(b"set key%d 0 0 1\r\nx\r\n" % number for number in range(20)))
        copying = threading.Thread(target=warm, args=(server, target, "--rate", "40"))
        copying.start()
        seen = set()
        while copying.is_alive():
            seen.add(int(target.stats()["curr_items"]))
        assert len(seen) > 10, seen


@check
def a_source_may_close_between_requests(server):
    """It is asked once more."""
    asked = []

    def source_with_idle_timeout(line):
        if line.startswith(b"lru"):
            return listing(*(b"key%d" % number for number in range(60)))
        asked.append(line)
        return None if len(asked) == 51 else b"VA 1 f0 t-1\r\nx\r\n"

    with pretended(source_with_idle_timeout) as source:
        same(warm(source, server)[0]["stored"], 60)


@check
def failures_are_counted_and_named(server):
    """What does not fit is the last failure; who does not list its keys is named."""
    larger, closed = [*server.command, "-I", "2m"], [*server.command, "-X"]
    with server.another() as target, running(larger) as source, running(closed) as closed:
        ask(source, b"set small 0 0 1\r\nx\r\n", b"set large 0 0 1500000\r\n" + b"x" * 1500000 + b"\r\n")
        counts, complaints = warm(source, target, expect_exit=1)
        same((counts["stored"], counts["failed"]), (1, 1))
        assert "object too large" in complaints, complaints
        _, complaints = warm(closed, target, expect_exit=1)
        assert "does not list its keys" in complaints, complaints
        gone = target.address
    _, complaints = warm(server, server, "--rate", "0", expect_exit=2)
    assert "invalid positive value" in complaints, complaints
    _, complaints = run_tool(WARM, server.address, gone, expect_exit=1)
    assert b"refused" in complaints, complaints


@check
def keys_that_are_no_text_need_base64(server):
    """Where an end does not know it they are left out, and no value is run as a command by a target."""
    heard = []

    def old_target(line):
        heard.append(line)
        if b"AA== b" in line or line.startswith(b"ms "):
            return b"CLIENT_ERROR invalid flag\r\n"
        return b"" if line.startswith(b"add ") else b"STORED\r\n"

    ask(server, b"ms YmluIGtleQ== 9 b F9\r\nflush_all\r\n", b"set plain 0 0 1\r\nx\r\n")
    with pretended(old_target) as target:
        counts, _ = warm(server, target)
    same((counts["stored"], counts["unnameable"], counts["failed"]), (1, 1, 0))
    assert b"flush_all" not in heard, heard

    def old_source(line):
        return listing(b"bin%20key") if line.startswith(b"lru") else b"CLIENT_ERROR invalid flag\r\n"

    with pretended(old_source) as source:
        counts, _ = warm(source, server)
    same((counts["unnameable"], counts["failed"]), (1, 0))


@check
def waits_until_another_listing_has_ended(server):
    answers = iter([b"BUSY currently processing crawler request\r\n"] * 2 + [listing(b"a")])
    with pretended(lambda line: next(answers) if line.startswith(b"lru") else b"EN\r\n") as source:
        same(warm(source, server)[0]["gone"], 1)


@check
def no_failure_is_a_traceback(server):
    """Interrupted, it still reports; what is no answer and what is no address are named."""
    with server.another() as target:
        ask(server, *(b"set key%d 0 0 1\r\nx\r\n" % number for number in range(20)))
        command = [WARM, "--rate", "0.1", server.address, target.address]
        copying = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # In the background of a shell it is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        target.await_that(lambda: target.stats()["curr_items"] != "0")
        copying.send_signal(signal.SIGINT)
        said, complaints = copying.communicate(timeout=PATIENCE_SECS)
        same((copying.returncode, complaints), (130, b""))
        assert said.startswith(b"listed 20,"), said
    for answer in (b"VA 1 f0\r\nx\r\n", b"VA\r\n", b"VA x f0 t1\r\n", b"VA -3 f0 t1\r\n", b"VA 1 fx t1\r\n"):

        def source_of(line, answer=answer):
            return listing(b"a") if line.startswith(b"lru") else answer

        with pretended(source_of) as source:
            _, complaints = warm(source, server, expect_exit=1)
        assert "no answer to mg: VA" in complaints and "Traceback" not in complaints, complaints
    _, complaints = run_tool(WARM, "::1:11212", server.address, expect_exit=1)
    assert b"IPv6 is written [IPV6]:PORT" in complaints, complaints


@check
@on(by_sasl())
def says_that_logins_are_by_text(server):
    users = server.directory / "users"
    _, complaints = run_tool(WARM, "--source-login", users, server.address, server.address, expect_exit=1)
    assert b"not by SASL" in complaints, complaints


@check
@on(by_text())
def logs_in(server):
    """At either end, with the first line of a file of users."""
    users, wrong = server.directory / "users", server.directory / "wrong"
    wrong.write_text(f"{USER}:guess\n")
    same(server.exchange(b"set a 5 0 1\r\nx\r\n"), b"STORED\r\n")
    with running(server.command) as other:
        same(warm(server, other, "--source-login", users)[0]["stored"], 1)
        same(warm(other, server, "--target-login", users)[0]["there already"], 1)
        _, complaints = warm(other, server, "--target-login", wrong, expect_exit=1)
        assert "the login was refused" in complaints, complaints


@check
@on(TLS)
def over_tls(server):
    same(server.exchange(b"set a 5 0 1\r\nx\r\n"), b"STORED\r\n")
    authority = certificates().authority.certificate
    with running(server.command) as other:
        same(warm(server, other, "--source-ca", authority)[0]["stored"], 1)
        same(warm(other, server, "--target-ca", authority)[0]["there already"], 1)


@check
@with_nodes
def through_a_proxy(nodes):
    """twemproxy takes each item to its node."""
    names = [b"key%d" % number for number in range(200)]
    with memcached() as source, twemproxy(nodes):
        ask(source, *(b"set %s 9 100 3\r\nabc\r\n" % name for name in names))
        ask(source, b"ms AAAA 3 b\r\nabc\r\n")
        counts = run_tool(WARM, source.address, f"{PROXY}:{PORT}")[0].decode()
        assert "stored 200," in counts and "unnameable 1, failed 0;" in counts, counts
        with socket.create_connection((PROXY, PORT), ANSWER_SECS) as proxy:
            proxy.sendall(b"".join(b"get %s\r\n" % name for name in names))
            answers = proxy.makefile("rb")
            for name in names:
                got = [answers.readline() for _ in range(3)]
                same(got, [b"VALUE %s 9 3\r\n" % name, b"abc\r\n", b"END\r\n"])
        shares = nodes.counts()
        same(sum(shares), 200)
        assert min(shares) > 20, shares
