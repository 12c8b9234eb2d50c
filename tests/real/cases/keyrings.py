"""Real Secret Services (gnome-keyring and KeePassXC): running, locked, stopped, killed and absent."""

import re
import socket
import time

from rig import case, provider_flags

WAITING = re.compile("hallpass: waiting for the OS keyring to be unlocked…")
NEVER = ("--interactive", "never")
# Extra seconds allowed beyond each limit, because processes start slowly on a busy machine.
SLACK = 2


def in_each_keyring(function):
    """Registers one case per Secret Service, which calls `function(rig, keyring)`."""

    def of(name, start):
        def one(rig):
            rig.sandbox.env["HALLPASS_STORE"] = "keyring"
            # Every call has to reach the keyring.
            rig.sandbox.env["HALLPASS_KERNEL_KEYRING_TIMEOUT"] = "0"
            function(rig, start(rig))

        one.__name__ = f"{function.__name__}_with_{name}"
        one.__module__ = function.__module__
        case(one)

    of("gnome_keyring", lambda rig: rig.secret_service())
    of("keepassxc", lambda rig: rig.keepassxc())
    return function


def signed_in(rig):
    """Signs in, and returns the provider, the token and every saved file."""
    provider = rig.provider()
    token = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    return provider, token, saved_files(rig)


def saved_files(rig):
    folder = rig.sandbox.home / ".local/share/hallpass"
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fails(rig, provider, *words, within, how=NEVER):
    """Checks that get-token fails in time with a single error and a hint, and opens no browser."""
    tabs = len(rig.sandbox.tabs())
    failed = rig.sandbox.hallpass("get-token", *how, *provider_flags(provider), limit=within + 10).ended(1)
    is_one_error(failed, *words)
    assert failed.seconds < within, f"it took {failed.seconds:.1f} s, more than {within} s"
    assert len(rig.sandbox.tabs()) == tabs, "a keyring failure opened a browser"
    return failed


def is_one_error(failed, *words):
    failed.said("hint:", *words)
    assert failed.stdout == ""
    assert failed.stderr.count("hallpass: error:") == 1, failed.stderr


def still_answers(rig, provider, token):
    tabs = len(rig.sandbox.tabs())
    assert rig.sandbox.hallpass("get-token", *NEVER, *provider_flags(provider)).token == token
    assert len(rig.sandbox.tabs()) == tabs


@in_each_keyring
def only_the_key_is_stored(rig, keyring):
    before = set(keyring.items())
    provider, token, _ = signed_in(rig)
    assert len(set(keyring.items()) - before) == 1
    still_answers(rig, provider, token)
    fresh = rig.sandbox.hallpass("get-token", "--force-refresh", *provider_flags(provider)).token
    assert fresh != token
    assert len(set(keyring.items()) - before) == 1, "a refresh added an item to the keyring"
    assert '"open"' in rig.sandbox.hallpass("status", "--json").ended(0).stdout
    rig.sandbox.hallpass("logout", *provider_flags(provider)).ended(0)


@in_each_keyring
def uninstall_removes_the_key_from_the_keyring(rig, keyring):
    before = set(keyring.items())
    signed_in(rig)
    assert len(set(keyring.items()) - before) == 1
    rig.sandbox.hallpass("uninstall", "--yes").ended(0)
    assert set(keyring.items()) == before, "the key is still in the keyring"
    assert not saved_files(rig)


@in_each_keyring
def a_locked_keyring_fails_immediately_and_loses_nothing(rig, keyring):
    provider, token, before = signed_in(rig)
    keyring.lock()
    fails(rig, provider, "locked", within=2 + SLACK)
    fails(rig, provider, "locked", within=2 + SLACK, how=("--account", "new"))
    fails(rig, provider, "locked", within=2 + SLACK, how=(*NEVER, "--force-refresh"))
    assert "locked" in rig.sandbox.hallpass("status").ended(0).stdout
    assert saved_files(rig).items() >= before.items()
    keyring.unlock()
    still_answers(rig, provider, token)


@in_each_keyring
def auto_does_not_fall_back_when_the_keyring_is_locked(rig, keyring):
    rig.sandbox.env["HALLPASS_STORE"] = "auto"
    provider, token, before = signed_in(rig)
    keyring.lock()
    fails(rig, provider, "locked", within=2 + SLACK)
    assert saved_files(rig).items() >= before.items()
    keyring.unlock()
    still_answers(rig, provider, token)


@in_each_keyring
def a_stopped_keyring_fails_after_two_seconds_and_loses_nothing(rig, keyring):
    provider, token, before = signed_in(rig)
    keyring.stop()
    failed = fails(rig, provider, "did not answer within 2 s", within=2 + SLACK)
    assert failed.seconds > 2
    assert "waiting for the OS keyring" not in failed.stderr, "there is no terminal to print this to"
    status = rig.sandbox.hallpass("status", limit=15)
    assert "did not answer" in status.ended(0).stdout
    assert saved_files(rig).items() >= before.items()
    keyring.go_on()
    still_answers(rig, provider, token)


