"""Real Secret Services in every mood: there, locked, stopped, killed, absent; gnome-keyring and KeePassXC."""

import re
import socket
import time

from rig import asks, case

WAITING = re.compile("hallpass: waiting for the OS keyring to be unlocked…")
NEVER = ("--interactive", "never")
# What a call may take beyond its limit: a process has to start, on a machine that is busy.
SLACK = 2


def in_each_keyring(function):
    """One case for each Secret Service: `function(rig, keyring)`."""

    def of(name, start):
        def one(rig):
            rig.sandbox.env["HALLPASS_STORE"] = "keyring"
            # Each call is to reach the keyring.
            rig.sandbox.env["HALLPASS_KERNEL_KEYRING_TIMEOUT"] = "0"
            function(rig, start(rig))

        one.__name__ = f"{function.__name__}_in_{name}"
        one.__module__ = function.__module__
        case(one)

    of("gnome_keyring", lambda rig: rig.secret_service())
    of("keepassxc", lambda rig: rig.keepassxc())
    return function


def signed_in(rig):
    """A session, and everything that is kept of it."""
    provider = rig.provider()
    token = rig.sandbox.hallpass("get-token", *asks(provider)).token
    return provider, token, kept(rig)


def kept(rig):
    folder = rig.sandbox.home / ".local/share/hallpass"
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fails(rig, provider, *words, within, how=NEVER):
    """One error, with a hint, in time; no browser, nothing on stdout."""
    tabs = len(rig.sandbox.tabs())
    failed = rig.sandbox.hallpass("get-token", *how, *asks(provider), limit=within + 10).ended(1)
    is_one_error(failed, *words)
    assert failed.seconds < within, f"it took {failed.seconds:.1f} s, and {within} s are allowed"
    assert len(rig.sandbox.tabs()) == tabs, "a keyring that fails opened a browser"
    return failed


def is_one_error(failed, *words):
    failed.said("hint:", *words)
    assert failed.stdout == ""
    assert failed.stderr.count("hallpass: error:") == 1, failed.stderr


def still_answers(rig, provider, token):
    tabs = len(rig.sandbox.tabs())
    assert rig.sandbox.hallpass("get-token", *NEVER, *asks(provider)).token == token
    assert len(rig.sandbox.tabs()) == tabs


@in_each_keyring
def the_key_and_nothing_else_is_kept(rig, keyring):
    before = set(keyring.items())
    provider, token, _ = signed_in(rig)
    assert len(set(keyring.items()) - before) == 1
    still_answers(rig, provider, token)
    fresh = rig.sandbox.hallpass("get-token", "--force-refresh", *asks(provider)).token
    assert fresh != token
    assert len(set(keyring.items()) - before) == 1, "a refresh left something in the keyring"
    assert '"open"' in rig.sandbox.hallpass("status", "--json").ended(0).stdout
    rig.sandbox.hallpass("logout", *asks(provider)).ended(0)


@in_each_keyring
def locked_is_an_error_at_once_and_no_loss(rig, keyring):
    provider, token, before = signed_in(rig)
    keyring.lock()
    fails(rig, provider, "locked", within=2 + SLACK)
    fails(rig, provider, "locked", within=2 + SLACK, how=("--account", "new"))
    fails(rig, provider, "locked", within=2 + SLACK, how=(*NEVER, "--force-refresh"))
    assert "locked" in rig.sandbox.hallpass("status").ended(0).stdout
    assert kept(rig).items() >= before.items()
    keyring.unlock()
    still_answers(rig, provider, token)


@in_each_keyring
def auto_does_not_leave_a_keyring_that_is_locked(rig, keyring):
    rig.sandbox.env["HALLPASS_STORE"] = "auto"
    provider, token, before = signed_in(rig)
    keyring.lock()
    fails(rig, provider, "locked", within=2 + SLACK)
    assert kept(rig).items() >= before.items()
    keyring.unlock()
    still_answers(rig, provider, token)


@in_each_keyring
def stopped_is_an_error_after_two_seconds_and_no_loss(rig, keyring):
    provider, token, before = signed_in(rig)
    keyring.stop()
    failed = fails(rig, provider, "did not answer within 2 s", within=2 + SLACK)
    assert failed.seconds > 2
    assert "waiting for the OS keyring" not in failed.stderr, "nobody is there to be told"
    status = rig.sandbox.hallpass("status", limit=15)
    assert "did not answer" in status.ended(0).stdout
    assert kept(rig).items() >= before.items()
    keyring.go_on()
    still_answers(rig, provider, token)


