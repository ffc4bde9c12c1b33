"""`openssl s_client`: conversations by hand over TLS."""

import re
import subprocess

from certificates import MUTUAL, TLS, certificates
from harness import ANSWER_SECS, check, check_each, on, path_of, same

each_version = check_each(tls12="-tls1_2", tls13="-tls1_3")


def talk(server, request, *options):
    """What s_client shows of the handshake and of the answers to `request`, until the other side
    hangs up; and its exit code."""
    trust = ("-CAfile", certificates().authority.certificate, "-verify_hostname", "localhost")
    command = ["openssl", "s_client", "-connect", server.address, *trust, *options]
    done = subprocess.run(
        [path_of(command[0]), *map(str, command[1:]), "-verify_return_error", "-ign_eof"],
        input=request,
        capture_output=True,
        timeout=ANSWER_SECS,
    )
    return (done.stdout + done.stderr).replace(b"\r\n", b"\n"), done.returncode


@each_version
@on(TLS)
def conversation(server, version):
    request = b"set a 0 0 1\r\n1\r\nget a\r\nmg a v\r\nquit\r\n"
    said, code = talk(server, request, version)
    same(code, 0)
    answers = b"STORED\nVALUE a 0 1\n1\nEND\nVA 1\n1\n"
    assert answers in said, said[-500:]
    assert b"Verification: OK" in said, said[-500:]


@each_version
@on(TLS)
def close_is_announced(server, version):
    """`quit` is answered by TLS's own goodbye, not by a connection that breaks off."""
    said, code = talk(server, b"quit\r\n", version, "-msg")
    same(code, 0)
    assert re.search(rb"<<< .*Alert.*\n +01 00\n", said), said[-500:]


@check
@on(TLS)
def old_versions_refused(server):
    """Also where the client would let them pass."""
    for version in ("-tls1", "-tls1_1"):
        said, code = talk(server, b"quit\r\n", version, "-cipher", "DEFAULT@SECLEVEL=0")
        assert code != 0, said[-500:]
        # The second, where a server says first that it has none of the ciphers of that time.
        assert b"alert protocol version" in said or b"alert handshake failure" in said, said[-500:]


@each_version
@on(TLS.and_then("-o", "ssl_min_version=3"))
def minimum_version(server, version):
    said, code = talk(server, b"version\r\nquit\r\n", version)
    if version == "-tls1_3":
        assert code == 0 and b"VERSION 1." in said, said[-500:]
    else:
        assert code != 0 and b"protocol version" in said, said[-500:]


def pair_options(pair):
    return ("-cert", pair.certificate, "-key", pair.key)


@each_version
@on(MUTUAL)
def client_certificate(server, version):
    said, code = talk(server, b"version\r\nquit\r\n", version, *pair_options(certificates().client))
    assert code == 0 and b"VERSION 1." in said, said[-500:]
    for pair, alert in (
        (None, rb"certificate required|handshake failure"),
        (certificates().stranger, rb"unknown ca|bad certificate|decrypt error"),
        (certificates().expired, rb"certificate expired"),
    ):
        options = pair_options(pair) if pair else ()
        said, code = talk(server, b"version\r\nquit\r\n", version, *options)
        assert code != 0 and b"VERSION 1." not in said, said[-500:]
        assert re.search(rb"alert (%s)" % alert, said), said[-500:]


@check
@on(TLS)
def session_not_resumed(server):
    """Unless sessions are asked for, each handshake is a whole one."""
    same(reused(server, "-tls1_2"), 0)


@check
@on(TLS.and_then("-o", "ssl_session_cache"))
def session_resumed(server):
    same(reused(server, "-tls1_2"), 1)


def reused(server, version):
    """How many handshakes took up the session of the first: 1 or 0."""
    session = server.directory / "session"
    _, code = talk(server, b"quit\r\n", version, "-sess_out", session)
    same(code, 0)
    if not session.exists():  # the server offered none
        return 0
    said, code = talk(server, b"version\r\nquit\r\n", version, "-sess_in", session)
    assert code == 0 and b"VERSION 1." in said, said[-500:]
    return len(re.findall(rb"^Reused, ", said, re.M))
