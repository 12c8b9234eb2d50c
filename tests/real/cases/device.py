"""The device authorization grant (RFC 8628): a terminal here and a browser on another device."""

import re

from browser import Browser
from rig import case, provider_flags

# This provider's user codes look like XXXX-XXXX.
USER_CODE = re.compile(r"\b([A-Z]{4}-[A-Z]{4})\b")


def address(provider):
    return re.compile(re.escape(provider.issuer) + r"/device\b\S*")


@case
def a_code_entered_in_another_browser_signs_in(rig):
    provider = rig.provider()
    rig.sandbox.no_browser()
    person = rig.sandbox.at_a_terminal("get-token", "--flow", "device", *provider_flags(provider))
    code = person.wait_for(USER_CODE).group(1)
    page = person.wait_for(address(provider)).group(0)
    last = Browser().visit(page.split("?")[0], code=code)
    assert "successful" in " ".join(last.words), last.words
    token = person.end().token
    assert provider.introspect(token)["active"]
    grant = "urn:ietf:params:oauth:grant-type:device_code"
    asked = [r for r in provider.new_requests() if r["params"].get("grant_type") == grant]
    assert asked[-1]["status"] == 200
    assert all(r["error"] == "authorization_pending" for r in asked[:-1])

    assert rig.sandbox.hallpass("get-token", *provider_flags(provider)).token == token
    refreshed = rig.sandbox.hallpass("get-token", "--force-refresh", *provider_flags(provider)).token
    assert refreshed != token


@case
def declining_the_code_exits_with_4(rig):
    provider = rig.provider()
    rig.sandbox.no_browser()
    person = rig.sandbox.at_a_terminal("get-token", "--flow", "device", *provider_flags(provider))
    code = person.wait_for(USER_CODE).group(1)
    page = person.wait_for(address(provider)).group(0)
    Browser().visit(page.split("?")[0], do="decline", code=code)
    ended = person.end()
    assert ended.code == 4, ended.stderr
    assert ended.stdout == ""


@case
def a_code_that_is_never_entered_expires_and_exits_with_4(rig):
    provider = rig.provider(deviceCodeTtl=7)
    rig.sandbox.no_browser()
    person = rig.sandbox.at_a_terminal("get-token", "--flow", "device", *provider_flags(provider))
    person.wait_for(USER_CODE)
    ended = person.end()
    assert ended.code == 4, ended.stderr
    assert ended.stdout == "" and ended.seconds > 5


@case
def a_terminal_without_a_browser_uses_the_device_grant_automatically(rig):
    provider = rig.provider()
    rig.sandbox.no_browser()
    person = rig.sandbox.at_a_terminal("get-token", *provider_flags(provider))
    code = person.wait_for(USER_CODE).group(1)
    Browser().visit(f"{provider.issuer}/device", code=code)
    person.end().token
