"""The main cases again with another provider, which differs wherever the RFCs allow it: its issuer
has a path, it sends no `iss`, its endpoints end in a slash, and only its RFC 8414 metadata names the
revocation endpoint."""

import json
import re
import time
import urllib.parse
import urllib.request

from browser import Browser
from cases.clients import configure
from cases.sign_in import claims_of
from provider import fetch
from rig import case

USER_CODE = re.compile(r"with the code (\w{8})\b")
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


def provider_flags(toolkit, client="hallpass"):
    return ["--issuer-url", toolkit.issuer, "--client-id", client, "--scope", "openid", "--scope", "read"]


@case
def the_second_provider_differs_from_the_first(rig):
    toolkit = rig.toolkit()
    origin = toolkit.issuer.removesuffix("/o")
    openid = json.loads(fetch(f"{toolkit.issuer}/.well-known/openid-configuration")[1])
    rfc8414 = json.loads(fetch(f"{origin}/.well-known/oauth-authorization-server/o")[1])
    for document in (openid, rfc8414):
        assert document["issuer"] == f"{origin}/o"
        assert document["token_endpoint"] == f"{origin}/o/token/"
        assert "authorization_response_iss_parameter_supported" not in document
        assert "device_authorization_endpoint" not in document
    assert "revocation_endpoint" not in openid
    assert rfc8414["revocation_endpoint"] == f"{origin}/o/revoke_token/"


@case
def the_second_provider_signs_in_caches_refreshes_and_revokes(rig):
    toolkit = rig.toolkit()
    first = rig.sandbox.hallpass("get-token", *provider_flags(toolkit)).token
    assert toolkit.introspect(first)["username"] == "alice"
    assert toolkit.new_grants() == [("authorization_code", 200)]
    (callback,) = [r for r in toolkit.all_requests() if "code" in r.get("sent_to", ())]
    assert "iss" not in callback["sent_to"]
    page = rig.sandbox.page()
    assert page["status"] == 200 and toolkit.issuer.rsplit("/", 1)[0] in " ".join(page["words"]), page

    assert rig.sandbox.hallpass("get-token", *provider_flags(toolkit)).token == first
    assert toolkit.new_requests() == []

    second = rig.sandbox.hallpass("get-token", "--force-refresh", *provider_flags(toolkit)).token
    assert second != first
    assert toolkit.new_grants() == [("refresh_token", 200)]
    assert toolkit.honours(second) and not toolkit.honours(first)
    *spent, refresh = toolkit.issued("refresh_token")
    assert len(spent) == 1

    rig.sandbox.hallpass("logout", *provider_flags(toolkit)).ended(0)
    asked = toolkit.new_requests()
    assert {r["status"] for r in asked if r["path"] == "/o/revoke_token/"} == {200}, asked
    assert not toolkit.introspect(second)["active"]
    # This provider only introspects access tokens, so try to use the refresh token.
    form = {"grant_type": "refresh_token", "refresh_token": refresh, "client_id": "hallpass"}
    assert fetch_form(f"{toolkit.issuer}/token/", form)["error"] == "invalid_grant"
    rig.sandbox.hallpass("get-token", "--interactive", "never", *provider_flags(toolkit)).ended(3)
    assert len(rig.sandbox.tabs()) == 1


def fetch_form(url, fields):
    return json.loads(fetch(urllib.request.Request(url, urllib.parse.urlencode(fields).encode()))[1])


@case
def default_scopes_that_the_second_provider_does_not_support_are_left_out(rig):
    toolkit = rig.toolkit()
    supported = json.loads(fetch(f"{toolkit.issuer}/.well-known/openid-configuration")[1])["scopes_supported"]
    assert "openid" in supported and "offline_access" not in supported, supported
    named = ["--issuer-url", toolkit.issuer, "--client-id", "hallpass"]
    first = rig.sandbox.hallpass("get-token", *named).token
    asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(rig.sandbox.tabs()[-1]).query))
    assert asked["scope"] == "openid", asked
    assert rig.sandbox.hallpass("get-token", "--force-refresh", *named).token != first


