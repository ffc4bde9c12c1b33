"""`nuthatch passwd`: the lines that it makes let clients in."""

import subprocess

from clients_pymemcache_login import LoginClient, denied
from clients_scram import Exchange
from harness import ANSWER_SECS, check_each, on, refused, same
from logins import USERS, by_sasl, by_text
from packets import AUTH_FAILED, SUCCESS, Packets
from pymemcache.exceptions import MemcacheClientError

SECRET = "secret wörd"

each_hash = check_each(argon2id="argon2id", sha256="scram-sha-256", sha512="scram-sha-512")


def passwd(server, user, *options, password=SECRET):
    """Runs it; gives what it prints."""
    command = [server.command[0], "passwd", user, *map(str, options)]
    done = subprocess.run(
        command, input=f"{password}\n".encode(), capture_output=True, timeout=ANSWER_SECS
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


@each_hash
@on(by_text())
def by_text_login(server, kind):
    passwd(server, "hashed", "--hash", kind, "--rights", "read", "--file", server.directory / "users")
    assert "secret" not in (server.directory / "users").read_text()
    server.reload()
    server.await_that(lambda: may_enter(server, "hashed", SECRET))
    client = LoginClient(server, "hashed", SECRET)
    same(client.get("a"), None)
    denied(lambda: client.set("a", b"1"))
    refused(MemcacheClientError, LoginClient(server, "hashed", "secret word").version)
    same(LoginClient(server).set("a", b"1"), True)  # whose line is as it was


@each_hash
@on(by_sasl())
def by_plain(server, kind):
    line = passwd(server, "hashed", "--hash", kind)
    server.rewrite("users", USERS + line)
    server.reload()
    server.await_that(lambda: Packets(server.plug()).plain("hashed", SECRET) == SUCCESS)
    same(Packets(server.plug()).plain("hashed", "secret word"), AUTH_FAILED)


@check_each(sha256="SCRAM-SHA-256", sha512="SCRAM-SHA-512")
@on(by_sasl())
def by_scram(server, mechanism):
    line = passwd(server, "hashed", "--hash", mechanism.lower())
    server.rewrite("users", USERS + line)
    server.reload()
    server.await_that(lambda: mechanism_lets_in(server, mechanism))
    same(Exchange(server, mechanism, "hashed", "secret word").run(), AUTH_FAILED)


def mechanism_lets_in(server, mechanism):
    return Exchange(server, mechanism, "hashed", SECRET).run() == SUCCESS


def may_enter(server, user, password):
    try:
        LoginClient(server, user, password).version()
    except MemcacheClientError:
        return False
    return True
