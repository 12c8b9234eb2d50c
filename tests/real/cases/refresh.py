"""A token is refreshed once, however many calls run at the same time.

This provider revokes the whole family of tokens when a refresh token is used twice.
"""

import pathlib
import time
import urllib.parse
import urllib.request
import uuid

from rig import case, provider_flags
from sandbox import moved_clock, wait_for


def expired_session(rig, provider):
    """Signs in, lets the access token expire, and restores the provider's default lifetime."""
    provider.set(accessTokenTtl=1)
    first = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    time.sleep(1.2)  # the provider counts whole seconds; there is nothing else to wait for
    assert not provider.introspect(first)["active"]
    provider.set(accessTokenTtl=3600)
    provider.new_requests()
    return first


@case
def an_expired_token_is_refreshed_without_a_browser(rig):
    provider = rig.provider()
    first = expired_session(rig, provider)
    second = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    assert second != first
    assert provider.introspect(second)["active"]
    assert provider.new_grants() == [("refresh_token", 200)]
    assert rig.sandbox.hallpass("get-token", *provider_flags(provider)).token == second
    assert provider.new_grants() == []
    assert len(rig.sandbox.tabs()) == 1


@case
def twenty_concurrent_calls_refresh_an_expired_token_once(rig):
    provider = rig.provider()
    expired_session(rig, provider)
    answers = rig.sandbox.hallpass_all(20, "get-token", *provider_flags(provider), limit=60)
    assert len({answer.token for answer in answers}) == 1
    assert provider.new_grants() == [("refresh_token", 200)]
    assert provider.introspect(answers[0].token)["active"]

    # If a refresh token had been used twice, the family would be revoked and this call would fail.
    again = rig.sandbox.hallpass("get-token", "--force-refresh", *provider_flags(provider)).token
    assert again != answers[0].token
    assert provider.new_grants() == [("refresh_token", 200)]
    assert provider.introspect(again)["active"]
    assert len(rig.sandbox.tabs()) == 1


@case
def five_bursts_of_twenty_calls_do_not_lose_the_session(rig):
    # ID tokens are valid for a week, because only hallpass's clock moves and not the provider's.
    provider = rig.provider(idTokenTtl=7 * 24 * 3600)
    rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    provider.new_requests()
    for hours in range(2, 12, 2):
        later = moved_clock(f"+{hours}h")
        answers = rig.sandbox.hallpass_all(20, "get-token", *provider_flags(provider), limit=60, **later)
        assert len({answer.token for answer in answers}) == 1
        assert provider.new_grants() == [("refresh_token", 200)]
        assert provider.introspect(answers[0].token)["active"]
    assert len(rig.sandbox.tabs()) == 1


@case
def a_machine_waking_up_two_hours_later_refreshes_once(rig):
    # ID tokens are valid for a week, because only hallpass's clock moves and not the provider's.
    provider = rig.provider(idTokenTtl=7 * 24 * 3600)
    first = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    provider.new_requests()
    later = moved_clock("+2h")
    second = rig.sandbox.hallpass("get-token", *provider_flags(provider), **later).token
    assert second != first
    assert rig.sandbox.hallpass("get-token", *provider_flags(provider), **later).token == second
    assert provider.new_grants() == [("refresh_token", 200)]
    assert len(rig.sandbox.tabs()) == 1


@case
def leftovers_of_a_killed_run_do_not_break_the_moved_clock(rig):
    provider = rig.provider(idTokenTtl=7 * 24 * 3600)
    first = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    leftovers = pathlib.Path("/dev/shm")
    # `exec` preserves the process ID, which is part of the names of libfaketime's semaphore and shared memory.
    stale = 'touch "$0/sem.faketime_sem_$$" "$0/faketime_shm_$$"; echo $$ >"$0/$LEFT"; exec "$@"'
    name = f"hallpass-tests-{uuid.uuid4()}"
    try:
        second = rig.sandbox.hallpass(
            "get-token", *provider_flags(provider), before=("sh", "-c", stale, leftovers), LEFT=name, **moved_clock("+2h")
        ).token
        assert second != first
    finally:
        pid = (leftovers / name).read_text(encoding="ascii").strip()
        for file in (name, f"sem.faketime_sem_{pid}", f"faketime_shm_{pid}"):
            (leftovers / file).unlink(missing_ok=True)


@case
def a_session_ended_by_the_provider_needs_a_new_sign_in(rig):
    provider = rig.provider()
    expired_session(rig, provider)
    revoke_directly(provider)
    provider.new_requests()

    rig.sandbox.hallpass("get-token", "--interactive", "never", *provider_flags(provider)).ended(3).said("hallpass login")
    assert provider.new_grants() == [("refresh_token", 400)]
    assert len(rig.sandbox.tabs()) == 1

    token = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    assert provider.introspect(token)["active"]
    assert len(rig.sandbox.tabs()) == 2


def revoke_directly(provider):
    for token in provider.issued("refresh_token"):
        form = urllib.parse.urlencode({"token": token, "client_id": "hallpass"}).encode()
        urllib.request.urlopen(f"{provider.issuer}/token/revocation", form, timeout=10).close()


@case
def an_unavailable_provider_does_not_lose_the_session(rig):
    provider = rig.provider()
    expired_session(rig, provider)
    before = {path: path.read_bytes() for path in rig.sandbox.files()}
    provider.pause()
    failed = rig.sandbox.hallpass("get-token", *provider_flags(provider)).ended(1).said("hallpass: error:")
    assert failed.stdout == ""
    for path, content in before.items():
        if "lock" not in path.name:
            assert path.exists(), f"{path.name} is gone"
    assert len(rig.sandbox.tabs()) == 1
    provider.resume()
    # After a failure, no caller tries again for two seconds, and the hint says so.
    paused = rig.sandbox.hallpass("get-token", *provider_flags(provider))
    if paused.code:
        paused.ended(1).said("will not try again", "hint: run the command again in")
    wait_for(lambda: rig.sandbox.hallpass("get-token", *provider_flags(provider)).code == 0, 20, "hallpass did not try again")
    assert len(rig.sandbox.tabs()) == 1
