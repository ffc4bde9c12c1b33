"""A client in another language, in a process of its own.

It reads lines, `set VALUE KEY...` and `get KEY...`, and answers each with one: the keys that were not
stored, or `KEY=VALUE` of what is found."""

import subprocess
from contextlib import contextmanager

from harness import path_of


class Driver:
    """A client, as sharding.py says what one is."""

    def __init__(self, process):
        self._process = process

    @classmethod
    @contextmanager
    def running(cls, program, *arguments):
        process = subprocess.Popen(
            [path_of(program), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                yield cls(process)
            finally:
                process.kill()

    def set(self, value, keys):
        return set(self._ask("set", value, *keys))

    def get(self, keys):
        return dict(found.split("=") for found in self._ask("get", *keys))

    def _ask(self, *words):
        self._process.stdin.write(" ".join(words) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the client ended with {self._process.wait()}"
        return answer.split()
