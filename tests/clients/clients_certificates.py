"""pymemcache (PyPI) known by the certificate that it shows, alone or beside logins."""

from certificates import MUTUAL, certificates, client_context
from clients_pymemcache_login import LoginClient, denied
from harness import Needs, check, on, refused, same
from logins import PASSWORD, USER, USERS
from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheClientError

SETTINGS = {"default_noreply": False, "connect_timeout": 20, "timeout": 20}
# One is known by the name for DNS in its certificate, the other by its subject.
WRITER, READER = "writer:$cert\n", "client.example:$cert:read\n"


def needs(users, option, value):
    """A daemon whose clients all have certificates, and whose option names the file of users."""

    def prepare(directory):
        MUTUAL.prepare(directory)
        (directory / "users").write_text(users)

    return Needs((*MUTUAL.arguments, option, value), prepare=prepare, enter=MUTUAL.enter)


def connect(server, pair):
    return Client(("localhost", server.port), tls_context=client_context(pair), **SETTINGS)


@check
@on(needs(WRITER + READER, "-o", "user_file={dir}/users"))
def rights(server):
    writer = connect(server, certificates().writer)
    same(writer.set("a", b"1"), True)
    reader = connect(server, certificates().client)
    same(reader.get("a"), b"1")
    for call in (
        lambda: reader.set("a", b"2"),
        lambda: reader.delete("a"),
        lambda: reader.flush_all(),
        lambda: reader.stats(),
    ):
        denied(call)
        same(reader.get("a"), b"1")
    same(writer.delete("a"), True)


@check
@on(needs(READER, "-o", "user_file={dir}/users"))
def not_in_the_file(server):
    """A certificate of the authority's is not enough where the file does not name it."""
    client = connect(server, certificates().writer)
    refused(MemcacheClientError, lambda: client.set("a", b"1"))
    refused(MemcacheClientError, lambda: client.get("a"))
    same(connect(server, certificates().client).get("a"), None)


@check
@on(needs(READER + USERS, "-Y", "{dir}/users"))
def or_by_login(server):
    """Where passwords count too, who has no name by certificate logs in."""
    context = client_context(certificates().writer)
    client = LoginClient(server, USER, PASSWORD, tls_context=context)
    same(client.set("a", b"1"), True)
    same(connect(server, certificates().client).get("a"), b"1")
    refused(MemcacheClientError, lambda: connect(server, certificates().writer).get("a"))


@check
@on(needs(WRITER + READER, "-o", "user_file={dir}/users"))
def rights_reloaded(server):
    """New connections have the rights of the file as it is now, old ones those that they came with."""
    old = connect(server, certificates().writer)
    same(old.set("a", b"1"), True)
    server.rewrite("users", WRITER.strip() + ":read\n" + READER)
    server.reload()
    server.await_that(lambda: not may_write(server))
    same(old.set("a", b"2"), True)
    same(connect(server, certificates().writer).get("a"), b"2")


def may_write(server):
    try:
        return connect(server, certificates().writer).set("b", b"1")
    except MemcacheClientError:
        return False
