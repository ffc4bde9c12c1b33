"""For the checks of docs/patterns: its programs as modules, and as a reader of the pages runs them."""

import logging
import sys

from harness import REPOSITORY, run_tool, same

PATTERNS = REPOSITORY / "docs" / "patterns"
sys.path.insert(0, str(PATTERNS))
# It would log a traceback each time that a node is gone.
logging.getLogger("meta_memcache").addHandler(logging.NullHandler())


def run_program(name, *arguments):
    """Runs one as its page says; what it prints, line by line."""
    output, _ = run_tool(sys.executable, PATTERNS / f"{name}.py", *arguments)
    return output.decode().splitlines()


def ends_with_a_line(server, name):
    """Asserts that one which is nothing without a cache says so, in one line."""
    with server.another() as gone:
        pass
    output, errors = run_tool(
        sys.executable, PATTERNS / f"{name}.py", "--cache", gone.address, expect_exit=1
    )
    same((errors.startswith(b"no cache: "), errors.count(b"\n")), (True, 1))
