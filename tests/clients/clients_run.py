"""The runner itself: what `--only` needs."""

import sys

from harness import REPOSITORY, check, run_tool


@check
def only_the_packages_of_what_is_asked_for_are_needed(server):
    bare = server.directory / "bare"
    run_tool(sys.executable, "-m", "venv", "--without-pip", bare)
    program, *arguments = server.command
    command = [REPOSITORY / "tests" / "clients" / "run", "--server", program]
    options = [f"--server-args={' '.join(arguments)}", "--python", bare / "bin" / "python"]
    output, _ = run_tool(sys.executable, *command, *options, "--only", "netcat.readme")
    assert output.endswith(b"\n1 passed, 0 failed\n"), output[-300:]
