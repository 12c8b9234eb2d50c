"""Names that mean this machine for one command only."""

import os
import subprocess

from sandbox import Blocked


def knowing(sandbox, *names):
    """What starts a command for which these names are this machine's."""
    hosts = sandbox.root / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {' '.join(names)}\n", encoding="utf-8")
    apart = ["unshare", *(["--map-root-user"] if os.geteuid() else []), "--mount", "sh", "-c",
             'mount --bind "$0" /etc/hosts && exec "$@"', str(hosts)]  # fmt: skip
    tried = subprocess.run([*apart, "true"], capture_output=True, text=True, timeout=20)
    if tried.returncode != 0:
        raise Blocked(f"unshare: {tried.stderr.strip()}")
    return apart
