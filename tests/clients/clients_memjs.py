"""memjs (npm), the binary protocol for Node.js: its checks are in memjs.js.

Node.js looks for packages where $NODE_PATH says."""

from harness import REPOSITORY, script_checks
from logins import RIGHTS, by_sasl

SCRIPT = REPOSITORY / "tests/clients/memjs.js"
script_checks(__name__, SCRIPT, ["node", SCRIPT])
script_checks(__name__, SCRIPT, ["node", SCRIPT], mark="checkLogin", needs=by_sasl(RIGHTS))
