"""scramp (PyPI): SCRAM by a library that has nothing to do with the daemon's."""

import scramp
from harness import check, check_each, on, refused, same
from logins import PASSWORD, USER, USERS, by_sasl
from packets import AUTH_CONTINUES, AUTH_FAILED, SASL_AUTH, SASL_STEP, SUCCESS, Packets

each_mechanism = check_each(sha256="SCRAM-SHA-256", sha512="SCRAM-SHA-512")


class Exchange:
    """One login over a connection of its own."""

    def __init__(self, server, mechanism, user=USER, password=PASSWORD):
        self.packets = Packets(server.plug())
        self.mechanism = mechanism.encode()
        self.client = scramp.ScramClient([mechanism], user, password)

    def first(self):
        """The client's first message; its answer is the server's first."""
        message = self.client.get_client_first().encode()
        return self.packets.ask(SASL_AUTH, self.mechanism, message)

    def final(self):
        """The client's proof; its answer is the server's own, or a refusal."""
        message = self.client.get_client_final().encode()
        return self.packets.ask(SASL_STEP, self.mechanism, message)

    def run(self):
        """All of it; gives the last status, and on success has verified the server's signature."""
        status, message = self.first()
        if status != AUTH_CONTINUES:
            return status
        self.client.set_server_first(message.decode())
        status, message = self.final()
        if status == SUCCESS:
            self.client.set_server_final(message.decode())
        return status


@each_mechanism
@on(by_sasl())
def login(server, mechanism):
    exchange = Exchange(server, mechanism)
    assert mechanism.encode() in exchange.packets.mechanisms()
    same(exchange.run(), SUCCESS)
    same(exchange.packets.set(b"a", b"1")[0], SUCCESS)
    same(exchange.packets.get(b"a"), (SUCCESS, b"1"))


@each_mechanism
@on(by_sasl())
def wrong_password(server, mechanism):
    """Refused at the proof: what comes before it does not tell known users from unknown ones."""
    for user, password in ((USER, "wrong"), (USER, ""), ("nobody", PASSWORD)):
        exchange = Exchange(server, mechanism, user, password)
        status, message = exchange.first()
        same(status, AUTH_CONTINUES)
        exchange.client.set_server_first(message.decode())
        same(exchange.final()[0], AUTH_FAILED)
        same(exchange.packets.get(b"a")[0], AUTH_FAILED)
        assert exchange.packets.is_closed()


@each_mechanism
@on(by_sasl())
def same_salt_for_unknown(server, mechanism):
    """Who asks twice for a user sees the same salt, whether there is such a user or not."""
    for user in (USER, "nobody"):
        seen = set()
        for _ in range(2):
            _, message = Exchange(server, mechanism, user).first()
            fields = dict(field.split("=", 1) for field in message.decode().split(","))
            seen.add((fields["s"], fields["i"]))
        same(len(seen), 1)


@each_mechanism
@on(by_sasl(f"{USERS}umlaut:pässwörd\n"))
def beyond_ascii(server, mechanism):
    same(Exchange(server, mechanism, "umlaut", "pässwörd").run(), SUCCESS)
    same(Exchange(server, mechanism, "umlaut", "passwort").run(), AUTH_FAILED)


def stored_keys(user, password, mechanism):
    """An entry of the user file that has keys in place of a password."""
    salt, stored, server_key, iterations = scramp.ScramMechanism(mechanism).make_auth_info(password)
    salt, stored, server_key = (scramp.utils.b64enc(part) for part in (salt, stored, server_key))
    return f"{user}:{mechanism}${iterations}:{salt}${stored}:{server_key}\n"


HASHED = stored_keys("short", PASSWORD, "SCRAM-SHA-256") + stored_keys("long", PASSWORD, "SCRAM-SHA-512")


@check
@on(by_sasl(USERS + HASHED))
def stored(server):
    """Keys computed elsewhere serve for their own mechanism and for PLAIN."""
    same(Exchange(server, "SCRAM-SHA-256", "short").run(), SUCCESS)
    same(Exchange(server, "SCRAM-SHA-512", "long").run(), SUCCESS)
    for user in ("short", "long"):
        same(Packets(server.plug()).plain(user, PASSWORD), SUCCESS)
        same(Packets(server.plug()).plain(user, "wrong"), AUTH_FAILED)
    for mechanism, user in (("SCRAM-SHA-256", "short"), ("SCRAM-SHA-512", "long")):
        same(Exchange(server, mechanism, user, "wrong").run(), AUTH_FAILED)


@each_mechanism
@on(by_sasl().and_then("-o", "sasl_mechs=PLAIN"))
def left_out(server, mechanism):
    exchange = Exchange(server, mechanism)
    same(exchange.packets.mechanisms(), [b"PLAIN"])
    same(exchange.first()[0], AUTH_FAILED)
    same(exchange.packets.plain(USER, PASSWORD), SUCCESS)


@each_mechanism
@on(by_sasl())
def out_of_order(server, mechanism):
    """No way in without each step."""
    mechanism = mechanism.encode()
    exchange = Exchange(server, mechanism.decode())
    first = exchange.client.get_client_first().encode()
    same(exchange.packets.ask(SASL_STEP, mechanism, first)[0], AUTH_FAILED)
    for final in (b"", b"c=biws,r=x,p=AAAA", b"x" * 1000, bytes(100)):
        same(exchange.packets.ask(SASL_AUTH, mechanism, first)[0], AUTH_CONTINUES)
        same(exchange.packets.ask(SASL_STEP, mechanism, final)[0], AUTH_FAILED)
        same(exchange.packets.ask(SASL_STEP, mechanism, final)[0], AUTH_FAILED)
    same(exchange.packets.plain(USER, PASSWORD), SUCCESS)


@each_mechanism
@on(by_sasl())
def proof_not_repeatable(server, mechanism):
    """A proof that has been seen is good for nothing on another connection."""
    seen = Exchange(server, mechanism)
    first = seen.client.get_client_first().encode()
    _, message = seen.packets.ask(SASL_AUTH, mechanism.encode(), first)
    seen.client.set_server_first(message.decode())
    proof = seen.client.get_client_final().encode()
    same(seen.packets.ask(SASL_STEP, mechanism.encode(), proof)[0], SUCCESS)
    packets = Packets(server.plug())
    same(packets.ask(SASL_AUTH, mechanism.encode(), first)[0], AUTH_CONTINUES)
    same(packets.ask(SASL_STEP, mechanism.encode(), proof)[0], AUTH_FAILED)


@check
@on(by_sasl())
def signature_is_verified(server):
    """The client's own proof that these checks would see a wrong one."""
    exchange = Exchange(server, "SCRAM-SHA-256")
    exchange.client.set_server_first(exchange.first()[1].decode())
    status, message = exchange.final()
    same(status, SUCCESS)
    forged = "v=" + ("A" if message[2:3] != b"A" else "B") + message[3:].decode()
    refused(scramp.ScramException, lambda: exchange.client.set_server_final(forged))
