"""pymemcache (PyPI) over TLS, with and without certificates of its own."""

import ssl

from certificates import MUTUAL, TLS, certificates, client_context, install
from harness import check, check_each, on, refused, same
from pymemcache.client.base import Client, PooledClient
from pymemcache.exceptions import MemcacheUnexpectedCloseError

SETTINGS = {"default_noreply": False, "connect_timeout": 20, "timeout": 20}
MIB = 1024 * 1024
# What a handshake that the server ends raises, depending on how far the client thinks it is.
REFUSALS = (ssl.SSLError, ConnectionError, MemcacheUnexpectedCloseError)

each_version = check_each(tls12=ssl.TLSVersion.TLSv1_2, tls13=ssl.TLSVersion.TLSv1_3)


def connect(server, context, kind=Client, **settings):
    # By name, which the certificate has to bear.
    address = ("localhost", server.port)
    return kind(address, tls_context=context, **{**SETTINGS, **settings})


def works(client):
    """Asserts that the client is served."""
    same(client.set("works", b"yes"), True)
    same(client.get("works"), b"yes")


@each_version
@on(TLS)
def set_get(server, version):
    client = connect(server, client_context(version=version))
    same(client.get("a"), None)
    works(client)
    same(client.sock.version(), {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name])
    same(client.delete("works"), True)
    same(server.stats()["cmd_set"], "1")


@each_version
@on(TLS)
def value_sizes(server, version):
    """Values below, at and far above the 16 KiB that a record holds."""
    client = connect(server, client_context(version=version))
    for size in (0, 1, 16_000, 16_384, 16_385, 100_000, MIB - 512):
        value = bytes((size + i * i) % 251 for i in range(size))
        same(client.set("a", value), True)
        same(client.get("a"), value)
    same(client.set("a", b"x" * 16_384), True)
    items = {f"key{i}": bytes([i]) * 100_000 for i in range(20)}
    same(client.set_many(items), [])
    same(client.get_many([*items]), items)


@check
@on(TLS)
def many(server):
    """A thousand commands in one send, and their answers."""
    client = connect(server, client_context())
    items = {f"key{i}": b"%d" % i for i in range(1000)}
    same(client.set_many(items), [])
    same(client.get_many([*items, "missing"]), items)
    same(client.delete_many(list(items)[:999]), True)
    same(client.get_many(items), {"key999": b"999"})


@check
@on(TLS)
def noreply(server):
    client = connect(server, client_context(), default_noreply=True)
    for i in range(500):
        client.set(f"key{i}", b"%d" % i)
    client.delete("key0")
    same(client.get_many(["key0", "key1", "key499"]), {"key1": b"1", "key499": b"499"})


@check
@on(TLS)
def reconnect(server):
    """Handshakes one after the other, the old connections closed by either side."""
    client = connect(server, client_context(), kind=PooledClient)
    for _ in range(20):
        works(client)
        client.close()
    client = connect(server, client_context())
    for _ in range(5):
        works(client)
        client.quit()


@check
@on(TLS)
def server_not_trusted(server):
    """The client hangs up on a certificate that it does not know; the next one is served."""
    refused(ssl.SSLError, lambda: connect(server, ssl.create_default_context()).version())
    works(connect(server, client_context()))
    # memcached counts the client's alert in either, by how far the handshake was.
    names = ("ssl_handshake_errors", "ssl_proto_errors")
    server.await_that(lambda: sum(int(server.stats()[name]) for name in names) == 1)


@check
@on(TLS)
def plain_text_refused(server):
    """A client without TLS is hung up on, and so is nobody else."""
    client = connect(server, client_context())
    works(client)
    plain = Client(server.address, **SETTINGS)
    refused((ConnectionError, MemcacheUnexpectedCloseError), lambda: plain.get("a"))
    works(client)


@each_version
@on(MUTUAL)
def client_certificate(server, version):
    works(connect(server, client_context(certificates().client, version)))


@each_version
@on(MUTUAL)
def client_certificate_missing(server, version):
    client = connect(server, client_context(version=version))
    refused(REFUSALS, lambda: client.version())


@each_version
@on(MUTUAL)
def client_certificate_unknown(server, version):
    client = connect(server, client_context(certificates().stranger, version))
    refused(REFUSALS, lambda: client.version())


@each_version
@on(MUTUAL)
def client_certificate_expired(server, version):
    client = connect(server, client_context(certificates().expired, version))
    refused(REFUSALS, lambda: client.version())


def subject(server):
    """The name in the certificate that a new connection is shown."""
    client = connect(server, client_context())
    works(client)
    ((((_, name),),)) = client.sock.getpeercert()["subject"]
    return name


@check
@on(TLS)
def renewed(server):
    """New connections are shown the certificate that `refresh_certs` has read, old ones go on; a
    broken one changes nothing."""
    client = connect(server, client_context())
    works(client)
    same(subject(server), "server")
    install(certificates().renewed, server.directory)
    same(client.raw_command("refresh_certs"), b"OK")
    same(subject(server), "renewed")
    (server.directory / "chain.pem").write_text("broken")
    answer = client.raw_command("refresh_certs")
    assert answer != b"OK", answer
    same(subject(server), "renewed")
    works(client)


@check
@on(TLS)
def renewed_by_signal(server):
    install(certificates().renewed, server.directory)
    server.reload()
    server.await_that(lambda: subject(server) == "renewed")
