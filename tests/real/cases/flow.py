"""What a provider may demand of a sign-in, and how it may sign what it says."""

import base64
import json
import socket
import urllib.parse

from cases.clients import configure
from rig import asks, case
from sandbox import moved_clock


@case
def a_request_is_pushed_where_the_provider_demands_it(rig):
    provider = rig.provider(par="required")
    for client, more in (("hallpass", []), ("hallpass-basic", ["--client-secret-file", secret_file(rig, provider)])):
        assert rig.sandbox.hallpass("get-token", *asks(provider, client), *more).token
        url = rig.sandbox.tabs()[-1]
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
        assert set(asked) == {"client_id", "request_uri"}, asked
        (push,) = [r for r in provider.new_requests() if r["path"] == "/request"]
        assert push["status"] == 201


@case
def a_request_is_not_pushed_where_that_is_only_offered(rig):
    provider = rig.provider(par="offered")
    assert rig.sandbox.hallpass("get-token", *asks(provider)).token
    assert not [r for r in provider.new_requests() if r["path"] == "/request"]


@case
def a_client_that_is_registered_to_push_says_so_in_the_configuration(rig):
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
def a_client_that_needs_a_proof_of_possession_is_explained(rig):
    provider = rig.provider()
    told = rig.sandbox.hallpass("login", *asks(provider, "proving")).ended(1)
    # This provider hides the reason from a client.
    told.said("cause: the provider rejected the request: invalid_grant", "does not require proof of possession (DPoP)")


@case
def id_tokens_are_checked_in_each_algorithm(rig):
    for algorithm in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"):
        provider = rig.provider(idTokenAlg=algorithm)
        for more in ([], ["--force-refresh"]):
            token = rig.sandbox.hallpass("get-token", "--token", "id", *more, *asks(provider)).token
            header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
            assert header["alg"] == algorithm, header


@case
def a_wrong_clock_costs_no_sign_in_and_is_named(rig):
    # The browser shares the clock, and the provider's cookies live for an hour.
    for offset, words in (("-20m", "behind the provider's"), ("+20m", "ahead of the provider's")):
        provider = rig.provider_beside(offset, idTokenTtl=300)
        clock = moved_clock(offset)
        told = rig.sandbox.hallpass("get-token", *asks(provider), **clock)
        assert provider.introspect(told.token)["active"]
        told.said("warning: by this machine's clock, the ID token", words)
        provider.new_requests()
        for _ in range(2):
            rig.sandbox.hallpass("get-token", "--token", "id", *asks(provider), **clock).ended(1).said("clock", words)
            assert rig.sandbox.hallpass("get-token", *asks(provider), **clock).token == told.token
        assert provider.new_grants() == [], "no refresh token is spent on it"


@case
def the_code_is_received_under_each_name_of_this_machine(rig):
    provider = rig.provider()
    for uri in ("http://127.0.0.1/callback", "http://[::1]/callback", "http://localhost/callback"):
        said = rig.sandbox.hallpass("login", "--redirect-uri", uri, *asks(provider)).ended(0)
        assert uri.rsplit("/", 1)[0] in urllib.parse.unquote(rig.sandbox.tabs()[-1]), said.stderr
        assert rig.sandbox.page()["status"] == 200


@case
def a_provider_that_compares_the_port_is_explained_and_the_hint_works(rig):
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{one.getsockname()[1]}/callback"
    provider = rig.provider(exactUri=uri)
    failed = rig.sandbox.hallpass("login", *asks(provider, "exact"), HALLPASS_SIGN_IN_TIMEOUT="2").ended(4)
    assert rig.sandbox.page()["status"] == 400, "the provider shows an error page"
    failed.said("If the browser showed an error page", "the client exact", "--redirect-uri http://127.0.0.1:8484/callback")
    rig.sandbox.hallpass("login", *asks(provider, "exact"), "--redirect-uri", uri).ended(0)
    assert rig.sandbox.hallpass("get-token", *asks(provider, "exact"), "--redirect-uri", uri).token


def secret_file(rig, provider):
    path = rig.sandbox.root / "secret"
    path.write_text(provider.secret + "\n", encoding="utf-8")
    path.chmod(0o600)
    return path
