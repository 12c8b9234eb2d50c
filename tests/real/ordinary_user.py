"""An unprivileged user created for one case, with an `/etc` that only the case's programs see."""

import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile

from sandbox import Blocked, end, wait_for

SECONDS_TO_START = 10

# A login session: a session keyring that is linked to the user keyring, as pam_keyinit sets it up.
LOGIN = """#!/bin/sh
keyctl link @u @s || exit 125
exec "$@"
"""


class OrdinaryUser:
    """Gives a sandbox to a new user. The real `/etc` is unchanged: a private mount namespace has a copy."""

    def __init__(self, sandbox):
        if os.geteuid() != 0:
            raise Blocked("only root can create a user")
        self.sandbox = sandbox
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="hp-etc-"))
        self.etc = self._folder / "etc"
        shutil.copytree("/etc", self.etc, symlinks=True, ignore=shutil.ignore_patterns("hallpass"))
        self.uid = unused_uid()
        self.add_account("hp-case", self.uid, sandbox.home)
        self._append("group", f"hp-case:x:{self.uid}:")
        for file in ("subuid", "subgid"):
            self._append(file, f"hp-case:{1 << 24}:65536")
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c",
             f"mount --bind {self.etc} /etc && echo mounted && exec sleep infinity"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        if self._holder.stdout.readline() != "mounted\n":
            end(self._holder)
            shutil.rmtree(self._folder, ignore_errors=True)
            raise Blocked(f"unshare: {self._holder.stderr.read().strip()}")
        login = sandbox.tools / "login"
        login.write_text(LOGIN, encoding="utf-8")
        login.chmod(0o755)
        sandbox.env["TMPDIR"] = str(sandbox.runtime)
        enter = ("nsenter", f"--target={self._holder.pid}", "--mount", f"--wdns={sandbox.home}")
        become = ("setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups")
        sandbox.belongs_to(self.uid, (*enter, *become, "keyctl", "session", "-", str(login)))

    def add_account(self, name, uid, home):
        """Adds an account with this name."""
        self._append("passwd", f"{name}:x:{uid}:{uid}::{home}:/bin/sh")

    def _append(self, file, line):
        with open(self.etc / file, "a", encoding="utf-8") as text:
            text.write(f"{line}\n")

    def write_etc(self, name, text):
        """Writes a file of root's to the `/etc` that the case's programs see."""
        path = self.etc / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o644)

    def owns(self, *paths):
        for path in paths:
            os.chown(path, self.uid, self.uid, follow_symlinks=False)

    def needs_user_namespaces(self):
        tried = subprocess.run(
            [*self.sandbox.become, "podman", "unshare", "true"],
            env=self.sandbox.env, cwd=self.sandbox.home, capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        if tried.returncode != 0:
            raise Blocked(f"podman unshare: {tried.stderr.strip().splitlines()[-1]}")

    def close(self):
        # podman leaves a process running that keeps its user namespace open.
        with contextlib.suppress(OSError, ValueError):
            pause = self.sandbox.runtime / "libpod/tmp/pause.pid"
            pid = int(pause.read_text(encoding="ascii"))
            if pathlib.Path(f"/proc/{pid}").stat().st_uid == self.uid:
                os.kill(pid, signal.SIGKILL)
                wait_for(lambda: not pathlib.Path(f"/proc/{pid}").exists(), SECONDS_TO_START, "podman's pause process did not exit")
        end(self._holder)
        shutil.rmtree(self._folder, ignore_errors=True)


def unused_uid():
    """A uid that no account or process uses."""
    taken = {account.pw_uid for account in pwd.getpwall()}
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            taken.add(process.stat().st_uid)
    return next(uid for uid in range(31000, 32000) if uid not in taken)
