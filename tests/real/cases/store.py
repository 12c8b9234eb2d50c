"""Where the data key is kept: a real Secret Service, a file, nowhere."""

from rig import asks, case, kernel_keyring


@case
def the_data_key_lives_in_the_secret_service_and_no_token_in_plain_anywhere(rig):
    provider = rig.provider()
    keyring = rig.secret_service()
    before = set(keyring.items())
    rig.sandbox.env["HALLPASS_STORE"] = "keyring"
    first = rig.sandbox.hallpass("get-token", *asks(provider)).token
    assert len(set(keyring.items()) - before) == 1, "exactly one thing goes into the keyring"
    assert rig.sandbox.hallpass("get-token", *asks(provider)).token == first
    second = rig.sandbox.hallpass("get-token", "--force-refresh", *asks(provider)).token
    assert second != first
    assert len(set(keyring.items()) - before) == 1
    assert len(rig.sandbox.tabs()) == 1
    # That no file under HOME, the keyring's own included, holds a token is checked at the end.


@case
def a_locked_data_key_is_asked_for_again_at_the_keyring(rig):
    provider = rig.provider()
    rig.secret_service()
    rig.sandbox.env["HALLPASS_STORE"] = "keyring"
    first = rig.sandbox.hallpass("get-token", *asks(provider)).token
    rig.sandbox.hallpass("lock").ended(0)
    assert rig.sandbox.hallpass("get-token", *asks(provider)).token == first


@case
def a_hit_after_that_asks_the_kernel_and_not_the_keyring(rig):
    kernel_keyring()
    provider = rig.provider()
    keyring = rig.secret_service()
    rig.sandbox.env["HALLPASS_STORE"] = "keyring"
    first = rig.sandbox.hallpass("get-token", *asks(provider)).token
    keyring.close()
    assert rig.sandbox.hallpass("get-token", *asks(provider)).token == first
    rig.sandbox.hallpass("lock").ended(0)
    rig.sandbox.hallpass("get-token", *asks(provider)).ended(1)


@case
def a_keyring_that_is_gone_is_an_error_and_nothing_is_lost(rig):
    provider = rig.provider()
    keyring = rig.secret_service()
    rig.sandbox.env["HALLPASS_STORE"] = "keyring"
    first = rig.sandbox.hallpass("get-token", *asks(provider)).token
    rig.sandbox.hallpass("lock").ended(0)
    keyring.close()

    gone = rig.sandbox.hallpass("get-token", *asks(provider)).ended(1).said("hallpass: error:", "hint:")
    assert gone.seconds < 65
    assert len(rig.sandbox.tabs()) == 1, "a keyring that is gone opened a browser"

    rig.secret_service()
    assert rig.sandbox.hallpass("get-token", *asks(provider)).token == first
    assert len(rig.sandbox.tabs()) == 1


@case
def twenty_at_once_share_one_data_key(rig):
    provider = rig.provider()
    keyring = rig.secret_service()
    rig.sandbox.env["HALLPASS_STORE"] = "keyring"
    before = set(keyring.items())
    answers = rig.sandbox.hallpass_all(20, "get-token", *asks(provider), limit=60)
    assert len({answer.token for answer in answers}) == 1
    assert len(set(keyring.items()) - before) == 1
    assert len(rig.sandbox.tabs()) == 1


@case
def without_a_keyring_that_was_asked_for_it_fails_and_writes_no_token(rig):
    provider = rig.provider()
    rig.sandbox.env["HALLPASS_STORE"] = "keyring"
    rig.sandbox.hallpass("get-token", *asks(provider)).ended(1).said("hallpass: error:", "hint:")


@case
def two_homes_share_nothing(rig):
    provider = rig.provider()
    first = rig.sandbox.hallpass("get-token", *asks(provider)).token
    other = rig.another_sandbox()
    other.browser(user="bob")
    second = other.hallpass("get-token", *asks(provider)).token
    assert second != first
    assert provider.introspect(second)["sub"] == "bob"
    assert rig.sandbox.hallpass("get-token", *asks(provider)).token == first


@case
def files_and_folders_are_the_owners_alone(rig):
    provider = rig.provider()
    rig.sandbox.hallpass("get-token", *asks(provider)).token
    kept = [path for path in rig.sandbox.home.rglob("*") if "hallpass" in str(path.relative_to(rig.sandbox.home))]
    assert kept, "nothing is kept"
    for path in kept:
        mode = path.stat().st_mode & 0o777
        assert mode & 0o077 == 0, f"{path.relative_to(rig.sandbox.home)} has mode {mode:o}"


@case
def with_no_store_it_still_answers_and_asks_for_no_refresh_token(rig):
    provider = rig.provider()
    rig.sandbox.env["HALLPASS_STORE"] = "none"
    token = rig.sandbox.hallpass("get-token", *asks(provider)).token
    assert provider.introspect(token)["active"]
    assert provider.issued("refresh_token") == []
