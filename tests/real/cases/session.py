"""`login`, `status` and `logout`."""

import json

from rig import case, provider_flags


@case
def status_shows_who_is_signed_in_but_no_token(rig):
    provider = rig.provider()
    empty = rig.sandbox.hallpass("status", "--json").ended(0)
    json.loads(empty.stdout)
    token = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    for how in ([], ["--json"]):
        told = rig.sandbox.hallpass("status", *how).ended(0)
        for kind, secret in provider.secrets():
            assert secret not in told.stdout, f"status printed a {kind}"
        assert "alice" in told.stdout, told.stdout
        assert "offline_access" in told.stdout or not how, told.stdout
        assert token not in told.stderr
    json.loads(rig.sandbox.hallpass("status", "--json").stdout)


@case
def logout_revokes_the_tokens_and_removes_the_session(rig):
    provider = rig.provider()
    token = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    (refresh,) = provider.issued("refresh_token")
    assert provider.introspect(refresh)["active"]
    rig.sandbox.hallpass("logout", "--all").ended(0)
    assert not provider.introspect(refresh)["active"]
    assert not provider.introspect(token)["active"]
    rig.sandbox.hallpass("get-token", "--interactive", "never", *provider_flags(provider)).ended(3)
    assert "alice" not in rig.sandbox.hallpass("status", "--json").stdout


@case
def logout_of_one_session_does_not_affect_another(rig):
    one, other = rig.provider(), rig.provider()
    first = rig.sandbox.hallpass("get-token", *provider_flags(one)).token
    second = rig.sandbox.hallpass("get-token", *provider_flags(other)).token
    rig.sandbox.hallpass("logout", *provider_flags(one)).ended(0)
    assert not one.introspect(first)["active"]
    assert other.introspect(second)["active"]
    assert rig.sandbox.hallpass("get-token", *provider_flags(other)).token == second


@case
def logout_removes_the_session_although_the_provider_is_down(rig):
    provider = rig.provider()
    rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    provider.pause()
    told = rig.sandbox.hallpass("logout", "--all")
    assert "revoke" in told.stderr, told.stderr
    provider.resume()
    rig.sandbox.hallpass("get-token", "--interactive", "never", *provider_flags(provider)).ended(3)


@case
def logout_succeeds_without_a_revocation_endpoint(rig):
    provider = rig.provider(revocation=False)
    rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    rig.sandbox.hallpass("logout", "--all").ended(0).said("note: ", "has no revocation endpoint")

    # This provider responds with 400 to the revocation of a JWT access token (RFC 7009 §2.2).
    provider = rig.provider_beside(2, jwtAccessTokens=True)
    token = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    assert token.count(".") == 2, "the token is not a JWT"
    (refresh,) = provider.issued("refresh_token")
    provider.new_requests()
    rig.sandbox.hallpass("logout", "--all").ended(0).said("note: ", "access token")
    asked = [r["status"] for r in provider.new_requests() if r["path"] == "/token/revocation"]
    assert asked == [200, 400], asked
    assert not provider.introspect(refresh)["active"]


@case
def an_unknown_key_in_the_system_configuration_is_a_warning(rig):
    provider = rig.provider()
    text = rig.sandbox.root / "system.toml"
    text.write_text(
        f'[providers.corp]\nissuer = "{provider.issuer}"\nclient_id = "hallpass"\nfrom_the_future = 1\nscopes = ["openid"]\n', encoding="utf-8"
    )
    text.chmod(0o644)
    # A private /etc, in a mount namespace that exists as long as the command runs.
    script = """set -e
        authorities=$(cat /etc/ssl/certs/ca-certificates.crt)
        mount -t tmpfs tmpfs /etc
        mkdir -p /etc/hallpass /etc/ssl/certs
        printf "%s\\n" "$authorities" > /etc/ssl/certs/ca-certificates.crt
        cp "$0" /etc/hallpass/config.toml
        exec "$@"
    """
    before = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, text]
    told = rig.sandbox.hallpass("get-token", "corp", before=before)
    assert told.token
    told.said("warning: /etc/hallpass/config.toml:4: unknown key `from_the_future` in [providers.corp]", "a newer version")


@case
def login_signs_in_again_although_a_token_is_cached(rig):
    provider = rig.provider()
    first = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    signed_in = rig.sandbox.hallpass("login", *provider_flags(provider)).ended(0)
    assert signed_in.stdout == "" or first not in signed_in.stdout
    assert rig.sandbox.hallpass("get-token", *provider_flags(provider)).token != first
    assert len(rig.sandbox.tabs()) == 2
