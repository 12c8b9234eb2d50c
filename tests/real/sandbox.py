"""A person's machine for the length of one case: a HOME of its own, a browser, hallpass.

Nothing of the real environment comes in, and every wait has a limit.
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
    """The environment of a program whose clock is `offset` ahead ("+2h") or behind ("-30d").

    The library alone, as the dynamic linker finds it: the `faketime` program creates a semaphore
    named after its process ID, and fails if a killed run left one of that name behind.
    """
    return {"LD_PRELOAD": "/usr/$LIB/faketime/libfaketimeMT.so.1", "FAKETIME": offset}


class Blocked(Exception):
    """The kernel of this machine forbids what the case needs: said and counted, never skipped."""


@dataclasses.dataclass
class Result:
    """How one command ended."""

    args: list
    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def token(self):
        """The reply of the raw format: the token and a newline, and nothing else."""
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
            assert word in self.stderr, f"{word!r} is not in what {self.line} said:\n{self.stderr}"
        return self


class Sandbox:
    """One HOME. A second one (`Sandbox(...)` again) is another person."""

    def __init__(self, program):
        self.program = program
        # Short, for the socket of a message bus has to fit into 108 bytes.
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="hp-"))
        self.home = self._folder("home")
        self.runtime = self._folder("run")
        self.tools = self._folder("bin")
        self.browser_log = self.root / "browser.log"
        self._running = []
        self.commands = []  # every Result, for the report of a failed case
        self.become = ()  # what starts every program of this person
        self.env = {
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "C.UTF-8",
            "HALLPASS_STORE": "file",
            # The machine's own git configuration stays out.
            "GIT_CONFIG_NOSYSTEM": "1",
        }

    def _folder(self, name):
        path = self.root / name
        path.mkdir(mode=0o700)
        return path

    def belongs_to_nobody(self):
        """From now on the person is `nobody`, to whom quotas apply, where it would be root."""
        if os.geteuid() != 0:
            return
        nobody = 65534
        self.belongs_to(nobody, ("setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups"))

    def belongs_to(self, uid, become):
        """From now on the person is the user with this uid, as whom `become` starts programs."""
        # Copies, for the tests themselves may lie where nobody else can look.
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
        """From now on `$BROWSER` does this with what it is handed."""
        command = [sys.executable, HERE / "browser.py", "--log", self.browser_log, "--do", do, "--as", user]
        command += ["--ca", ca] if ca else []
        command += ["--proxy", proxy] if proxy else []
        self.browser_is(command)

    def browser_is(self, command):
        """From now on `$BROWSER` starts this, with the URL as its last argument."""
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
        """The URLs that were opened, one for each start of the browser."""
        return [record["opened"] for record in self.browser_records() if "ended" not in record]

    def page(self, limit=10):
        """What the last tab showed in the end. It may still be loading when hallpass has answered."""
        return wait_for(
            lambda: next((r for r in reversed(self.browser_records()) if "ended" in r), None),
            limit,
            "no tab came to its last page",
        )

    # --- hallpass ---

    def hallpass(self, *args, limit=SECONDS_A_COMMAND, before=(), **env):
        """Runs hallpass to its end. `before` is a command that starts it, such as strace."""
        return self.hallpass_all(1, *args, limit=limit, before=before, **env)[0]

    def hallpass_all(self, count, *args, limit=SECONDS_A_COMMAND, before=(), **env):
        """Starts hallpass `count` times at once and waits for all."""
        args = [str(arg) for arg in args]
        started = time.monotonic()
        processes = []
        for _ in range(count):
            # Files and not pipes: nobody has to read them for a process to end.
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
        """Starts hallpass with a terminal, as a person does; returns a `Terminal`."""
        terminal = Terminal(self, [str(arg) for arg in args], {**self.env, **env})
        self._running.append(terminal.process)
        return terminal

    # --- what is left behind ---

    def files(self):
        return [path for path in self.home.rglob("*") if path.is_file()]

    def has_in_no_file(self, values):
        """No file under HOME holds one of these byte strings."""
        for path in self.files():
            content = path.read_bytes()
            for kind, value in values:
                assert value.encode() not in content, f"{path.relative_to(self.home)} holds a {kind} in plain"

    def has_in_no_message(self, values):
        """Nothing that was said on stderr holds one of these."""
        for command in self.commands:
            for kind, value in values:
                assert value not in command.stderr, f"{command.line} said a {kind} on stderr"


class Terminal:
    """hallpass on a pseudo-terminal: stdin, stderr and /dev/tty are it, stdout is the tool's pipe.
    With `program=None` the arguments are a whole command."""

    def __init__(self, sandbox, args, env, program=True):
        self.sandbox, self.args = sandbox, args
        self.started = time.monotonic()
        self.shown = ""
        self.stdout = ""
        master, slave = pty.openpty()
        # The wrapper makes the terminal the controlling one, which only a session's leader can.
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
        with contextlib.suppress(OSError):  # EIO: the other side is gone
            while chunk := os.read(self.keys, 4096):
                self.shown += chunk.decode("utf-8", "replace").replace("\r\n", "\n")

    def _read_stdout(self):
        self.stdout = self.process.stdout.read()

    def wait_for(self, pattern, limit=SECONDS_A_COMMAND):
        """Waits until a regular expression matches what is on the screen."""
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
    """Ends a process that was started here, and its group, by id."""
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
    """Polls until `condition()` is true and returns what it gave."""
    deadline = time.monotonic() + limit
    while True:
        if found := condition():
            return found
        if time.monotonic() > deadline:
            raise AssertionError(otherwise() if callable(otherwise) else otherwise)
        time.sleep(0.02)
