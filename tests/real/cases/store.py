"""Where the data key is stored: in a real Secret Service, in a file, or nowhere."""

from rig import case, kernel_keyring, provider_flags


@case
def the_secret_service_stores_the_data_key_and_no_token_is_stored_unencrypted(rig):
    provider = rig.provider()
    keyring = rig.secret_service()
    before = set(keyring.items())
    rig.sandbox.env["HALLPASS_STORE"] = "keyring"
    first = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    assert len(set(keyring.items()) - before) == 1, "exactly one item must be added to the keyring"
    assert rig.sandbox.hallpass("get-token", *provider_flags(provider)).token == first
    second = rig.sandbox.hallpass("get-token", "--force-refresh", *provider_flags(provider)).token
    assert second != first
    assert len(set(keyring.items()) - before) == 1
    assert len(rig.sandbox.tabs()) == 1
    # Every case ends with a check that no file under HOME, including the keyring's, contains a token.


@case
def after_lock_the_data_key_is_read_from_the_keyring_again(rig):
    provider = rig.provider()
    rig.secret_service()
    rig.sandbox.env["HALLPASS_STORE"] = "keyring"
    first = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    rig.sandbox.hallpass("lock").ended(0)
    assert rig.sandbox.hallpass("get-token", *provider_flags(provider)).token == first


@case
def a_cache_hit_uses_the_kernel_keyring_instead_of_the_os_keyring(rig):
    kernel_keyring()
    provider = rig.provider()
    keyring = rig.secret_service()
    rig.sandbox.env["HALLPASS_STORE"] = "keyring"
    first = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    keyring.close()
    assert rig.sandbox.hallpass("get-token", *provider_flags(provider)).token == first
    rig.sandbox.hallpass("lock").ended(0)
    rig.sandbox.hallpass("get-token", *provider_flags(provider)).ended(1)


@case
def a_missing_keyring_is_an_error_and_loses_nothing(rig):
    provider = rig.provider()
    keyring = rig.secret_service()
    rig.sandbox.env["HALLPASS_STORE"] = "keyring"
    first = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    rig.sandbox.hallpass("lock").ended(0)
    keyring.close()

    gone = rig.sandbox.hallpass("get-token", *provider_flags(provider)).ended(1).said("hallpass: error:", "hint:")
    assert gone.seconds < 65
    assert len(rig.sandbox.tabs()) == 1, "a missing keyring opened a browser"

    rig.secret_service()
    assert rig.sandbox.hallpass("get-token", *provider_flags(provider)).token == first
    assert len(rig.sandbox.tabs()) == 1


@case
def twenty_concurrent_calls_share_one_data_key(rig):
    provider = rig.provider()
    keyring = rig.secret_service()
    rig.sandbox.env["HALLPASS_STORE"] = "keyring"
    before = set(keyring.items())
    answers = rig.sandbox.hallpass_all(20, "get-token", *provider_flags(provider), limit=60)
    assert len({answer.token for answer in answers}) == 1
    assert len(set(keyring.items()) - before) == 1
    assert len(rig.sandbox.tabs()) == 1


@case
def a_missing_keyring_that_the_setting_requires_is_an_error(rig):
    provider = rig.provider()
    rig.sandbox.env["HALLPASS_STORE"] = "keyring"
    rig.sandbox.hallpass("get-token", *provider_flags(provider)).ended(1).said("hallpass: error:", "hint:")


@case
def two_home_directories_share_nothing(rig):
    provider = rig.provider()
    first = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    other = rig.another_sandbox()
    other.browser(user="bob")
    second = other.hallpass("get-token", *provider_flags(provider)).token
    assert second != first
    assert provider.introspect(second)["sub"] == "bob"
    assert rig.sandbox.hallpass("get-token", *provider_flags(provider)).token == first


@case
def only_the_owner_can_access_files_and_folders(rig):
    provider = rig.provider()
    rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    created = [path for path in rig.sandbox.home.rglob("*") if "hallpass" in str(path.relative_to(rig.sandbox.home))]
    assert created, "hallpass created no files"
    for path in created:
        mode = path.stat().st_mode & 0o777
        assert mode & 0o077 == 0, f"{path.relative_to(rig.sandbox.home)} has mode {mode:o}"


@case
def without_a_store_hallpass_works_and_requests_no_refresh_token(rig):
    provider = rig.provider()
    rig.sandbox.env["HALLPASS_STORE"] = "none"
    token = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    assert provider.introspect(token)["active"]
    assert provider.issued("refresh_token") == []
