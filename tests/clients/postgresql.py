"""A PostgreSQL of a run's own: a cluster in a temporary directory, on a Unix socket in it and nowhere else."""

import atexit
import functools
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

from harness import START_SECS, STOP_SECS, Missing

# Nothing of it is to outlive the run.
UNSAFE_AND_FAST = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]


@functools.cache
def url():
    """Starts it, once; the end of the run stops it."""
    directory = tempfile.mkdtemp(prefix="nuthatch-postgresql-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    as_user = []
    if os.geteuid() == 0:  # as which PostgreSQL does not run
        nobody = pwd.getpwnam("nobody")
        os.chown(directory, nobody.pw_uid, nobody.pw_gid)
        as_user = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    # Should the run be killed, so is the cluster: fast, by SIGINT.
    run = ["setpriv", *as_user, "--pdeathsig=INT"]
    data, programs = f"{directory}/data", _programs()
    quick = ["--no-sync", "--auth=trust", "--username=test", "--encoding=UTF8", "--no-locale"]
    subprocess.run(
        [*run, f"{programs}/initdb", *quick, f"--pgdata={data}"],
        cwd=directory, check=True, capture_output=True, timeout=START_SECS * 3,
    )  # fmt: skip
    settings = ["listen_addresses=", f"unix_socket_directories={directory}", *UNSAFE_AND_FAST]
    with open(f"{directory}/log", "wb") as log:
        server = subprocess.Popen(
            [*run, f"{programs}/postgres", "-D", data, *(f"--{each}" for each in settings)],
            cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    atexit.register(_stop, server)
    _await_ready(server, f"{data}/postmaster.pid")
    return f"postgresql:///postgres?host={directory}&user=test"


def _programs():
    """The newest one's directory: Debian has them out of PATH."""
    found = glob.glob("/usr/lib/postgresql/*/bin/initdb")
    newest = max(found, key=lambda path: int(path.split("/")[-3]), default=shutil.which("initdb"))
    if newest is None:
        raise Missing("initdb of PostgreSQL not found")
    return os.path.dirname(newest)


def _await_ready(server, pid_file):
    """Its last line says when connections are served."""
    deadline = time.monotonic() + START_SECS
    while time.monotonic() < deadline:
        if os.path.exists(pid_file) and "ready" in open(pid_file).read().splitlines()[-1]:
            return
        try:  # the wait for its end is what paces the loop
            raise RuntimeError(f"PostgreSQL ended with {server.wait(0.02)}")
        except subprocess.TimeoutExpired:
            continue
    raise TimeoutError(f"PostgreSQL not ready after {START_SECS} s")


def _stop(server):
    server.send_signal(signal.SIGINT)
    try:
        server.wait(STOP_SECS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
