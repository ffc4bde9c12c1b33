"""The binary protocol by hand, with its logins: what no client library lets one say."""

import struct

HEADER = struct.Struct("!BBHBBHLLQ")
GET, SET, NOOP, VERSION, STAT = 0x00, 0x01, 0x0A, 0x0B, 0x10
SASL_LIST, SASL_AUTH, SASL_STEP = 0x20, 0x21, 0x22
SUCCESS, MISSING, AUTH_FAILED, AUTH_CONTINUES = 0x00, 0x01, 0x20, 0x21


class Packets:
    """A conversation over a connected socket, one request at a time."""

    def __init__(self, connection):
        self._connection = connection
        self._answers = connection.makefile("rb")

    def ask(self, opcode, key=b"", value=b"", extras=b""):
        """Sends a request; gives the status and the value of its answer."""
        body = extras + key + value
        lengths = (len(key), len(extras), 0, 0, len(body))
        self._connection.sendall(HEADER.pack(0x80, opcode, *lengths, 0, 0) + body)
        header = self._answers.read(HEADER.size)
        if len(header) < HEADER.size:
            raise ConnectionError(f"closed in place of an answer to {opcode:#x}")
        magic, echoed, key_length, extras_length, _, status, length, _, _ = HEADER.unpack(header)
        if (magic, echoed) != (0x81, opcode):
            raise ConnectionError(f"answer {magic:#x} {echoed:#x} to {opcode:#x}")
        return status, self._answers.read(length)[extras_length + key_length :]

    def set(self, key, value):
        return self.ask(SET, key, value, bytes(8))

    def get(self, key):
        return self.ask(GET, key)

    def mechanisms(self):
        status, names = self.ask(SASL_LIST)
        assert status == SUCCESS, status
        return names.split()

    def plain(self, user, password):
        """Logs in; gives the status."""
        return self.ask(SASL_AUTH, b"PLAIN", f"\0{user}\0{password}".encode())[0]

    def is_closed(self):
        """Whether the other side has hung up, waiting for it to."""
        return self._answers.read(1) == b""
