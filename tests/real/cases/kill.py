"""Injects a fault into each system call on the data folder, during every operation that writes there.

After each fault, no record is half-written, other records are unchanged, no refresh token was sent
twice, and the next run answers or signs in.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import queue
import shutil
import subprocess

import faults
from cases.sign_in_process import finish, leave_the_tab_open, sign_in_processes
from rig import case, provider_flags
from sandbox import Blocked, Result, end, wait_for

WORKERS = 2
ERRORS = ("ENOSPC", "EIO", "EACCES", "EROFS")
# Where to look for the call relative to its number in the traced run: the number of writes to pipes
# and sockets varies slightly from run to run.
OFFSETS = (0, 0, -1, 1, -2, 2, 0, -1, 1, 0)
OTHER = ("--account", "other")
MINE = ("--account", "default")


class Worker:
    """Has its own provider and sandbox, so that each worker sees only its own requests."""

    def __init__(self, rig, number):
        self.sandbox = rig.another_sandbox()
        self.sandbox.browser()
        self.provider = rig.provider_beside(number)
        self.data = self.sandbox.home / ".local/share/hallpass"
        self.other_token = None
        self.template = self.sandbox.root / "template"
        self.trace = self.sandbox.root / "trace"

    def run(self, *args, before=()):
        verb, *rest = args
        return self.sandbox.hallpass(verb, *rest, *provider_flags(self.provider), before=before)

    def run_tracing_sign_in_process(self, *args, before):
        """Like `run`, but attaches `before` (strace) to the sign-in process just before the person
        signs in. If that process dies, its caller starts another one."""
        verb, *rest = args
        opened = len(self.sandbox.tabs())
        leave_the_tab_open(self.sandbox)
        out, err = self.sandbox.root / "out", self.sandbox.root / "err"
        with open(out, "w") as stdout, open(err, "w") as stderr:
            caller = subprocess.Popen(
                [self.sandbox.program, verb, *rest, *provider_flags(self.provider)], env=self.sandbox.env, cwd=self.sandbox.home,
                stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True,
            )  # fmt: skip
        self.sandbox._running.append(caller)
        url = wait_for(lambda: self.sandbox.tabs()[opened:], 20, "no tab was opened")[0]
        (process,) = sign_in_processes(self.sandbox)
        as_root = () if os.geteuid() == 0 else ("sudo", "-n")
        tracer = subprocess.Popen([*as_root, *before, "-p", str(process)], stderr=subprocess.DEVNULL)
        self.sandbox._running.append(tracer)
        status = pathlib.Path(f"/proc/{process}/status")
        wait_for(lambda: "TracerPid:\t0\n" not in status.read_text(encoding="utf-8"), 10, "strace did not attach")
        self.sandbox.browser()
        finish(self.sandbox, url)
        try:
            code = caller.wait(30)
        except subprocess.TimeoutExpired:
            end(caller)
            code = None
        wait_for(lambda: not sign_in_processes(self.sandbox), 20, "the sign-in process did not exit")
        tracer.wait(10)
        return Result([*args], code, out.read_text(), err.read_text(), 0)

    # --- states before the fault ---

    def nothing(self):
        shutil.rmtree(self.data, ignore_errors=True)
        for folder in (self.data.parent, self.data.parent.parent):
            with contextlib.suppress(OSError):  # a keyring stores files there too
                folder.rmdir()

    def other_account(self):
        """A second account's session, which must stay unchanged."""
        if self.other_token is None:
            self.nothing()
            self.run("login", *OTHER).ended(0)
            self.other_token = self.run("get-token", *OTHER).token
            shutil.copytree(self.data, self.template)
        self.nothing()
        shutil.copytree(self.template, self.data)

    def both_accounts(self):
        self.other_account()
        self.run("get-token", *MINE).token

    # --- checks after the fault ---

    def records(self, data=None):
        folder = (data or self.data) / "sessions"
        found = folder.iterdir() if folder.exists() else []
        return {path.name: path.read_bytes() for path in found if len(path.name) == 64}

    def check(self, before, has_other):
        """Checks that every record can be read, and that the other account's record is unchanged."""
        status = json.loads(self.sandbox.hallpass("status", "--json").ended(0).stdout)
        assert status["unreadable"] == [], status["unreadable"]
        if has_other:
            now = self.records()
            for name in self.records(self.template):
                assert now.get(name) == before[name], "the other account's record changed"
            assert self.run("get-token", "--interactive", "never", *OTHER).token == self.other_token


