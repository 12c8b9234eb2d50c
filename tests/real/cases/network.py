"""Certificates, proxies and name servers: failures are reported quickly, by name, and lose nothing."""

import subprocess
import sys
import time

from certificates import SelfSigned
from rig import case, provider_flags
from sandbox import HERE, Blocked

NEVER = ["--interactive", "never"]


def behind_tls(rig, authority, **settings):
    return rig.provider(tls=authority.certificate(), accessTokenTtl=2, **settings)


def trusting(rig, authority, text=""):
    path = rig.sandbox.home / ".config/hallpass/config.toml"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text(f'ca_file = "{authority.ca_file}"\n{text}', encoding="utf-8")


def silent_name_server():
    """The prefix of a command that runs with a name server that never responds."""
    namespaces = ["unshare", "--map-root-user", "--net", "--mount"]
    tried = subprocess.run([*namespaces, "mount", "--bind", "/etc/hosts", "/etc/resolv.conf"],
                           capture_output=True, text=True, timeout=20)  # fmt: skip
    if tried.returncode != 0:
        raise Blocked(f"could not create namespaces: {tried.stderr.strip()}")
    return [*namespaces, sys.executable, "-B", str(HERE / "silent_name_server.py")]


def expire():
    time.sleep(2.1)


@case
def a_private_ca_is_trusted_if_it_is_configured(rig):
    authority = rig.authority()
    provider = behind_tls(rig, authority)
    rig.sandbox.browser(ca=authority.ca_file)
    trusting(rig, authority)
    first = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    expire()
    second = rig.sandbox.hallpass("get-token", *NEVER, *provider_flags(provider)).token
    assert second != first
    provider.new_requests()
    rig.sandbox.hallpass("logout", "--all").ended(0)
    revoked = [r["status"] for r in provider.new_requests() if r["path"] == "/token/revocation"]
    assert revoked == [200, 200], revoked


@case
def a_self_signed_certificate_is_trusted_if_it_is_configured(rig):
    own, another = (SelfSigned(rig.sandbox.root / name) for name in ("own", "another"))
    provider = behind_tls(rig, own)
    rig.sandbox.browser(ca=own.ca_file)
    for known in (None, another):
        if known:
            trusting(rig, known)
        told = rig.sandbox.hallpass("get-token", *provider_flags(provider)).ended(1)
        told.said("certificate of localhost", "ca_file")
        assert "UsedAs" not in told.stderr and "Other" not in told.stderr, told.stderr
    trusting(rig, own)
    assert rig.sandbox.hallpass("get-token", *provider_flags(provider)).token


@case
def a_bad_certificate_is_reported_opens_no_tab_and_loses_nothing(rig):
    authority, stranger = rig.authority(), rig.authority("stranger")
    good = authority.certificate()
    bad = [
        (stranger.certificate(), ["certificate of localhost", "ca_file"]),
        (authority.certificate(expired=True), ["certificate of localhost", "expired", "`date`"]),
        (authority.certificate(names=["elsewhere.test"]), ["certificate of localhost", "name", "addresses"]),
    ]
    provider = behind_tls(rig, authority)
    rig.sandbox.browser(ca=authority.ca_file)
    trusting(rig, authority)

    for certificate, words in bad:
        provider.set(tls=certificate)
        failed = rig.sandbox.hallpass("get-token", *provider_flags(provider))
        failed.ended(1).said(*words)
        assert failed.seconds < 5
    assert rig.sandbox.tabs() == [] and provider.new_requests() == []

    provider.set(tls=good)
    token = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    provider.new_requests()
    for certificate, words in bad:
        expire()
        provider.set(tls=certificate)
        failed = rig.sandbox.hallpass("get-token", *provider_flags(provider))
        failed.ended(1).said(*words)
        assert "hallpass login" not in failed.stderr
        assert provider.new_requests() == []
        provider.set(tls=good)
        token, old = rig.sandbox.hallpass("get-token", *NEVER, *provider_flags(provider)).token, token
        assert token != old
        provider.new_requests()
    assert len(rig.sandbox.tabs()) == 1