@in_each_keyring
def a_terminal_shows_what_hallpass_waits_for_until_the_keyring_answers(rig, keyring):
    provider, token, _ = signed_in(rig)
    keyring.stop()
    waiting = rig.sandbox.at_a_terminal("get-token", *provider_flags(provider))
    waiting.wait_for(WAITING, 10)
    assert 2 <= time.monotonic() - waiting.started < 2 + SLACK
    keyring.go_on()
    told = waiting.end()
    assert told.token == token
    assert len(WAITING.findall(told.stderr)) == 1
    assert len(rig.sandbox.tabs()) == 1


@case
def a_locked_keyring_without_a_display_is_reported_at_the_terminal(rig):
    rig.sandbox.env["HALLPASS_STORE"] = "keyring"
    rig.sandbox.env["HALLPASS_KERNEL_KEYRING_TIMEOUT"] = "0"
    keyring = rig.secret_service()
    provider, token, before = signed_in(rig)
    keyring.lock()
    told = rig.sandbox.at_a_terminal("get-token", *provider_flags(provider)).end(limit=10)
    is_one_error(told.ended(1), "locked")
    assert saved_files(rig).items() >= before.items()
    assert len(rig.sandbox.tabs()) == 1
    keyring.unlock()
    still_answers(rig, provider, token)


@case
def hallpass_waits_for_an_unlock_for_one_minute(rig):
    rig.sandbox.env["HALLPASS_STORE"] = "keyring"
    rig.sandbox.env["HALLPASS_KERNEL_KEYRING_TIMEOUT"] = "0"
    keyring = rig.secret_service()
    provider, token, before = signed_in(rig)
    keyring.stop()
    asked = rig.sandbox.at_a_terminal("get-token", *provider_flags(provider))
    asked.wait_for(WAITING, 10)
    told = asked.end(limit=60 + SLACK).ended(1)
    is_one_error(told, "did not answer within 60 s")
    assert 60 <= told.seconds
    assert saved_files(rig).items() >= before.items()
    keyring.go_on()
    still_answers(rig, provider, token)


@in_each_keyring
def killing_the_keyring_during_a_call_loses_nothing(rig, keyring):
    provider, token, before = signed_in(rig)
    keyring.wait_until_on_disk()
    keyring.stop()
    asked = rig.sandbox.at_a_terminal("get-token", *provider_flags(provider))
    asked.wait_for(WAITING, 10)
    keyring.kill()
    is_one_error(asked.end(limit=15).ended(1), "keyring")
    assert saved_files(rig).items() >= before.items()
    fails(rig, provider, "keyring", within=2 + SLACK)
    keyring.unlock()
    still_answers(rig, provider, token)


@in_each_keyring
def killing_the_keyring_during_key_creation_does_not_break_the_next_sign_in(rig, keyring):
    provider = rig.provider()
    keyring.stop()
    asked = rig.sandbox.at_a_terminal("get-token", *provider_flags(provider))
    asked.wait_for(WAITING, 10)
    keyring.kill()
    is_one_error(asked.end(limit=15).ended(1), "keyring")
    assert rig.sandbox.tabs() == [], "hallpass asked for a token that it could not save"
    keyring.unlock()
    token = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    still_answers(rig, provider, token)


@in_each_keyring
def twenty_concurrent_calls_leave_the_keyring_running_and_unlocked(rig, keyring):
    provider, token, _ = signed_in(rig)
    pid = keyring.pid()
    answers = rig.sandbox.hallpass_all(20, "get-token", *provider_flags(provider), limit=60)
    assert {answer.token for answer in answers} == {token}
    assert keyring.pid() == pid, "the keyring was restarted"
    assert keyring.is_open()
    assert len(keyring.items()) >= 1


@in_each_keyring
def an_absent_keyring_is_an_error_and_loses_nothing(rig, keyring):
    provider, token, before = signed_in(rig)
    address = rig.sandbox.env.pop("DBUS_SESSION_BUS_ADDRESS")
    fails(rig, provider, "not found: no session bus", within=2 + SLACK)
    with_an_empty_bus = rig.bus_without_a_keyring()
    fails(rig, provider, "not found: no session bus", within=2 + SLACK)
    assert "not found: no session bus" in rig.sandbox.hallpass("status").ended(0).stdout
    with_an_empty_bus.close()
    # `auto` doesn't leave the store that it remembers either.
    rig.sandbox.env["HALLPASS_STORE"] = "auto"
    fails(rig, provider, "not found: no session bus", within=2 + SLACK)
    rig.sandbox.env["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={rig.sandbox.runtime}/no-such-socket"
    fails(rig, provider, "not found: no session bus", within=2 + SLACK)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(rig.sandbox.runtime / "silent"))
        silent.listen()
        rig.sandbox.env["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={rig.sandbox.runtime}/silent"
        fails(rig, provider, "did not answer within 2 s", within=2 + SLACK)
    assert saved_files(rig).items() >= before.items()
    rig.sandbox.env["DBUS_SESSION_BUS_ADDRESS"] = address
    still_answers(rig, provider, token)