Operation = collections.namedtuple("Operation", "name prepare args next has_other run", defaults=[Worker.run])

FIRST_SIGN_IN = Operation("first sign-in", Worker.nothing, ("get-token", *MINE), ("get-token", *MINE), False)
KEY_IN_KEYRING = FIRST_SIGN_IN._replace(name="first sign-in with an OS keyring")
SIGN_IN = Operation("sign-in", Worker.other_account, ("get-token", *MINE), ("get-token", *MINE), True)
SIGN_IN_PROCESS = SIGN_IN._replace(name="sign-in process", run=Worker.run_tracing_sign_in_process)
REFRESH = Operation(
    "refresh", Worker.both_accounts, ("get-token", "--force-refresh", *MINE), ("get-token", "--force-refresh", *MINE), True
)
LOGOUT = Operation("logout", Worker.both_accounts, ("logout", *MINE), ("get-token", *MINE), True)


def cells_of(operation, worker, most_errors):
    """Traces a run without faults, and yields a cell for each call on the folder and each fault."""
    operation.prepare(worker)
    operation.run(worker, *operation.args, before=faults.watching(worker.trace)).ended(0)
    turn = itertools.cycle(ERRORS)
    reads_seen = set()
    for site in faults.sites(worker.trace, worker.data):
        if "<sign-in>" in site.what and site.reads:
            # How often a caller looks for the sign-in process's socket varies from run to run.
            continue
        if site.reads:
            # A read changes nothing, so a kill here equals a kill at the next change. Which error
            # a read fails with makes no difference, so one is enough.
            if site.what not in reads_seen:
                yield operation, site, next(turn)
            reads_seen.add(site.what)
            continue
        yield operation, site, faults.KILL
        for error in itertools.islice(turn, most_errors):
            yield operation, site, error


def run_cell(worker, cell):
    operation, site, fault = cell
    for offset in OFFSETS:
        aim = dataclasses.replace(site, number=max(1, site.number + offset))
        operation.prepare(worker)
        before = worker.records()
        worker.provider.new_requests()
        met = operation.run(worker, *operation.args, before=faults.injecting(worker.trace, aim, fault))
        if faults.was_injected(worker.trace, site, worker.data, fault):
            break
    else:
        raise AssertionError("the fault was injected into another call")
    sent = [r["params"].get("refresh_token") for r in worker.provider.new_requests() if r["path"] == "/token"]
    sent = [token for token in sent if token]
    assert len(sent) == len(set(sent)), "a refresh token was sent twice"
    if operation is SIGN_IN_PROCESS and fault == faults.KILL:
        assert met.code == 0, f"its caller did not start over but exited with {met.code}\n{met.stderr}"
    elif fault == faults.KILL:
        assert met.code == -9, f"it was killed but exited with {met.code}"
    else:
        assert met.code in (0, 1), f"it ended with {met.code}\n{met.stderr}"
        if met.code == 1:
            met.said("hallpass: error:", "hint:")
            assert met.stderr.count("hallpass: error:") == 1
    if operation is LOGOUT:
        # Either the session is still here, or its tokens were revoked, or hallpass was killed.
        gone = len(worker.records()) < len(before)
        if gone and fault != faults.KILL:
            paths = [r["path"] for r in worker.provider.new_requests()] or ["/token/revocation"]
            assert "/token/revocation" in paths
    worker.check(before, operation.has_other)
    token = worker.run(*operation.next).token
    assert worker.provider.introspect(token)["active"], "the next run returned an inactive token"


