"""A sign-in outlives the tool that started it: real git, real terminals, a real keyring."""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys

from cases.git import Desk
from rig import case, provider_flags
from sandbox import HERE, wait_for

CTRL_C = "\x03"
CALLERS = 100


def leave_the_tab_open(sandbox):
    """From now on the browser opens the page, and the person does nothing."""
    sandbox.browser(do="close")


def finish(sandbox, url):
    """The person signs in, in the open tab."""
    subprocess.run(
        [sys.executable, HERE / "browser.py", "--do", "sign-in", "--as", "alice", url],
        timeout=30, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def the_tab(sandbox):
    return wait_for(sandbox.tabs, 20, "no tab was opened")[0]


def sign_in_processes(sandbox):
    """The IDs of this person's sign-in processes."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"sign-in-process" not in (folder / "cmdline").read_bytes():
                continue
            if f"HOME={sandbox.home}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def signed_in(sandbox, *args):
    """Waits until a session is stored, and returns its access token."""
    def answer():
        result = sandbox.hallpass("get-token", *args, "--interactive", "never")
        return result.token if result.code == 0 else None

    return wait_for(answer, 20, "no session was stored")


@case
def a_sign_in_survives_killing_the_git_that_started_it(rig):
    desk = Desk(rig)
    leave_the_tab_open(rig.sandbox)
    clone = desk.start("clone", "--quiet", f"{desk.server.url}/one.git", "work")
    rig.sandbox._running.append(clone)
    url = the_tab(rig.sandbox)
    os.killpg(clone.pid, signal.SIGKILL)
    clone.wait(10)
    finish(rig.sandbox, url)
    signed_in(rig.sandbox, "corp")
    desk.clone(to="again")
    assert len(rig.sandbox.tabs()) == 1, "a second tab was opened"
    assert desk.provider.new_grants() == [("authorization_code", 200)]


@case
def a_waiting_git_gets_the_token_of_a_sign_in_that_another_git_started(rig):
    desk = Desk(rig)
    leave_the_tab_open(rig.sandbox)
    first = desk.start("ls-remote", f"{desk.server.url}/one.git")
    rig.sandbox._running.append(first)
    url = the_tab(rig.sandbox)
    second = desk.start("ls-remote", f"{desk.server.url}/one.git")
    rig.sandbox._running.append(second)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait(10)
    finish(rig.sandbox, url)
    out, err = second.communicate(timeout=30)
    assert second.returncode == 0 and "refs/heads/main" in out, err
    assert len(rig.sandbox.tabs()) == 1


@case
def ctrl_c_in_the_only_caller_cancels_the_sign_in(rig):
    provider = rig.provider()
    leave_the_tab_open(rig.sandbox)
    terminal = rig.sandbox.at_a_terminal("get-token", *provider_flags(provider))
    the_tab(rig.sandbox)
    (process,) = sign_in_processes(rig.sandbox)
    terminal.type(CTRL_C)
    assert terminal.end(10).code != 0
    wait_for(lambda: not pathlib.Path(f"/proc/{process}").exists(), 10, "the sign-in process is still running")
    rig.sandbox.browser()
    rig.sandbox.hallpass("login", *provider_flags(provider)).ended(0)
    assert provider.new_grants() == [("authorization_code", 200)]


@case
def ctrl_c_in_one_of_two_callers_does_not_cancel_the_sign_in(rig):
    provider = rig.provider()
    leave_the_tab_open(rig.sandbox)
    first = rig.sandbox.at_a_terminal("get-token", *provider_flags(provider))
    url = the_tab(rig.sandbox)
    second = rig.sandbox.at_a_terminal("get-token", *provider_flags(provider))
    second.wait_for(re.compile(re.escape(url)))  # it has joined the sign-in
    first.type(CTRL_C)
    assert first.end(10).code != 0
    finish(rig.sandbox, url)
    token = second.end(20).token
    assert provider.introspect(token)["active"]
    assert len(rig.sandbox.tabs()) == 1


@case
def the_sign_in_process_shows_no_secret_and_has_no_terminal(rig):
    provider = rig.provider()
    leave_the_tab_open(rig.sandbox)
    terminal = rig.sandbox.at_a_terminal("get-token", *provider_flags(provider))
    url = the_tab(rig.sandbox)
    (process,) = sign_in_processes(rig.sandbox)
    folder = pathlib.Path(f"/proc/{process}")
    arguments, environment = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
    _, fields = (folder / "stat").read_text(encoding="utf-8").rsplit(") ", 1)
    _, _, group, session, controlling_terminal, *_ = fields.split()
    assert group == session == str(process) and controlling_terminal == "0"
    finish(rig.sandbox, url)
    terminal.end(20).token
    for kind, value in provider.secrets():
        assert value.encode() not in arguments + environment, f"the process showed a {kind}"


@case
def a_hundred_callers_share_one_sign_in(rig):
    provider = rig.provider()
    results = rig.sandbox.hallpass_all(CALLERS, "get-token", *provider_flags(provider), limit=80)
    assert len({result.token for result in results}) == 1
    assert len(rig.sandbox.tabs()) == 1
    assert provider.new_grants() == [("authorization_code", 200)]
    assert sign_in_processes(rig.sandbox) == []


@case
def the_sign_in_process_does_not_hold_its_callers_pipes_open(rig):
    provider = rig.provider()
    leave_the_tab_open(rig.sandbox)
    reader, writer = os.pipe()
    caller = subprocess.Popen(
        [rig.sandbox.program, "get-token", *provider_flags(provider)], env=rig.sandbox.env, cwd=rig.sandbox.home,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        pass_fds=[writer], start_new_session=True,
    )  # fmt: skip
    rig.sandbox._running.append(caller)
    os.close(writer)
    url = the_tab(rig.sandbox)
    os.killpg(caller.pid, signal.SIGKILL)
    caller.wait(10)
    with os.fdopen(reader, "rb") as pipe:
        os.set_blocking(pipe.fileno(), False)
        wait_for(lambda: pipe.read() == b"", 10, "the sign-in process holds its caller's pipe open")
    finish(rig.sandbox, url)
    signed_in(rig.sandbox, *provider_flags(provider))


@case
def locking_the_keyring_during_a_sign_in_loses_no_session(rig):
    keyring = rig.secret_service()
    rig.sandbox.env.update(HALLPASS_STORE="keyring", HALLPASS_KERNEL_KEYRING_TIMEOUT="0")
    provider = rig.provider()
    rig.sandbox.hallpass("get-token", *provider_flags(provider), "--account", "default").token
    leave_the_tab_open(rig.sandbox)
    terminal = rig.sandbox.at_a_terminal("login", *provider_flags(provider), "--account", "second")
    url = wait_for(lambda: rig.sandbox.tabs()[1:], 20, "no tab was opened")[0]
    keyring.lock()
    finish(rig.sandbox, url)
    ended = terminal.end(30)
    keyring.unlock()
    token = signed_in(rig.sandbox, *provider_flags(provider), "--account", "default")
    assert provider.introspect(token)["active"]
    if ended.code == 0:
        signed_in(rig.sandbox, *provider_flags(provider), "--account", "second")
    else:
        assert "locked" in ended.stderr, ended.stderr
        rig.sandbox.browser()
        rig.sandbox.hallpass("login", *provider_flags(provider), "--account", "second").ended(0)
