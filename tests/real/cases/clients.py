"""Confidential clients, and providers in the configuration file."""

from rig import case, provider_flags


def secret_file(rig, provider):
    # Outside HOME: every case checks that no file under HOME contains the secret.
    path = rig.sandbox.root / "secret"
    path.write_text(provider.secret + "\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def configure(rig, text):
    path = rig.sandbox.home / ".config/hallpass/config.toml"
    path.parent.mkdir(mode=0o700, parents=True)
    path.write_text(text, encoding="utf-8")


@case
def a_confidential_client_signs_in_and_refreshes_with_basic(rig):
    provider = rig.provider()
    flags = [*provider_flags(provider, "hallpass-basic"), "--client-secret-file", secret_file(rig, provider)]
    first = rig.sandbox.hallpass("get-token", *flags).token
    second = rig.sandbox.hallpass("get-token", "--force-refresh", *flags).token
    assert second != first
    assert provider.introspect(second)["active"]
    asked = [r for r in provider.new_requests() if r["path"] == "/token"]
    assert all(r["basic"] and "client_secret" not in r["params"] for r in asked)


@case
def a_configured_confidential_client_signs_in_with_post(rig):
    provider = rig.provider()
    configure(
        rig,
        f"""
        [providers.corp]
        issuer = "{provider.issuer}"
        client_id = "hallpass-post"
        client_secret_file = "{secret_file(rig, provider)}"
        client_auth = "post"
        scopes = ["openid", "offline_access"]

        [[resources]]
        match = "https://api.corp.example"
        provider = "corp"
        """,
    )
    first = rig.sandbox.hallpass("get-token", "corp").token
    asked = [r for r in provider.new_requests() if r["path"] == "/token"]
    assert all(not r["basic"] and r["params"]["client_secret"] == provider.secret for r in asked)

    assert rig.sandbox.hallpass("get-token", "https://api.corp.example/v1").token == first
    rig.sandbox.hallpass("get-token", "https://api.corp.example.evil.example/").ended(2)
    assert rig.sandbox.hallpass("get-token", "--force-refresh", "corp").token != first
    rig.sandbox.hallpass("logout", "corp").ended(0)
    rig.sandbox.hallpass("get-token", "--interactive", "never", "corp").ended(3).said("hallpass login corp")


@case
def a_wrong_secret_is_an_error_that_does_not_show_it(rig):
    provider = rig.provider()
    wrong = rig.sandbox.root / "wrong"
    wrong.write_text("not-this-one-at-all\n", encoding="utf-8")
    wrong.chmod(0o600)
    failed = rig.sandbox.hallpass("get-token", *provider_flags(provider, "hallpass-basic"), "--client-secret-file", wrong)
    failed.ended(1).said("hallpass: error:")
    assert "not-this-one" not in failed.stderr
