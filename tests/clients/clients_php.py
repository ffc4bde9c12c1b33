"""PHP's memcached extension (Debian: php-memcached): its checks are in memcached.php."""

from harness import REPOSITORY, script_checks
from logins import RIGHTS, by_sasl

SCRIPT = REPOSITORY / "tests/clients/memcached.php"
for protocol in ("text", "binary"):
    script_checks(__name__, SCRIPT, ["php", SCRIPT, protocol], suffix=f"_{protocol}")
BINARY = ["php", SCRIPT, "binary"]
script_checks(__name__, SCRIPT, BINARY, mark="checkLogin", needs=by_sasl(RIGHTS))
