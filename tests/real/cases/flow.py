"""What a provider may require of a sign-in, and the algorithms it may sign with."""

import base64
import json
import socket
import urllib.parse

from cases.clients import configure
from rig import case, provider_flags
from sandbox import moved_clock


@case
def the_request_is_pushed_if_the_provider_requires_it(rig):
    provider = rig.provider(par="required")
    for client, more in (("hallpass", []), ("hallpass-basic", ["--client-secret-file", secret_file(rig, provider)])):
        assert rig.sandbox.hallpass("get-token", *provider_flags(provider, client), *more).token
        url = rig.sandbox.tabs()[-1]
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
        assert set(asked) == {"client_id", "request_uri"}, asked
        (push,) = [r for r in provider.new_requests() if r["path"] == "/request"]
        assert push["status"] == 201


@case
def the_request_is_not_pushed_if_the_provider_only_supports_it(rig):
    provider = rig.provider(par="offered")
    assert rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    assert not [r for r in provider.new_requests() if r["path"] == "/request"]


@case
def a_client_that_must_push_sets_par_in_the_configuration(rig):
    provider = rig.provider(par="offered")
    head = f'issuer = "{provider.issuer}"\nscopes = ["openid", "offline_access"]\n'
    configure(
        rig,
        f'[providers.pushing]\nclient_id = "pushing"\npar = true\n{head}'
        f'[providers.other]\nclient_id = "hallpass"\n{head}',
    )
    for name, expected in (("pushing", [201]), ("other", [])):
        rig.sandbox.hallpass("login", name).ended(0)
        pushes = [r["status"] for r in provider.new_requests() if r["path"] == "/request"]
        assert pushes == expected, pushes


@case
def a_client_that_requires_dpop_gets_a_hint(rig):
    provider = rig.provider()
    told = rig.sandbox.hallpass("login", *provider_flags(provider, "proving")).ended(1)
    # This provider doesn't tell the client the reason.
    told.said("cause: the provider rejected the request: invalid_grant", "does not require proof of possession (DPoP)")


@case
def id_tokens_are_verified_with_every_algorithm(rig):
    for algorithm in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"):
        provider = rig.provider(idTokenAlg=algorithm)
        for more in ([], ["--force-refresh"]):
            token = rig.sandbox.hallpass("get-token", "--token", "id", *more, *provider_flags(provider)).token
            header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
            assert header["alg"] == algorithm, header


@case
def a_wrong_clock_does_not_break_sign_in_and_is_reported(rig):
    # The browser shares the clock, and the provider's cookies live for an hour.
    for offset, words in (("-20m", "behind the provider's"), ("+20m", "ahead of the provider's")):
        provider = rig.provider_beside(offset, idTokenTtl=300)
        clock = moved_clock(offset)
        told = rig.sandbox.hallpass("get-token", *provider_flags(provider), **clock)
        assert provider.introspect(told.token)["active"]
        told.said("warning: by this machine's clock, the ID token", words)
        provider.new_requests()
        for _ in range(2):
            rig.sandbox.hallpass("get-token", "--token", "id", *provider_flags(provider), **clock).ended(1).said("clock", words)
            assert rig.sandbox.hallpass("get-token", *provider_flags(provider), **clock).token == told.token
        assert provider.new_grants() == [], "a wrong clock used up a refresh token"


@case
def the_callback_works_on_every_loopback_address(rig):
    provider = rig.provider()
    for uri in ("http://127.0.0.1/callback", "http://[::1]/callback", "http://localhost/callback"):
        said = rig.sandbox.hallpass("login", "--redirect-uri", uri, *provider_flags(provider)).ended(0)
        assert uri.rsplit("/", 1)[0] in urllib.parse.unquote(rig.sandbox.tabs()[-1]), said.stderr
        assert rig.sandbox.page()["status"] == 200


@case
def a_provider_that_compares_ports_gets_a_hint_that_works(rig):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{probe.getsockname()[1]}/callback"
    provider = rig.provider(exactUri=uri)
    failed = rig.sandbox.hallpass("login", *provider_flags(provider, "exact"), HALLPASS_SIGN_IN_TIMEOUT="2").ended(4)
    assert rig.sandbox.page()["status"] == 400, "the provider did not show an error page"
    failed.said("If the browser showed an error page", "the client exact", "--redirect-uri http://127.0.0.1:8484/callback")
    rig.sandbox.hallpass("login", *provider_flags(provider, "exact"), "--redirect-uri", uri).ended(0)
    assert rig.sandbox.hallpass("get-token", *provider_flags(provider, "exact"), "--redirect-uri", uri).token


def secret_file(rig, provider):
    path = rig.sandbox.root / "secret"
    path.write_text(provider.secret + "\n", encoding="utf-8")
    path.chmod(0o600)
    return path
