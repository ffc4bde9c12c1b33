"""A conversation by hand: the command line that README.md shows."""

import re

from harness import REPOSITORY, check, path_of, run_tool, same


@check
def readme_example(server):
    readme = (REPOSITORY / "README.md").read_text()
    (command,) = re.findall(r"^ +(printf .* \| nc) 127\.0\.0\.1 11211$", readme, re.M)
    path_of("nc")
    said, _ = run_tool("sh", "-c", f"{command} 127.0.0.1 {server.port}")
    same(said, b"STORED\r\nVALUE a 0 1\r\n1\r\nEND\r\n")
