"""The command-line tools of libmemcached (Debian: libmemcached-tools) with SASL."""

from dataclasses import replace

from clients_libmemcached import VALUE, copy_in, tool
from harness import check, check_each, on, running, same
from logins import PASSWORD, READER, READER_PASSWORD, RIGHTS, USER, by_sasl


def login(user=USER, password=PASSWORD):
    return ("--binary", f"--username={user}", f"--password={password}")


@check
@on(by_sasl())
def memccp_memccat(server):
    copy_in(server, "blob", *login())
    copy_in(server, "empty", *login(), value=b"")
    same(tool(server, "memccat", *login(), "blob"), VALUE + b"\n")
    same(tool(server, "memccat", *login(), "empty"), b"\n")
    tool(server, "memccat", *login(), "missing", expect_exit=1)


@check_each(sha512="SCRAM-SHA-512", sha256="SCRAM-SHA-256")
def scram(server, mechanism):
    """libsasl2's SCRAM, which these tools never see where PLAIN is told with a zero behind it."""
    needs = by_sasl().and_then("-o", f"sasl_mechs={mechanism}")
    needs = replace(needs, alive=lambda other: tool(other, "memcexist", *login(), "a"))
    with running(server.command, needs) as other:
        copy_in(other, "a", *login())
        same(tool(other, "memccat", *login(), "a"), VALUE + b"\n")
        for user, password in ((USER, "wrong"), ("nobody", PASSWORD)):
            tool(other, "memccat", *login(user, password), "a", expect_exit=1)


@check
@on(by_sasl())
def memcexist_memctouch_memcrm(server):
    copy_in(server, "a", *login())
    tool(server, "memcexist", *login(), "a")
    tool(server, "memctouch", *login(), "--expire=1000", "a")
    tool(server, "memcrm", *login(), "a")
    tool(server, "memcexist", *login(), "a", expect_exit=1)


@check
@on(by_sasl())
def memcstat(server):
    assert b"\tpid: %d\n" % server.pid in tool(server, "memcstat", *login())


@check
@on(by_sasl())
def memcping_memcflush(server):
    tool(server, "memcping", *login()[1:])  # speaks the binary protocol when it has to log in
    copy_in(server, "a", *login())
    tool(server, "memcflush", *login())
    tool(server, "memcexist", *login(), "a", expect_exit=1)


@check
@on(by_sasl())
def memcslap(server):
    """Several connections at once, each of which logs in."""
    shape = ("--concurrency=4", "--execute-number=500", "--initial-load=500")
    for test in ("set", "get"):
        tool(server, "memcslap", *login(), f"--test={test}", *shape)


@check
@on(by_sasl())
def wrong_password(server):
    copy_in(server, "a", *login())
    for user, password in ((USER, "wrong"), ("nobody", PASSWORD)):
        tool(server, "memccat", *login(user, password), "a", expect_exit=1)
        tool(server, "memcrm", *login(user, password), "a", expect_exit=1)
    tool(server, "memccat", "--binary", "a", expect_exit=1)
    tool(server, "memcexist", *login(), "a")


@check
@on(by_sasl(RIGHTS))
def read_only(server):
    copy_in(server, "a", *login())
    reader = login(READER, READER_PASSWORD)
    same(tool(server, "memccat", *reader, "a"), VALUE + b"\n")
    tool(server, "memcexist", *reader, "a", expect_exit=1)  # it asks by an ADD
    tool(server, "memcrm", *reader, "a", expect_exit=1)
    tool(server, "memcflush", *reader)  # does not look at the answer
    same(tool(server, "memccat", *reader, "a"), VALUE + b"\n")
