"""python-binary-memcached (PyPI) with SASL, which it speaks as PLAIN; alone and within TLS."""

import socket

import bmemcached
from bmemcached.exceptions import MemcachedException
from certificates import TLS, client_context
from harness import Needs, check, on, refused, same
from logins import PASSWORD, READER, READER_PASSWORD, RIGHTS, USER, USERS, by_sasl, serves_packets

# A third field is ignored. The SASL library puts this machine's name behind a user's, so both are one.
PWDB = f"{USERS}hosted@{socket.gethostname()}:secret:ignored\n"


def connect(server, user=USER, password=PASSWORD, **settings):
    servers = [f"localhost:{server.port}"]
    return bmemcached.Client(servers, user, password, socket_timeout=20, **settings)


@check
@on(by_sasl())
def set_get(server):
    client = connect(server)
    same(client.set("a", "1"), True)
    same(client.get("a"), "1")
    items = {f"key{i}": str(i) for i in range(1000)}
    same(client.set_multi(items), [])
    same(client.get_multi([*items]), items)
    client.disconnect_all()
    same(client.get("a"), "1")


@check
@on(by_sasl())
def wrong_password(server):
    for user, password in ((USER, "wrong"), (USER, PASSWORD + "x"), ("nobody", PASSWORD)):
        refused(MemcachedException, lambda: connect(server, user, password).set("a", "1"))
    same(connect(server).get("a"), None)
    stats = connect(server).stats()[f"localhost:{server.port}"]
    same((stats["auth_cmds"], stats["auth_errors"]), (b"5", b"3"))


@check
@on(by_sasl())
def no_login(server):
    """Nothing is answered to who does not log in, and nothing done."""
    client = bmemcached.Client([server.address], socket_timeout=20)
    refused(MemcachedException, lambda: client.set("a", "1"))
    client.get("a")
    same(connect(server).get("a"), None)


@check
@on(by_sasl(f"{USERS}umlaut:pässwörd\n"))
def beyond_ascii(server):
    same(connect(server, "umlaut", "pässwörd").set("a", "1"), True)
    refused(MemcachedException, lambda: connect(server, "umlaut", "passwort").set("a", "1"))


@check
@on(by_sasl(RIGHTS))
def read_only(server):
    """Its writes are refused, by an error that names why, and the connection goes on."""
    same(connect(server).set("a", "1"), True)
    client = connect(server, READER, READER_PASSWORD)
    connections = counted(server)
    for call in (
        lambda: client.set("a", "2"),
        lambda: client.add("b", "2"),
        lambda: client.delete("a"),
        lambda: client.incr("n", 1),
        lambda: client.flush_all(),
    ):
        refused(MemcachedException, call)
        same(client.get("a"), "1")
    same(sorted(client.set_multi({"a": "2", "b": "2"})), ["a", "b"])
    same(client.get_multi(["a", "b"]), {"a": "1"})
    same(counted(server), connections + 2)  # the reader's, and that of this question


@check
@on(by_sasl(RIGHTS))
def prefix(server):
    client = connect(server, "tenant", "renting")
    same(client.set("t1:a", "1"), True)
    same(client.get("t1:a"), "1")
    refused(MemcachedException, lambda: client.set("t2:a", "1"))
    refused(MemcachedException, lambda: client.get("t2:a"))
    same(client.get("t1:a"), "1")


def counted(server):
    """How many connections there have been, that of the question among them."""
    return int(connect(server).stats()[f"localhost:{server.port}"]["total_connections"])


@check
@on(by_sasl().and_then("-vvv"))
def secrets_untold(server):
    """Neither the right password nor a wrong one is logged."""
    refused(MemcachedException, lambda: connect(server, password="guessed word").get("a"))
    same(connect(server).set("a", "1"), True)
    assert "127.0.0.1" in server.log(), "the failure is not logged"
    for secret in (PASSWORD, "guessed"):
        assert secret not in server.log(), server.log()


@check
@on(by_sasl())
def users_reloaded(server):
    """By a signal and by itself; who is logged in stays, and a bad file changes nothing."""
    old = connect(server)
    same(old.set("a", "1"), True)
    server.rewrite("users", f"{USER}:second\n")
    server.reload()
    server.await_that(lambda: not may_enter(server, PASSWORD))
    same(connect(server, password="second").get("a"), "1")
    server.rewrite("users", f"{USER}:third\n")
    server.await_that(lambda: not may_enter(server, "second"))
    same(connect(server, password="third").get("a"), "1")
    server.rewrite("users", "no colon\n")
    server.reload()
    same(connect(server, password="third").get("a"), "1")
    same(old.get("a"), "1")
    server.rewrite("users", USERS)
    server.await_that(lambda: not may_enter(server, "third"))


@check
@on(
    Needs(
        ("-S",),
        {"MEMCACHED_SASL_PWDB": "{dir}/users"},
        prepare=lambda directory: (directory / "users").write_text(PWDB),
        alive=serves_packets,
    )
)
def password_database(server):
    """The file that memcached's builds look for, when no other is given."""
    same(connect(server).set("a", "1"), True)
    same(connect(server, "hosted", "secret").get("a"), "1")
    same(connect(server, f"hosted@{socket.gethostname()}", "secret").get("a"), "1")
    refused(MemcachedException, lambda: connect(server, "hosted", "secret:ignored").get("a"))
    server.rewrite("users", f"{USER}:second\n")
    server.await_that(lambda: not may_enter(server, PASSWORD))
    same(connect(server, password="second").get("a"), "1")
    server.rewrite("users", PWDB)
    server.await_that(lambda: not may_enter(server, "second"))


def may_enter(server, password):
    try:
        connect(server, password=password).get("a")
    except MemcachedException:
        return False
    return True


def by_sasl_over_tls():
    sasl = by_sasl()

    def prepare(directory):
        sasl.prepare(directory)
        TLS.prepare(directory)

    return Needs(sasl.arguments + TLS.arguments, prepare=prepare, enter=TLS.enter, alive=sasl.alive)


@check
@on(by_sasl_over_tls())
def over_tls(server):
    client = connect(server, tls_context=client_context())
    same(client.set("a", "1"), True)
    same(client.get("a"), "1")
    wrong = connect(server, password="wrong", tls_context=client_context())
    refused(MemcachedException, lambda: wrong.get("a"))
