"""A real provider behind a gateway that hangs, fails or loses responses, and signals during a refresh.

This provider revokes the whole family of tokens when a refresh token is used twice.
"""

import collections
import os
import shutil
import signal
import statistics
import subprocess
import threading
import time

from cases.git import Desk
from lossy import Lossy
from rig import case
from sandbox import moved_clock, wait_for

CALLERS = 200
NEVER = ("--interactive", "never")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def config(rig, provider, gateway, more=""):
    folder = rig.sandbox.home / ".config/hallpass"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(
        f'{more}[providers.corp]\nissuer = "{provider.issuer}"\nclient_id = "hallpass"\n'
        f'token_endpoint = "{gateway.token_endpoint}"\nscopes = ["openid", "offline_access"]\n',
        encoding="utf-8",
    )


def signed_in(rig, expires_in=1, replays=False, more=""):
    """Signs in at a provider behind a gateway. The access token expires after `expires_in` seconds."""
    provider = rig.provider(accessTokenTtl=expires_in, idTokenTtl=7 * 24 * 3600)
    gateway = rig.with_part(Lossy(provider, replays))
    config(rig, provider, gateway, more)
    token = rig.sandbox.hallpass("get-token", "corp").token
    provider.set(accessTokenTtl=3600)
    provider.new_requests()
    if expires_in == 1:
        time.sleep(1.2)  # the provider counts whole seconds; there is nothing else to wait for
    return provider, gateway, token