def run_matrix(rig, operations, about="", prepare=lambda worker: None):
    workers = [Worker(rig, number) for number in range(WORKERS)]
    for worker in workers:
        prepare(worker)
    cells = [cell for operation, errors in operations for cell in cells_of(operation, workers[0], errors)]
    cells = [cell for cell in cells if about in cell[1].what]
    waiting, failed = queue.SimpleQueue(), []
    for cell in cells:
        waiting.put(cell)

    def work(worker):
        count = 0
        with contextlib.suppress(queue.Empty):
            while True:
                cell = waiting.get_nowait()
                count += 1
                try:
                    run_cell(worker, cell)
                except Exception as error:  # noqa: BLE001: go on with the next cell
                    operation, site, fault = cell
                    failed.append(f"{operation.name}: {fault} at {site}: {error}")
        return count

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        try:
            ran = sum(pool.map(work, workers))
        finally:  # also when the case times out
            with contextlib.suppress(queue.Empty):
                while True:
                    waiting.get_nowait()
    for name in dict.fromkeys(operation.name for operation, _, _ in cells):
        of_it = [site for operation, site, _ in cells if operation.name == name]
        print(f"  {name}: {len(of_it)} cells at {len(set(of_it))} calls", flush=True)
    print(f"  {ran} cells ran, {ran - len(failed)} passed", flush=True)
    assert ran == len(cells)
    assert not failed, "\n".join([f"{len(failed)} of {ran} cells failed", *failed])


@case(limit=240)
def a_fault_in_any_call_of_a_sign_in_loses_nothing(rig):
    run_matrix(rig, [(FIRST_SIGN_IN, 2), (SIGN_IN, 1)])


@case(limit=240)
def a_fault_in_any_call_of_the_sign_in_process_loses_nothing(rig):
    run_matrix(rig, [(SIGN_IN_PROCESS, 1)])


@case(limit=240)
def a_fault_in_any_call_of_a_refresh_or_logout_loses_nothing(rig):
    run_matrix(rig, [(REFRESH, len(ERRORS)), (LOGOUT, len(ERRORS))])


@case(limit=240)
def a_fault_while_creating_the_key_in_a_keyring_loses_nothing(rig):
    def in_keyring(worker):
        rig.secret_service_of(worker.sandbox)
        worker.sandbox.env.update(HALLPASS_STORE="keyring", HALLPASS_KERNEL_KEYRING_TIMEOUT="0")

    run_matrix(rig, [(KEY_IN_KEYRING, len(ERRORS))], about="key", prepare=in_keyring)


@contextlib.contextmanager
def small_disk(rig):
    """Mounts a small disk for the data folder that can be filled to the last byte."""
    folder = rig.sandbox.home / ".local/share/hallpass"
    folder.mkdir(mode=0o700, parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", folder],
        capture_output=True, text=True, timeout=10,
    )  # fmt: skip
    if mounted.returncode != 0:
        raise Blocked(f"could not mount a disk: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], timeout=10, check=True)


def fill(folder):
    """Uses up all free space, and returns the file that occupies it."""
    filler = folder / "filler"
    with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return filler


@case
def a_full_disk_keeps_the_session_and_sends_no_refresh_token(rig):
    provider = rig.provider()
    with small_disk(rig) as folder:
        token = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
        provider.new_requests()
        filler = fill(folder)
        for failed in rig.sandbox.hallpass_all(20, "get-token", "--force-refresh", *provider_flags(provider), limit=60):
            failed.ended(1).said("No space left", "hint:", "df ")
        assert provider.new_grants() == [], "a refresh token was sent without space to store its successor"
        assert rig.sandbox.hallpass("get-token", *provider_flags(provider)).token == token
        filler.unlink()
        fresh = rig.sandbox.hallpass("get-token", "--force-refresh", *provider_flags(provider)).token
        assert fresh != token
        assert provider.introspect(fresh)["active"]
        assert provider.new_grants() == [("refresh_token", 200)]
    assert len(rig.sandbox.tabs()) == 1


@case
def a_full_disk_prevents_prompts_and_does_not_fill_the_keyring(rig):
    provider = rig.provider()
    keyring = rig.secret_service()
    rig.sandbox.env["HALLPASS_STORE"] = "keyring"
    before = set(keyring.items())
    with small_disk(rig) as folder:
        filler = fill(folder)
        for _ in range(3):
            rig.sandbox.hallpass("get-token", *provider_flags(provider)).ended(1).said("No space left", "hint:")
        assert rig.sandbox.tabs() == []
        assert set(keyring.items()) == before, "orphaned keys were left in the keyring"
        filler.unlink()
        rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
        assert len(set(keyring.items()) - before) == 1