@case
def an_unknown_ca_is_not_trusted(rig):
    authority, other = rig.authority(), rig.authority("other")
    provider = behind_tls(rig, authority)
    rig.sandbox.hallpass("get-token", *provider_flags(provider)).ended(1).said("certificate of localhost", "ca_file")
    trusting(rig, other)
    rig.sandbox.hallpass("get-token", *provider_flags(provider)).ended(1).said("certificate of localhost", "ca_file")
    assert rig.sandbox.tabs() == []


@case
def the_proxy_is_used_for_everything_but_loopback(rig):
    authority, proxy = rig.authority(), rig.proxy()
    provider = behind_tls(rig, authority, name="provider.test")
    host = provider.issuer.removeprefix("https://")
    rig.sandbox.browser(ca=authority.ca_file, proxy=proxy.url)
    trusting(rig, authority)

    # Only the proxy can resolve this name.
    for past in ({}, *({"HTTPS_PROXY": proxy.url, "NO_PROXY": name} for name in ("provider.test", ".test", "*"))):
        rig.sandbox.hallpass("get-token", *provider_flags(provider), **past).ended(1).said(f"{host} cannot be reached")
    assert proxy.asked == []
    for variable in ("HTTPS_PROXY", "https_proxy"):
        through = {variable: proxy.url}
        first = rig.sandbox.hallpass("get-token", *provider_flags(provider), **through).token
        expire()
        assert rig.sandbox.hallpass("get-token", *NEVER, *provider_flags(provider), **through).token != first
        rig.sandbox.hallpass("logout", "--all", **through).ended(0)
        assert set(proxy.asked) == {(f"CONNECT {host}", 200)}, proxy.asked

    before = len(proxy.asked)
    direct = rig.provider()
    plain = {name: proxy.url for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy")}
    rig.sandbox.browser()
    rig.sandbox.hallpass("get-token", *provider_flags(direct), **plain).token
    assert len(proxy.asked) == before, proxy.asked[before:]


@case
def a_proxy_password_is_taken_from_the_proxy_url(rig):
    authority, proxy = rig.authority(), rig.proxy(user="somebody", password="proxy-canary")
    provider = behind_tls(rig, authority, name="provider.test")
    rig.sandbox.browser(ca=authority.ca_file, proxy=proxy.url)
    trusting(rig, authority)
    for url in (f"http://127.0.0.1:{proxy.port}", f"http://somebody:wrong-canary@127.0.0.1:{proxy.port}"):
        refused = rig.sandbox.hallpass("get-token", "-v", *provider_flags(provider), HTTPS_PROXY=url)
        refused.ended(1).said(f"the proxy 127.0.0.1:{proxy.port} requires a user name and password")
        refused.said(f"HTTPS_PROXY=http://USER:PASSWORD@127.0.0.1:{proxy.port}")
        assert "canary" not in refused.stderr
    good = rig.sandbox.hallpass("get-token", "-v", *provider_flags(provider), HTTPS_PROXY=proxy.url)
    assert good.token and "canary" not in good.stderr


@case
def a_dead_proxy_is_reported_and_loses_nothing(rig):
    authority, proxy = rig.authority(), rig.proxy()
    provider = behind_tls(rig, authority, name="provider.test")
    rig.sandbox.browser(ca=authority.ca_file, proxy=proxy.url)
    trusting(rig, authority)
    first = rig.sandbox.hallpass("get-token", *provider_flags(provider), HTTPS_PROXY=proxy.url).token
    expire()
    proxy.close()
    dead = rig.sandbox.hallpass("get-token", *provider_flags(provider), HTTPS_PROXY=proxy.url)
    dead.ended(1).said(f"the proxy 127.0.0.1:{proxy.port} could not connect to provider.test", "NO_PROXY=provider.test")
    assert "hallpass login" not in dead.stderr
    again = rig.proxy()
    assert rig.sandbox.hallpass("get-token", *NEVER, *provider_flags(provider), HTTPS_PROXY=again.url).token != first
    assert len(rig.sandbox.tabs()) == 1


@case
def a_silent_name_server_times_out(rig):
    silent = silent_name_server()
    arguments = ["get-token", "--issuer-url", "https://provider.test", "--client-id", "x", "--scope", "openid"]
    failed = rig.sandbox.hallpass(*arguments, before=silent, HALLPASS_HTTP_TIMEOUT="2")
    failed.ended(1).said("provider.test did not answer within 2 s")
    assert failed.seconds < 6, failed.seconds
    assert rig.sandbox.tabs() == []