@case
def get_token_returns_the_second_providers_id_token(rig):
    toolkit = rig.toolkit()
    claims = claims_of(rig.sandbox.hallpass("get-token", "--token", "id", *provider_flags(toolkit)).token)
    assert claims["iss"] == toolkit.issuer
    assert claims["aud"] in ("hallpass", ["hallpass"])
    assert claims["sub"]
    (opened,) = rig.sandbox.tabs()
    assert claims["nonce"] in opened


@case
def declining_at_the_second_provider_exits_with_4(rig):
    toolkit = rig.toolkit()
    rig.sandbox.browser(do="decline")
    declined = rig.sandbox.hallpass("get-token", *provider_flags(toolkit)).ended(4).said("hallpass: error:", "hint:")
    assert declined.stdout == ""
    assert "declined" in " ".join(rig.sandbox.page()["words"])
    assert toolkit.new_grants() == []


@case
def a_different_person_at_the_second_provider_is_rejected(rig):
    toolkit = rig.toolkit()
    first = rig.sandbox.hallpass("get-token", *provider_flags(toolkit)).token
    rig.sandbox.browser(user="mallory")
    rig.sandbox.hallpass("login", *provider_flags(toolkit)).ended(1).said("hallpass: error:", "hint:")
    assert rig.sandbox.hallpass("get-token", *provider_flags(toolkit)).token == first


@case
def twenty_concurrent_calls_sign_in_and_refresh_once_at_the_second_provider(rig):
    toolkit = rig.toolkit(accessTokenTtl=1)
    # Every call gets the token that one of them fetched, however soon it expires.
    answers = rig.sandbox.hallpass_all(20, "get-token", *provider_flags(toolkit), limit=60)
    assert all(answer.token for answer in answers)
    assert len(rig.sandbox.tabs()) == 1
    assert [grant for grant in toolkit.new_grants() if grant[0] == "authorization_code"] == [
        ("authorization_code", 200)
    ]

    time.sleep(1.2)  # the toolkit counts whole seconds; there is nothing else to wait for
    toolkit.set(accessTokenTtl=3600)
    answers = rig.sandbox.hallpass_all(20, "get-token", *provider_flags(toolkit), limit=60)
    assert len({answer.token for answer in answers}) == 1
    assert toolkit.new_grants() == [("refresh_token", 200)]
    assert toolkit.introspect(answers[0].token)["active"]
    assert len(rig.sandbox.tabs()) == 1


def by_device_code(rig, toolkit):
    """Configures the device endpoint, which the provider's metadata doesn't name, and starts the flow."""
    configure(
        rig,
        f"""
        [providers.toolkit]
        issuer = "{toolkit.issuer}"
        client_id = "hallpass-device"
        device_authorization_endpoint = "{toolkit.issuer}/device-authorization/"
        scopes = ["openid", "read"]
        """,
    )
    rig.sandbox.no_browser()
    person = rig.sandbox.at_a_terminal("get-token", "--flow", "device", "toolkit")
    code = person.wait_for(USER_CODE).group(1)
    return person, code


@case
def the_second_providers_device_code_signs_in(rig):
    toolkit = rig.toolkit()
    person, code = by_device_code(rig, toolkit)
    Browser().visit(f"{toolkit.issuer}/device/", code=code)
    token = person.end().token
    assert toolkit.introspect(token)["username"] == "alice"
    asked = [r for r in toolkit.new_requests() if r["params"].get("grant_type") == DEVICE_CODE]
    assert asked[-1]["status"] == 200
    assert all(r["error"] == "authorization_pending" for r in asked[:-1]), asked

    assert rig.sandbox.hallpass("get-token", "toolkit").token == token
    assert toolkit.new_requests() == []


@case
def declining_the_second_providers_device_code_exits_with_4(rig):
    toolkit = rig.toolkit()
    person, code = by_device_code(rig, toolkit)
    Browser().visit(f"{toolkit.issuer}/device/", do="decline", code=code)
    ended = person.end()
    assert (ended.code, ended.stdout) == (4, ""), ended.stderr