def run_concurrently(sandbox, *args):
    """Runs CALLERS processes at the same time, and returns (code, stdout, seconds) of each."""
    results, started = [], time.monotonic()

    def run():
        process = subprocess.Popen(
            [sandbox.program, *args], env=sandbox.env, cwd=sandbox.home, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        sandbox._running.append(process)
        out, _ = process.communicate()
        results.append((process.returncode, out.strip(), time.monotonic() - started))

    threads = [threading.Thread(target=run) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def print_summary(what, results, gateway):
    codes = dict(collections.Counter(code for code, _, _ in results))
    times = sorted(seconds for _, _, seconds in results)
    print(
        f"  {what}: {len(gateway.seen)} requests, exit codes {codes}, seconds: first {times[0]:.2f}, "
        f"median {statistics.median(times):.2f}, last {times[-1]:.2f}",
        flush=True,
    )
    return codes


def refreshes_again(rig, gateway, requests):
    """Checks that the newest refresh token was stored, by refreshing again."""
    rig.sandbox.hallpass("get-token", "corp", "--force-refresh", *NEVER).token
    assert len(gateway.seen) == requests + 1, gateway.seen
    assert len(set(gateway.seen)) == len(gateway.seen) or gateway.replays
    assert len(rig.sandbox.tabs()) == 1


# --- two hundred callers ---


@case(limit=150, alone=True)
def two_hundred_callers_make_one_attempt_while_the_provider_hangs(rig):
    _, gateway, _ = signed_in(rig)
    rig.sandbox.env["HALLPASS_HTTP_TIMEOUT"] = "20"
    gateway.hangs = True
    results = run_concurrently(rig.sandbox, "get-token", "corp", *NEVER)
    assert print_summary("hangs, token expired", results, gateway) == {1: CALLERS}
    assert len(gateway.seen) == 2, "one attempt consists of two requests"


@case(limit=150, alone=True)
def two_hundred_callers_get_the_valid_token_while_the_provider_hangs(rig):
    _, gateway, token = signed_in(rig, expires_in=3600)
    rig.sandbox.env["HALLPASS_HTTP_TIMEOUT"] = "20"
    rig.sandbox.env.update(moved_clock("+3545s"))  # hallpass refreshes a token in its last minute
    gateway.hangs = True
    results = run_concurrently(rig.sandbox, "get-token", "corp", *NEVER)
    assert print_summary("hangs, token valid", results, gateway) == {0: CALLERS}
    assert {out for _, out, _ in results} == {token}
    assert len(gateway.seen) == 2


@case(limit=150, alone=True)
def two_hundred_callers_make_few_requests_while_the_provider_is_unavailable(rig):
    _, gateway, _ = signed_in(rig)
    gateway.status = 503
    results = run_concurrently(rig.sandbox, "get-token", "corp", *NEVER)
    took = max(seconds for _, _, seconds in results)
    assert print_summary("503, token expired", results, gateway) == {1: CALLERS}
    # An attempt consists of two requests. The pauses between attempts are 2, 4, 8 … seconds.
    attempts = 1 + sum(took > pauses for pauses in (2, 6, 14, 30, 62))
    assert len(gateway.seen) <= 2 * attempts, (len(gateway.seen), took)
    gateway.status = None


@case(limit=150, alone=True)
def a_lost_response_that_the_provider_replays_serves_two_hundred_callers(rig):
    provider, gateway, _ = signed_in(rig, replays=True)
    gateway.lose = 1
    results = run_concurrently(rig.sandbox, "get-token", "corp", *NEVER)
    assert print_summary("loses one response, replays", results, gateway) == {0: CALLERS}
    tokens = {out for _, out, _ in results}
    assert len(tokens) == 1 and provider.introspect(tokens.pop())["active"]
    assert len(gateway.seen) == 2 and len(set(gateway.seen)) == 1
    refreshes_again(rig, gateway, 2)


@case(limit=150, alone=True)
def a_lost_response_without_a_replay_costs_two_hundred_callers_one_sign_in(rig):
    _, gateway, _ = signed_in(rig)
    gateway.lose = 1
    results = run_concurrently(rig.sandbox, "get-token", "corp", *NEVER)
    assert print_summary("loses one response, revokes the family", results, gateway) == {3: CALLERS}
    assert len(gateway.seen) == 2
    rig.sandbox.hallpass("get-token", "corp").token
    assert len(rig.sandbox.tabs()) == 2


# --- signals ---


def is_running(group):
    """Whether any process of the group is still running."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def interrupted(rig, gateway, send):
    """Sends a signal to hallpass during a refresh, and then lets the refresh finish."""
    gateway.gate.clear()
    process = subprocess.Popen(
        [rig.sandbox.program, "get-token", "corp", *NEVER], env=rig.sandbox.env, cwd=rig.sandbox.home,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    rig.sandbox._running.append(process)
    assert gateway.arrived.acquire(timeout=20)
    send(process)
    gateway.gate.set()
    out, _ = process.communicate(timeout=30)
    assert out == b""
    return process.returncode


@case(alone=True)
def signals_during_a_refresh_do_not_lose_the_session(rig):
    for number in SIGNALS:
        provider, gateway, _ = signed_in(rig)
        tabs = len(rig.sandbox.tabs())
        code = interrupted(rig, gateway, lambda process: process.send_signal(number))
        assert code == -number, (code, number)
        assert provider.new_grants() == [("refresh_token", 200)]
        token = rig.sandbox.hallpass("get-token", "corp", *NEVER).token
        assert provider.introspect(token)["active"]
        again = rig.sandbox.hallpass("get-token", "corp", "--force-refresh", *NEVER).token
        assert provider.introspect(again)["active"]
        assert provider.new_grants() == [("refresh_token", 200)]
        assert len(rig.sandbox.tabs()) == tabs
        rig.sandbox.hallpass("logout", "--all")


@case(alone=True)
def signals_are_blocked_in_the_keyrings_threads_too(rig):
    rig.secret_service()
    rig.sandbox.env.update(HALLPASS_STORE="keyring", HALLPASS_KERNEL_KEYRING_TIMEOUT="0")
    provider, gateway, _ = signed_in(rig)
    code = interrupted(rig, gateway, lambda process: os.killpg(process.pid, signal.SIGINT))
    assert code == -signal.SIGINT
    assert provider.new_grants() == [("refresh_token", 200)]
    token = rig.sandbox.hallpass("get-token", "corp", *NEVER).token
    assert provider.introspect(token)["active"]
    refreshes_again(rig, gateway, 1)


@case(alone=True)
def ctrl_c_during_git_fetch_does_not_lose_the_session(rig):
    desk = Desk(rig, git=shutil.which("git"))  # any version of git
    gateway = rig.with_part(Lossy(desk.provider))
    file = rig.sandbox.home / ".config/hallpass/config.toml"
    text = file.read_text(encoding="utf-8")
    client = 'client_id = "hallpass"\n'
    assert client in text
    file.write_text(text.replace(client, f'{client}token_endpoint = "{gateway.token_endpoint}"\n', 1), encoding="utf-8")
    desk.provider.set(accessTokenTtl=2)
    work = desk.clone()
    time.sleep(2.2)  # the provider counts whole seconds
    desk.provider.set(accessTokenTtl=3600)
    desk.provider.new_requests()
    gateway.gate.clear()
    fetch = desk.start("-C", work, "fetch")
    rig.sandbox._running.append(fetch)
    assert gateway.arrived.acquire(timeout=20)
    os.killpg(fetch.pid, signal.SIGINT)
    assert fetch.wait(20) != 0, "git was not interrupted"
    gateway.gate.set()
    # git has exited. Its credential helper exits once the new refresh token is stored.
    wait_for(lambda: not is_running(fetch.pid), 20, "the credential helper did not exit")
    assert desk.provider.new_grants() == [("refresh_token", 200)]
    token = rig.sandbox.hallpass("get-token", "corp", *NEVER).token
    assert desk.provider.introspect(token)["active"]
    assert desk.provider.new_grants() == [], "the new token was not stored"
    desk.new_commit_on_the_server()
    desk.git("-C", work, "fetch")
    assert len(rig.sandbox.tabs()) == 1
