"""TLS for checks: certificates, made once a run by the `openssl` program, and daemons that use them."""

import functools
import shutil
import ssl
import tempfile
from pathlib import Path
from typing import NamedTuple

from harness import Needs, run_tool

EXTENSIONS = """\
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[server]
basicConstraints = CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
[client]
basicConstraints = CA:FALSE
extendedKeyUsage = clientAuth
subjectAltName = DNS:{name}.example
"""


class Pair(NamedTuple):
    """Files in PEM format."""

    certificate: Path
    key: Path


class Certificates:
    """An authority that server and clients trust, and what it and a stranger have issued."""

    def __init__(self):
        # Removed with the object, which lives as long as the run.
        self._directory = tempfile.TemporaryDirectory()
        self._path = Path(self._directory.name)
        self.authority = self._issue("authority", "authority")
        self.server = self._issue("server", "server", by=self.authority)
        self.renewed = self._issue("renewed", "server", by=self.authority)
        self.client = self._issue("client", "client", by=self.authority)
        self.writer = self._issue("writer", "client", by=self.authority)
        self.expired = self._issue("expired", "client", by=self.authority, days=-1)
        strange = self._issue("strange", "authority")
        self.stranger = self._issue("stranger", "client", by=strange)

    def _issue(self, name, kind, by=None, days=2):
        """Makes a pair whose subject is `CN=name`; signed by itself unless `by` is given."""
        described = self._path / f"{name}.extensions"
        described.write_text(EXTENSIONS.format(name=name))
        pair = Pair(self._path / f"{name}.pem", self._path / f"{name}.key")
        request = self._path / f"{name}.csr"
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        subject = ("-subj", f"/CN={name}")
        run_tool("openssl", "req", *curve, "-keyout", pair.key, "-out", request, *subject)
        signer = ("-CA", by.certificate, "-CAkey", by.key) if by else ("-signkey", pair.key)
        extensions = ("-extfile", described, "-extensions", kind)
        signing = (*signer, "-CAcreateserial") if by else signer
        run_tool(
            *("openssl", "x509", "-req", "-in", request, "-out", pair.certificate),
            *(*signing, "-days", days, *extensions),
        )
        return pair


@functools.cache
def certificates():
    return Certificates()


def client_context(pair=None, version=None):
    """A client that trusts the authority, shows `pair` if asked, and speaks `version` alone."""
    context = ssl.create_default_context(cafile=certificates().authority.certificate)
    if pair:
        context.load_cert_chain(*pair)
    if version:
        context.minimum_version = context.maximum_version = version
    return context


def install(pair, directory):
    """Puts a server's pair and the authority where `tls` tells the daemon that they are."""
    shutil.copy(pair.certificate, directory / "chain.pem")
    shutil.copy(pair.key, directory / "key.pem")
    shutil.copy(certificates().authority.certificate, directory / "authority.pem")


def enter(connection):
    """Makes the handshake; the client's certificate is there for a daemon that asks for one."""
    context = client_context(certificates().client)
    return context.wrap_socket(connection, server_hostname="localhost")


TLS = Needs(
    ("-Z", "-o", "ssl_chain_cert={dir}/chain.pem,ssl_key={dir}/key.pem"),
    prepare=lambda directory: install(certificates().server, directory),
    enter=enter,
)

# Every client must have a certificate of the authority's.
MUTUAL = TLS.and_then("-o", "ssl_ca_cert={dir}/authority.pem,ssl_verify_mode=2")
