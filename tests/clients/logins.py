"""Daemons that ask who is there, by SASL or in text, and the users that they know."""

from harness import Needs, same
from packets import SUCCESS, VERSION, Packets

# The scripts in other languages know these two as well.
USER, PASSWORD = "user", "pass word"
READER, READER_PASSWORD = "reader", "reading"
USERS = f"{USER}:{PASSWORD}\n"
# Entries with rights, which memcached's file of the same form does not have.
RIGHTS = f"{USERS}{READER}:{READER_PASSWORD}:read\ntenant:renting:read,write,prefix=t1:\n"


def text_login(user, password):
    """The command that logs in: a `set` of any key, whose value is name and password."""
    token = f"{user} {password}".encode()
    return b"set login 0 0 %d\r\n%s\r\n" % (len(token), token)


def enter(connection):
    """Logs in by text."""
    connection.sendall(text_login(USER, PASSWORD))
    same(connection.recv(100), b"STORED\r\n")
    return connection


def serves_packets(server):
    """Asserts that the daemon answers somebody who has logged in by SASL."""
    with server.connect() as connection:
        packets = Packets(connection)
        same(packets.plain(USER, PASSWORD), SUCCESS)
        same(packets.ask(VERSION)[0], SUCCESS)


def by_text(users=USERS):
    """A daemon whose text and meta clients log in by their first command."""
    return Needs(
        ("-Y", "{dir}/users"),
        prepare=lambda directory: (directory / "users").write_text(users),
        enter=enter,
    )


def by_sasl(users=USERS):
    """A daemon that speaks the binary protocol alone, with SASL."""
    return Needs(
        ("-S", "-o", "user_file={dir}/users"),
        prepare=lambda directory: (directory / "users").write_text(users),
        alive=serves_packets,
    )
