"""A real Secret Service: gnome-keyring on a message bus of its own."""

import os
import subprocess
import threading

from sandbox import end, wait_for

# The shell stays the bus's child and waits for its stdin to close; dbus-run-session then ends the
# bus, and the keyring with it. The pass phrase comes by stdin, as a login's PAM module gives it.
INSIDE = """
printf %s "$PASS_PHRASE" | gnome-keyring-daemon --unlock --components=secrets >&2 || exit 1
echo "$DBUS_SESSION_BUS_ADDRESS"
cat >/dev/null
"""
SECONDS_TO_START = 15


class SecretService:
    """An unlocked login collection, for every program of the sandbox."""

    def __init__(self, sandbox):
        self._sandbox = sandbox
        self._log = open(sandbox.root / "keyring.log", "a", encoding="utf-8")
        self._process = subprocess.Popen(
            ["dbus-run-session", "--", "sh", "-c", INSIDE],
            env={**sandbox.env, "PASS_PHRASE": "correct horse"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )
        found = []
        reader = threading.Thread(target=lambda: found.append(self._process.stdout.readline()), daemon=True)
        reader.start()
        reader.join(SECONDS_TO_START)
        if not found or not found[0].strip():
            self.close()
            raise AssertionError("gnome-keyring did not start: see keyring.log")
        sandbox.env["DBUS_SESSION_BUS_ADDRESS"] = found[0].strip()
        wait_for(self._has_a_collection, SECONDS_TO_START, "the keyring has no unlocked collection")

    def close(self):
        self._sandbox.env.pop("DBUS_SESSION_BUS_ADDRESS", None)
        self._process.stdin.close()
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:
            end(self._process)
        self._log.close()

    def _property(self, path, interface, name):
        asked = subprocess.run(
            ["dbus-send", "--session", "--print-reply", "--reply-timeout=3000",
             "--dest=org.freedesktop.secrets", path, "org.freedesktop.DBus.Properties.Get",
             f"string:{interface}", f"string:{name}"],
            env={**os.environ, **self._sandbox.env}, capture_output=True, text=True, timeout=10,
        )  # fmt: skip
        return asked.stdout if asked.returncode == 0 else ""

    def _has_a_collection(self):
        locked = self._property(
            "/org/freedesktop/secrets/aliases/default", "org.freedesktop.Secret.Collection", "Locked"
        )
        return "boolean false" in locked

    def items(self):
        """The object paths of what is kept in the default collection."""
        reply = self._property(
            "/org/freedesktop/secrets/aliases/default", "org.freedesktop.Secret.Collection", "Items"
        )
        return [line.split('"')[1] for line in reply.splitlines() if "object path" in line]
