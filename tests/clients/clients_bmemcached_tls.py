"""python-binary-memcached (PyPI) over TLS; its logins are in clients_bmemcached_sasl.py."""

import ssl

import bmemcached
from certificates import MUTUAL, TLS, certificates, client_context
from harness import check, check_each, on, same

MIB = 1024 * 1024

each_version = check_each(tls12=ssl.TLSVersion.TLSv1_2, tls13=ssl.TLSVersion.TLSv1_3)


def connect(server, context, **settings):
    servers = [f"localhost:{server.port}"]
    return bmemcached.Client(servers, tls_context=context, socket_timeout=20, **settings)


@each_version
@on(TLS)
def set_get_delete(server, version):
    client = connect(server, client_context(version=version))
    same(client.get("a"), None)
    same(client.set("a", b"1"), True)
    same(client.get("a"), b"1")
    same(client.delete("a"), True)
    same(client.get("a"), None)
    same(server.stats()["cmd_set"], "1")


@check
@on(TLS)
def multi(server):
    client = connect(server, client_context())
    items = {f"key{i}": str(i) for i in range(1000)}
    same(client.set_multi(items), [])
    same(client.get_multi([*items, "missing"]), items)
    same(client.delete_multi([*items]), True)
    same(client.get_multi([*items]), {})


@check
@on(TLS)
def value_sizes(server):
    client = connect(server, client_context())
    for size in (0, 1, 16_384, 16_385, 100_000, MIB - 512):
        value = bytes((size + i * i) % 251 for i in range(size))
        same(client.set("a", value, compress_level=0), True)
        same(client.get("a"), value)


@check
@on(TLS)
def reconnect(server):
    client = connect(server, client_context())
    for _ in range(20):
        same(client.set("a", "1"), True)
        client.disconnect_all()
        same(client.get("a"), "1")


@check
@on(TLS)
def server_not_trusted(server):
    """This client says nothing of it: it takes the server for one that is down."""
    client = connect(server, ssl.create_default_context())
    same(client.set("a", "1"), False)
    same(connect(server, client_context()).get("a"), None)


@check
@on(MUTUAL)
def client_certificate(server):
    client = connect(server, client_context(certificates().client))
    same(client.set("a", "1"), True)
    for pair in (None, certificates().stranger, certificates().expired):
        same(connect(server, client_context(pair)).set("a", "2"), False)
    same(client.get("a"), "1")
