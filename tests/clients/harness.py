"""What every check needs: a daemon of its own, raw conversations with it, programs to run."""

import functools
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import traceback
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Callable

# Far above what any of it takes on a loaded machine; they only end what hangs.
START_SECS = 20
ANSWER_SECS = 20
STOP_SECS = 20
CHECK_SECS = 120

REPOSITORY = Path(__file__).resolve().parents[2]

_checks = []


class Missing(Exception):
    """A program that a check needs is not installed."""


class Skipped(Exception):
    """A file of checks is left out: the program that the message names is not installed."""


def ask_version(server):
    """Asserts that the daemon answers, in text."""
    version = server.exchange(b"version\r\n")
    assert version.startswith(b"VERSION "), version


@dataclass(frozen=True)
class Needs:
    """What a check needs of its daemon; by default a plain one.

    `{dir}` in arguments and environment stands for the daemon's directory."""

    arguments: tuple = ()
    environment: dict = field(default_factory=dict)
    prepare: Callable = lambda directory: None  # puts files into it, before the daemon starts
    enter: Callable = lambda connection: connection  # makes a connection one that is served
    alive: Callable = ask_version
    host: str = "127.0.0.1"
    port: int = -1  # of the system's choice

    def and_then(self, *arguments):
        """The same, with further arguments."""
        return replace(self, arguments=(*self.arguments, *arguments))


def on(needs):
    """Says what the check below it needs of its daemon."""

    def decorate(function):
        function.needs = needs
        return function

    return decorate


def check(function):
    """Marks `function(server)` as a check; its name is the check's."""
    _checks.append(function)
    return function


def check_each(**variants):
    """Marks `function(server, variant)` as one check for each variant, named after both."""

    def decorate(function):
        for name, variant in variants.items():

            def one(server, variant=variant):
                function(server, variant)

            functools.update_wrapper(one, function)
            one.__name__ = f"{function.__name__}_{name}"
            check(one)
        return function

    return decorate


def script_checks(module_name, script, command, suffix="", mark="check", needs=Needs()):
    """Makes checks of a script in another language: one for each `check("NAME"` in its text.

    `mark` is the name of the function that is called there. `command`, with host, port and NAME
    behind it, runs one of them; its exit code is the verdict."""
    for name in re.findall(rf"\b{mark}\(\s*[\"'](\w+)[\"']", script.read_text()):

        def one(server, name=name):
            run_tool(*command, "127.0.0.1", server.port, name)

        one.__name__, one.__module__ = name + suffix, module_name
        check(on(needs)(one))


def checks_of(module_name):
    """The checks of one module, in the order of its source."""
    return [check for check in _checks if check.__module__ == module_name]


def run_check(function, command):
    """Runs one check with a daemon of its own, for `CHECK_SECS` at most."""

    def give_up(*_):
        raise TimeoutError(f"not done after {CHECK_SECS} s")

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(CHECK_SECS)
    try:
        with running(command, getattr(function, "needs", Needs())) as server:
            function(server)
    finally:
        signal.alarm(0)