@in_each_keyring
def a_person_is_told_what_is_waited_for_and_answered_when_it_comes(rig, keyring):
    provider, token, _ = signed_in(rig)
    keyring.stop()
    waiting = rig.sandbox.at_a_terminal("get-token", *asks(provider))
    waiting.wait_for(WAITING, 10)
    assert 2 <= time.monotonic() - waiting.started < 2 + SLACK
    keyring.go_on()
    told = waiting.end()
    assert told.token == token
    assert len(WAITING.findall(told.stderr)) == 1
    assert len(rig.sandbox.tabs()) == 1


@case
def without_a_screen_for_the_dialog_a_person_is_told_that_it_is_locked(rig):
    rig.sandbox.env["HALLPASS_STORE"] = "keyring"
    rig.sandbox.env["HALLPASS_KERNEL_KEYRING_TIMEOUT"] = "0"
    keyring = rig.secret_service()
    provider, token, before = signed_in(rig)
    keyring.lock()
    told = rig.sandbox.at_a_terminal("get-token", *asks(provider)).end(limit=10)
    is_one_error(told.ended(1), "locked")
    assert kept(rig).items() >= before.items()
    assert len(rig.sandbox.tabs()) == 1
    keyring.unlock()
    still_answers(rig, provider, token)


@case
def a_person_is_waited_for_for_a_minute_and_no_longer(rig):
    rig.sandbox.env["HALLPASS_STORE"] = "keyring"
    rig.sandbox.env["HALLPASS_KERNEL_KEYRING_TIMEOUT"] = "0"
    keyring = rig.secret_service()
    provider, token, before = signed_in(rig)
    keyring.stop()
    asked = rig.sandbox.at_a_terminal("get-token", *asks(provider))
    asked.wait_for(WAITING, 10)
    told = asked.end(limit=60 + SLACK).ended(1)
    is_one_error(told, "did not answer within 60 s")
    assert 60 <= told.seconds
    assert kept(rig).items() >= before.items()
    keyring.go_on()
    still_answers(rig, provider, token)


@in_each_keyring
def killed_in_the_middle_of_a_call_nothing_is_lost(rig, keyring):
    provider, token, before = signed_in(rig)
    keyring.wait_until_on_disk()
    keyring.stop()
    asked = rig.sandbox.at_a_terminal("get-token", *asks(provider))
    asked.wait_for(WAITING, 10)
    keyring.kill()
    is_one_error(asked.end(limit=15).ended(1), "keyring")
    assert kept(rig).items() >= before.items()
    fails(rig, provider, "keyring", within=2 + SLACK)
    keyring.unlock()
    still_answers(rig, provider, token)


@in_each_keyring
def killed_while_the_key_is_made_the_next_sign_in_makes_one(rig, keyring):
    provider = rig.provider()
    keyring.stop()
    asked = rig.sandbox.at_a_terminal("get-token", *asks(provider))
    asked.wait_for(WAITING, 10)
    keyring.kill()
    is_one_error(asked.end(limit=15).ended(1), "keyring")
    assert rig.sandbox.tabs() == [], "somebody was asked for a token that could not be kept"
    keyring.unlock()
    token = rig.sandbox.hallpass("get-token", *asks(provider)).token
    still_answers(rig, provider, token)


@in_each_keyring
def twenty_at_once_leave_it_alive_and_open(rig, keyring):
    provider, token, _ = signed_in(rig)
    pid = keyring.pid()
    answers = rig.sandbox.hallpass_all(20, "get-token", *asks(provider), limit=60)
    assert {answer.token for answer in answers} == {token}
    assert keyring.pid() == pid, "the keyring is another process now"
    assert keyring.is_open()
    assert len(keyring.items()) >= 1


@in_each_keyring
def absent_is_an_error_and_no_loss(rig, keyring):
    provider, token, before = signed_in(rig)
    address = rig.sandbox.env.pop("DBUS_SESSION_BUS_ADDRESS")
    fails(rig, provider, "not found: no session bus", within=2 + SLACK)
    with_an_empty_bus = rig.bus_without_a_keyring()
    fails(rig, provider, "not found: no session bus", within=2 + SLACK)
    assert "not found: no session bus" in rig.sandbox.hallpass("status").ended(0).stdout
    with_an_empty_bus.close()
    # A remembered place is not left by `auto` either.
    rig.sandbox.env["HALLPASS_STORE"] = "auto"
    fails(rig, provider, "not found: no session bus", within=2 + SLACK)
    rig.sandbox.env["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={rig.sandbox.runtime}/no-such-socket"
    fails(rig, provider, "not found: no session bus", within=2 + SLACK)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(rig.sandbox.runtime / "silent"))
        silent.listen()
        rig.sandbox.env["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={rig.sandbox.runtime}/silent"
        fails(rig, provider, "did not answer within 2 s", within=2 + SLACK)
    assert kept(rig).items() >= before.items()
    rig.sandbox.env["DBUS_SESSION_BUS_ADDRESS"] = address
    still_answers(rig, provider, token)
