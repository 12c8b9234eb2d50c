"""A simulated user account for one case: a private HOME, a browser and hallpass.

It inherits nothing from the real environment, and every wait has a time limit.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import pty
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
SECONDS_A_COMMAND = 30


def moved_clock(offset):
    """Environment variables that move a program's clock by `offset`, such as "+2h" or "-30d".

    This preloads the library directly, because the `faketime` program creates a semaphore named after
    its process ID and fails if a killed run left one with that name.
    """
    return {"LD_PRELOAD": "/usr/$LIB/faketime/libfaketimeMT.so.1", "FAKETIME": offset}


class Blocked(Exception):
    """This machine's kernel forbids something that the case needs. Blocked cases are reported and counted."""


@dataclasses.dataclass
class Result:
    """The result of one command."""

    args: list
    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def token(self):
        """The token on stdout, after checking that hallpass succeeded and printed nothing else."""
        assert self.code == 0, f"{self.line} exited with {self.code}\n{self.stderr}"
        assert self.stdout.endswith("\n"), f"the reply has no newline: {self.stdout!r}"
        token = self.stdout[:-1]
        assert token and not any(c.isspace() for c in token), f"not one token: {self.stdout!r}"
        return token

    @property
    def line(self):
        return shlex.join(["hallpass", *self.args])

    def ended(self, code):
        assert self.code == code, f"{self.line} exited with {self.code}, not {code}\n{self.stderr}"
        return self

    def said(self, *words):
        for word in words:
            assert word in self.stderr, f"{word!r} is not in the output of {self.line}:\n{self.stderr}"
        return self