def describe(error):
    """One line: the error, and where in a check it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    what = " ".join(f"{type(error).__name__}: {error}".split())
    for frame in reversed(frames):
        if (file := Path(frame.filename).name).startswith("clients_"):
            return f"{what} ({file}:{frame.lineno}: {frame.line})"
    return what


@contextmanager
def running(command, needs=Needs()):
    """A daemon, ready to serve; proved alive, then stopped, when the block ends."""
    with tempfile.TemporaryDirectory() as directory:
        needs.prepare(Path(directory))
        server = Server(command, Path(directory), needs)
        try:
            server.start()
            yield server
            server.stop()
        except Exception as error:
            if server.has_died():
                raise RuntimeError(server.obituary()) from error
            raise
        finally:
            server.kill()


class Server:
    """One daemon on a loopback port: of the system's choice, if nothing else is asked for."""

    def __init__(self, command, directory, needs):
        self.command = command
        self.needs = needs
        self.directory = directory  # for the files of a check, too; gone when the daemon is
        self.host, self.port = needs.host, needs.port
        self._port_file = directory / "port"
        self._log = directory / "log"
        self._process = None

    def start(self):
        """Starts it, on the port that it had if it was started before, and waits until it listens."""
        further = [word.replace("{dir}", str(self.directory)) for word in self.needs.arguments]
        asked = {
            name: value.replace("{dir}", str(self.directory))
            for name, value in self.needs.environment.items()
        }
        self._port_file.unlink(missing_ok=True)
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                [*self.command, "-l", self.host, "-p", str(self.port), "-U", "0", *further],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "MEMCACHED_PORT_FILENAME": str(self._port_file), **asked},
            )
        self.pid = self._process.pid
        self.await_port()

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def another(self, **changes):
        """A second daemon, as a context; the same but for what is changed of its needs."""
        return running(self.command, replace(self.needs, **changes))

    @contextmanager
    def and_others(self, count):
        """This daemon and `count` more, as a list."""
        with ExitStack() as stack:
            yield [self, *(stack.enter_context(self.another()) for _ in range(count))]

    def await_port(self):
        """Waits for the port file. It is put in place complete, once the socket listens."""
        for _ in range(START_SECS * 100):
            if self._port_file.exists():
                self.port = int(self._port_file.read_text().split("TCP INET: ")[1].split()[0])
                return
            try:  # the wait for its end is what paces the loop
                self._process.wait(0.01)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError("the daemon ended at start")
        raise TimeoutError(f"no port file after {START_SECS} s")

    def plug(self):
        """A connection as it is before a handshake or a login."""
        return socket.create_connection((self.host, self.port), ANSWER_SECS)

    def connect(self):
        """A connection that is served."""
        return self.needs.enter(self.plug())

    def exchange(self, request):
        """Sends bytes and `quit` on a connection of their own; all that is answered."""
        with self.connect() as connection:
            connection.sendall(request + b"quit\r\n")
            answer = bytearray()
            while received := connection.recv(65536):
                answer += received
        return bytes(answer)

    def advance_clock(self, secs):
        """Moves the daemon's clock forward."""
        same(self.exchange(b"debugtime %d\r\n" % secs), b"OK\r\n")

    def stats(self, *arguments):
        """The statistics as a dictionary of strings."""
        lines = self.exchange(" ".join(["stats", *arguments]).encode() + b"\r\n").decode()
        return dict(line.split(" ", 2)[1:] for line in lines.splitlines() if line != "END")

    def rewrite(self, name, content):
        """Puts a file of its directory in place of the one that is there, whole."""
        new = self.directory / f"{name}.new"
        new.write_bytes(content.encode() if isinstance(content, str) else content)
        new.rename(self.directory / name)

    def reload(self):
        """Asks for its files to be read again."""
        self._process.send_signal(signal.SIGHUP)

    def await_that(self, condition):
        """Waits until `condition()` is true."""
        deadline = time.monotonic() + ANSWER_SECS
        while not condition():
            assert time.monotonic() < deadline, "what was awaited did not happen"
            try:  # the wait for its end is what paces the loop
                raise RuntimeError(f"the daemon ended with {self._process.wait(0.02)}")
            except subprocess.TimeoutExpired:
                continue

    def log(self):
        """What it has logged so far."""
        return self._log.read_text(errors="replace")

    def stop(self):
        """Asserts that the daemon still serves and that it ends in good order."""
        self.needs.alive(self)
        self._process.terminate()
        same(self._process.wait(STOP_SECS), 0)
        self._process = None

    @contextmanager
    def stopped(self):
        """The daemon is gone within the block, and there again, empty, on its port behind it."""
        self.stop()
        yield
        self.start()

    @contextmanager
    def frozen(self):
        """The daemon is there but does nothing within the block, as behind a network that is cut."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED)  # all its threads stand still only now
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def kill(self):
        """Ends the daemon however it is; does nothing if it has ended or was never started."""
        if self.is_running() and not self.has_died():
            self._process.kill()
            self._process.wait()

    def is_running(self):
        """Whether it has been started and not stopped since."""
        return self._process is not None

    def has_died(self):
        """Whether it has ended without being stopped."""
        return self.is_running() and self._process.poll() is not None

    def obituary(self):
        """How the daemon ended, and the end of its log."""
        last_words = self.log()[-500:]
        return f"the daemon ended with {self._process.returncode}: {last_words}"


def same(got, expected):
    """Asserts equality; the message shows the beginning of both."""
    assert got == expected, f"got {got!r:.200}, expected {expected!r:.200}"


def refused(error, call):
    """Asserts that `call()` raises `error`."""
    try:
        answer = call()
    except error:
        return
    raise AssertionError(f"not refused: {answer!r:.200}")


def path_of(name):
    """Where a program is."""
    path = shutil.which(name)
    if path is None:
        raise Missing(f"{name} not found")
    return path


def run_tool(name, *arguments, expect_exit=0):
    """Runs a program to its end and asserts its exit code, unless that is None.

    Gives its output and its errors."""
    done = subprocess.run(
        [path_of(name), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=CHECK_SECS / 2,
    )
    said = (done.stdout + done.stderr)[-300:]
    assert expect_exit in (None, done.returncode), f"{name} exits {done.returncode}, says {said!r}"
    return done.stdout, done.stderr
