"""pymemcache (PyPI) with `-Y`: the login is its first `set`, of any key, on each connection."""

from pathlib import Path

from certificates import TLS, client_context
from harness import Needs, check, on, refused, same
from logins import PASSWORD, READER, READER_PASSWORD, RIGHTS, USER, USERS, by_text
from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheClientError

SETTINGS = {"default_noreply": False, "connect_timeout": 20, "timeout": 20}


class LoginClient(Client):
    """A client that logs in whenever it connects."""

    def __init__(self, server, user=USER, password=PASSWORD, **settings):
        super().__init__(("localhost", server.port), **{**SETTINGS, **settings})
        self._token = f"{user} {password}".encode()

    def _connect(self):
        super()._connect()
        self.set("login", self._token)


@check
@on(by_text())
def set_get(server):
    client = LoginClient(server)
    same(client.set("a", b"1"), True)
    same(client.get("a"), b"1")
    same(client.get("login"), None)
    client.close()
    same(client.get("a"), b"1")
    items = {f"key{i}": b"%d" % i for i in range(1000)}
    same(client.set_many(items), [])
    same(client.get_many(items), items)


@check
@on(by_text())
def wrong_password(server):
    """A connection may try again, and is not served before it is let in."""
    client = Client(server.address, **SETTINGS)
    for token in (f"{USER} wrong", f"{USER} {PASSWORD}x", f"nobody {PASSWORD}", "alone", ""):
        refused(MemcacheClientError, lambda: client.set("login", token))
        refused(MemcacheClientError, lambda: client.get("a"))
    same(client.set("login", f"{USER} {PASSWORD}"), True)
    same(client.get("a"), None)
    assert int(server.stats()["auth_errors"]) >= 3


@check
@on(by_text())
def meta(server):
    """Meta commands are served after the login, and not before."""
    client = Client(server.address, **SETTINGS)
    refused(MemcacheClientError, lambda: client.raw_command("mg a v"))
    same(client.set("login", f"{USER} {PASSWORD}"), True)
    same(client.raw_command("ms a 1\r\nx"), b"HD")
    same(client.raw_command("mg a v", end_tokens="x\r\n"), b"VA 1\r\n")


@check
@on(by_text(USERS + "".join(f"user{i}:{'secret' * i}\n" for i in range(1, 100))))
def many_users(server):
    """Of memcached's limits none: 8 users, and lines of 256 bytes."""
    for i in (1, 8, 9, 40, 50, 99):
        client = LoginClient(server, f"user{i}", "secret" * i)
        same(client.set("a", b"%d" % i), True)
        refused(MemcacheClientError, LoginClient(server, f"user{i}", "secret" * i + "s").version)


@check
@on(by_text(RIGHTS))
def read_only(server):
    """Refused are its writes alone. This client closes a connection on every error; that the
    daemon would go on with it, `refused_connection_goes_on` shows."""
    same(LoginClient(server).set("a", b"1"), True)
    client = LoginClient(server, READER, READER_PASSWORD)
    same(client.get("a"), b"1")
    for call in (
        lambda: client.set("a", b"2"),
        lambda: client.add("b", b"2"),
        lambda: client.cas("a", b"2", client.gets("a")[1]),
        lambda: client.append("a", b"2"),
        lambda: client.delete("a"),
        lambda: client.incr("n", 1),
        lambda: client.touch("a", 0),
        lambda: client.flush_all(),
    ):
        denied(call)
        same(client.get("a"), b"1")
    denied(lambda: client.raw_command("ms a 1\r\n2"))
    denied(lambda: client.raw_command("md a"))
    same(client.get_many(["a", "b"]), {"a": b"1"})


def denied(call):
    """Asserts that `call()` is refused for want of rights."""
    try:
        answer = call()
    except MemcacheClientError as error:
        assert "permission denied" in str(error), error
        return
    raise AssertionError(f"not refused: {answer!r:.200}")


@check
@on(by_text(RIGHTS))
def refused_connection_goes_on(server):
    client = LoginClient(server, READER, READER_PASSWORD)
    same(client.get("a"), None)
    client.sock.sendall(b"set a 0 0 1\r\n1\r\ndelete a\r\nmg a\r\n")
    with client.sock.makefile("rb") as answers:
        same(answers.readline(), b"CLIENT_ERROR permission denied\r\n")
        same(answers.readline(), b"CLIENT_ERROR permission denied\r\n")
        same(answers.readline(), b"EN\r\n")
    same(client.get("a"), None)


@check
@on(by_text(RIGHTS))
def prefix(server):
    client = LoginClient(server, "tenant", "renting")
    same(client.set("t1:a", b"1"), True)
    denied(lambda: client.set("t2:a", b"1"))
    denied(lambda: client.get("t2:a"))
    denied(lambda: client.get_many(["t1:a", "t2:a"]))
    same(client.get("t1:a"), b"1")


@check
@on(by_text(RIGHTS))
def refused_quietly(server):
    """What asks for no answer gets none when it is refused."""
    client = LoginClient(server, READER, READER_PASSWORD)
    client.set("a", b"2", noreply=True)
    client.delete("a", noreply=True)
    same(client.get("a"), None)
    same(client.get_many(["a"]), {})


@check
@on(by_text().and_then("-vvv"))
def secrets_untold(server):
    """Neither the right password nor a wrong one, nor one in the wrong place, is shown anywhere."""
    refused(MemcacheClientError, LoginClient(server, password="guessed word").version)
    client = Client(server.address, **SETTINGS)
    refused(MemcacheClientError, lambda: client.raw_command(f"auth {USER} misplaced"))
    same(LoginClient(server).set("a", b"1"), True)
    title = Path(f"/proc/{server.pid}/cmdline").read_bytes()
    shown = [server.exchange(f"stats {of}\r\n".encode()) for of in ("", "settings", "conns")]
    for text in (server.log().encode(), title, *shown):
        for secret in (PASSWORD.encode(), b"guessed", b"misplaced"):
            assert secret not in text, text


@check
@on(by_text())
def users_reloaded(server):
    """By a signal and by itself; who is logged in stays, and a bad file changes nothing."""
    old = LoginClient(server)
    same(old.set("a", b"1"), True)
    server.rewrite("users", f"{USER}:second\n")
    server.reload()
    server.await_that(lambda: not may_enter(server, PASSWORD))
    same(LoginClient(server, password="second").get("a"), b"1")
    server.rewrite("users", "no colon\n")
    server.reload()
    same(LoginClient(server, password="second").get("a"), b"1")
    same(old.get("a"), b"1")
    server.rewrite("users", USERS)
    server.await_that(lambda: not may_enter(server, "second"))
    same(LoginClient(server).get("a"), b"1")


def may_enter(server, password):
    try:
        LoginClient(server, password=password).version()
    except MemcacheClientError:
        return False
    return True


def by_text_over_tls():
    text = by_text()

    def prepare(directory):
        text.prepare(directory)
        TLS.prepare(directory)

    return Needs(
        text.arguments + TLS.arguments,
        prepare=prepare,
        enter=lambda connection: text.enter(TLS.enter(connection)),
    )


@check
@on(by_text_over_tls())
def over_tls(server):
    client = LoginClient(server, tls_context=client_context())
    same(client.set("a", b"1"), True)
    same(client.get("a"), b"1")
    wrong = LoginClient(server, password="wrong", tls_context=client_context())
    refused(MemcacheClientError, wrong.version)
