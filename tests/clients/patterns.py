"""For the checks of docs/patterns: its programs as modules, and as a reader of the pages runs them."""

import sys

from harness import REPOSITORY, run_tool

PATTERNS = REPOSITORY / "docs" / "patterns"
sys.path.insert(0, str(PATTERNS))


def run_program(name, *arguments):
    """Runs one as its page says; what it prints, line by line."""
    output, _ = run_tool(sys.executable, PATTERNS / f"{name}.py", *arguments)
    return output.decode().splitlines()