class Sandbox:
    """One person with one HOME. A second sandbox is another person."""

    def __init__(self, program):
        self.program = program
        # Short, because a message bus's socket path is limited to 108 bytes.
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="hp-"))
        self.home = self._folder("home")
        self.runtime = self._folder("run")
        self.tools = self._folder("bin")
        self.browser_log = self.root / "browser.log"
        self._running = []
        self.commands = []  # every Result, for the transcript of a failed case
        self.become = ()  # a prefix for every command of this person
        self.env = {
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "C.UTF-8",
            "HALLPASS_STORE": "file",
            # Ignore the machine's git configuration.
            "GIT_CONFIG_NOSYSTEM": "1",
        }

    def _folder(self, name):
        path = self.root / name
        path.mkdir(mode=0o700)
        return path

    def become_nobody(self):
        """Runs programs as the user `nobody` from now on: quotas don't apply to root."""
        if os.geteuid() != 0:
            return
        nobody = 65534
        self.belongs_to(nobody, ("setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups"))

    def belongs_to(self, uid, become):
        """Gives the sandbox to the user with this uid. The prefix `become` runs programs as that user."""
        # Copies, because that user may not be able to read the originals.
        for program in (self.program, HERE / "browser.py"):
            shutil.copy(program, self.tools / program.name)
        self.program = self.tools / self.program.name
        script = self.tools / "browser"
        command = script.read_text(encoding="utf-8").replace(str(HERE), str(self.tools))
        script.write_text(command.replace(sys.executable, "/usr/bin/python3"), encoding="utf-8")
        self.browser_log.touch()
        for path in (self.root, *self.root.rglob("*")):
            os.chown(path, uid, uid, follow_symlinks=False)
        self.become = become

    def close(self):
        for process in self._running:
            end(process)
        shutil.rmtree(self.root, ignore_errors=True)

    # --- the browser ---

    def browser(self, do="sign-in", user="alice", ca=None, proxy=None):
        """Sets what the person does in the tabs that `$BROWSER` opens from now on."""
        command = [sys.executable, HERE / "browser.py", "--log", self.browser_log, "--do", do, "--as", user]
        command += ["--ca", ca] if ca else []
        command += ["--proxy", proxy] if proxy else []
        self.browser_is(command)

    def browser_is(self, command):
        """Makes `$BROWSER` run this command, with the URL as its last argument."""
        script = self.tools / "browser"
        script.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, command))} "$@"\n', encoding="utf-8")
        script.chmod(0o700)
        self.env["BROWSER"] = str(script)

    def no_browser(self):
        self.env.pop("BROWSER", None)

    def browser_records(self):
        if not self.browser_log.exists():
            return []
        return [json.loads(line) for line in self.browser_log.read_text(encoding="utf-8").splitlines()]

    def tabs(self):
        """The URLs of all tabs that were opened, in order."""
        return [record["opened"] for record in self.browser_records() if "ended" not in record]

    def page(self, limit=10):
        """The last tab's final page, which may still be loading when hallpass exits."""
        return wait_for(
            lambda: next((r for r in reversed(self.browser_records()) if "ended" in r), None),
            limit,
            "no tab reached its final page",
        )

    # --- hallpass ---

    def hallpass(self, *args, limit=SECONDS_A_COMMAND, before=(), **env):
        """Runs hallpass until it exits. `before` is a command prefix, such as strace."""
        return self.hallpass_all(1, *args, limit=limit, before=before, **env)[0]

    def hallpass_all(self, count, *args, limit=SECONDS_A_COMMAND, before=(), **env):
        """Runs hallpass `count` times concurrently, and waits for all of them."""
        args = [str(arg) for arg in args]
        started = time.monotonic()
        processes = []
        for _ in range(count):
            # Files instead of pipes, so that a process can exit before its output is read.
            out, err = (tempfile.TemporaryFile(mode="w+", dir=self.root) for _ in range(2))
            process = subprocess.Popen(
                [*self.become, *before, self.program, *args],
                env={**self.env, **env},
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
            self._running.append(process)
            processes.append((process, out, err))
        results = []
        for process, out, err in processes:
            try:
                code = process.wait(max(0.1, started + limit - time.monotonic()))
                late = ""
            except subprocess.TimeoutExpired:
                end(process)
                code, late = process.returncode, f"\n(ended by the tests after {limit} s)"
            seconds = time.monotonic() - started
            out.seek(0), err.seek(0)
            result = Result(args, code, out.read(), err.read() + late, seconds)
            out.close(), err.close()
            self.commands.append(result)
            results.append(result)
        return results

    def at_a_terminal(self, *args, **env):
        """Starts hallpass at a terminal, and returns the `Terminal`."""
        terminal = Terminal(self, [str(arg) for arg in args], {**self.env, **env})
        self._running.append(terminal.process)
        return terminal

    # --- files and output ---

    def files(self):
        return [path for path in self.home.rglob("*") if path.is_file()]

    def check_files_do_not_contain(self, values):
        """Checks that no file under HOME contains one of these (kind, value) pairs."""
        for path in self.files():
            content = path.read_bytes()
            for kind, value in values:
                assert value.encode() not in content, f"{path.relative_to(self.home)} contains an unencrypted {kind}"

    def check_stderr_does_not_contain(self, values):
        """Checks that no command printed one of these (kind, value) pairs on stderr."""
        for command in self.commands:
            for kind, value in values:
                assert value not in command.stderr, f"{command.line} printed a {kind} on stderr"


class Terminal:
    """Runs hallpass on a pseudo-terminal: stdin, stderr and /dev/tty are the terminal, stdout is a pipe.
    With `program=None`, the arguments are the whole command."""

    def __init__(self, sandbox, args, env, program=True):
        self.sandbox, self.args = sandbox, args
        self.started = time.monotonic()
        self.shown = ""
        self.stdout = ""
        master, slave = pty.openpty()
        # The wrapper sets the controlling terminal, which only a session leader can do.
        become = "import fcntl,os,sys,termios; fcntl.ioctl(0,termios.TIOCSCTTY,0); os.execv(sys.argv[1],sys.argv[1:])"
        self.process = subprocess.Popen(
            [sys.executable, "-c", become, *([str(sandbox.program)] if program else []), *map(str, args)],
            env={**env, "TERM": "xterm"},
            cwd=sandbox.home,
            stdin=slave,
            stderr=slave,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        os.close(slave)
        self.keys = master
        self._readers = [threading.Thread(target=self._read_screen), threading.Thread(target=self._read_stdout)]
        for reader in self._readers:
            reader.daemon = True
            reader.start()

    def _read_screen(self):
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            while chunk := os.read(self.keys, 4096):
                self.shown += chunk.decode("utf-8", "replace").replace("\r\n", "\n")

    def _read_stdout(self):
        self.stdout = self.process.stdout.read()

    def wait_for(self, pattern, limit=SECONDS_A_COMMAND):
        """Waits until a regular expression matches the terminal's output."""
        return wait_for(
            lambda: pattern.search(self.shown), limit, lambda: f"{pattern.pattern!r} was not shown:\n{self.shown}"
        )

    def type(self, text):
        os.write(self.keys, text.encode())

    def end(self, limit=SECONDS_A_COMMAND):
        try:
            code = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            end(self.process)
            code = self.process.returncode
            self.shown += f"\n(ended by the tests after {limit} s)"
        for reader in self._readers:
            reader.join(5)
        result = Result(self.args, code, self.stdout, self.shown, time.monotonic() - self.started)
        self.sandbox.commands.append(result)
        return result


def end(process):
    """Stops a process that the tests started, and its process group."""
    if process.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(3)


def wait_for(condition, limit, otherwise):
    """Polls `condition()` until it returns a true value, and returns that value."""
    deadline = time.monotonic() + limit
    while True:
        if found := condition():
            return found
        if time.monotonic() > deadline:
            raise AssertionError(otherwise() if callable(otherwise) else otherwise)
        time.sleep(0.02)
