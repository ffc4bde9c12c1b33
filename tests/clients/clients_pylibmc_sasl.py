"""pylibmc (PyPI) with SASL.

Its wheel has a libmemcached 1.0, which hangs up in the middle of a login of more than one step. It
reads the list of mechanisms as far as the zero behind PLAIN; the other way is to leave out SCRAM."""

import pylibmc
from harness import check, on, refused, same
from logins import PASSWORD, READER, READER_PASSWORD, RIGHTS, USER, USERS, by_sasl

TIMEOUTS = {"connect_timeout": 20_000, "receive_timeout": 20_000_000, "send_timeout": 20_000_000}
# Said by the first request of a connection; those behind it are told of a server that is down.
REFUSED = (pylibmc.Error, pylibmc.ServerDown)


def plain_alone(users=USERS):
    return by_sasl(users).and_then("-o", "sasl_mechs=PLAIN")


def connect(server, user=USER, password=PASSWORD):
    return pylibmc.Client(
        [server.address], binary=True, username=user, password=password, behaviors=TIMEOUTS
    )


def works(client):
    """Asserts that the client is served."""
    same(client.set("works", b"yes"), True)
    same(client.get("works"), b"yes")


@check
@on(plain_alone())
def set_get(server):
    client = connect(server)
    works(client)
    same(client.delete("works"), True)
    items = {f"key{i}": b"%d" % i for i in range(1000)}
    same(client.set_multi(items), [])
    same(client.get_multi([*items]), items)


@check
@on(by_sasl())
def scram_beside_it(server):
    works(connect(server))
    refused(REFUSED, lambda: connect(server, password="wrong").set("a", b"1"))
    same(connect(server).get("a"), None)


@check
@on(plain_alone())
def reconnect(server):
    for _ in range(20):
        client = connect(server)
        works(client)
        client.disconnect_all()
        works(client)


@check
@on(plain_alone())
def wrong_password(server):
    for user, password in ((USER, "wrong"), (USER, PASSWORD + "x"), ("nobody", PASSWORD)):
        refused(REFUSED, lambda: connect(server, user, password).set("a", b"1"))
    same(connect(server).get("a"), None)


@check
@on(plain_alone())
def no_login(server):
    client = pylibmc.Client([server.address], binary=True, behaviors=TIMEOUTS)
    refused(REFUSED, lambda: client.set("a", b"1"))
    same(connect(server).get("a"), None)


@check
@on(plain_alone(RIGHTS))
def read_only(server):
    """Its write is refused, by an error that says why. libmemcached then closes the connection
    by itself and leaves the server alone for two seconds, so each refusal is one client's last."""
    works(connect(server))
    for call in (
        lambda client: client.set("works", b"no"),
        lambda client: client.add("new", b"no"),
        lambda client: client.delete("works"),
    ):
        client = connect(server, READER, READER_PASSWORD)
        same(client.get("works"), b"yes")
        refused(pylibmc.Error, lambda: call(client))
    connect(server, READER, READER_PASSWORD).flush_all()  # which does not look at the answer
    same(connect(server).get_multi(["works", "new"]), {"works": b"yes"})


@check
@on(plain_alone())
def users_reloaded(server):
    works(connect(server))
    server.rewrite("users", f"{USER}:second\n")
    server.reload()
    server.await_that(lambda: not may_enter(server, PASSWORD))
    works(connect(server, password="second"))
    server.rewrite("users", USERS)
    server.await_that(lambda: not may_enter(server, "second"))
    works(connect(server))


def may_enter(server, password):
    try:
        connect(server, password=password).get("a")
    except REFUSED:
        return False
    return True
