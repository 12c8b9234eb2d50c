"""Signing in with the browser, and answering from the cache."""

import base64
import json
import os
import shlex
import subprocess
import sys
import urllib.parse
import urllib.request

from rig import case, provider_flags
from sandbox import HERE, Blocked, wait_for


@case
def the_first_call_signs_in_and_the_second_uses_the_cache(rig):
    provider = rig.provider()
    first = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    assert provider.honours(first)
    assert len(rig.sandbox.tabs()) == 1
    provider.new_requests()

    second = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    assert second == first
    assert provider.new_requests() == []
    assert len(rig.sandbox.tabs()) == 1


@case
def the_authorization_request_follows_the_rfcs(rig):
    provider = rig.provider()
    said = rig.sandbox.hallpass("get-token", *provider_flags(provider)).stderr
    (url,) = rig.sandbox.tabs()
    assert url in said, "the URL is not printed on stderr"
    asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["code_challenge"]) == 43
    assert asked["prompt"] == "consent"  # OpenID Connect Core §11
    assert set(asked["scope"].split()) == {"openid", "offline_access"}
    assert asked["state"] and asked["nonce"] and asked["state"] != asked["nonce"]
    redirect = urllib.parse.urlsplit(asked["redirect_uri"])
    assert (redirect.scheme, redirect.hostname, redirect.path) == ("http", "127.0.0.1", "/callback")
    (exchange,) = [r for r in provider.new_requests() if r["path"] == "/token"]
    assert exchange["params"]["redirect_uri"] == asked["redirect_uri"]
    assert 43 <= len(exchange["params"]["code_verifier"]) <= 128


@case
def the_result_pages_url_has_no_code_and_the_listener_closes(rig):
    provider = rig.provider()
    rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    page = rig.sandbox.page()
    assert page["status"] == 200
    (code,) = provider.issued("authorization_code")
    assert code not in page["ended"] and "?" not in page["ended"]
    assert "alice" in " ".join(page["words"]), page["words"]

    def is_closed():
        try:
            urllib.request.urlopen(page["ended"], timeout=2).close()
        except OSError:
            return True
        return False

    wait_for(is_closed, 5, "the listener is still open")


@case
def a_provider_with_default_settings_works(rig):
    provider = rig.stock_provider()
    first = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    assert provider.honours(first)
    assert rig.sandbox.hallpass("get-token", *provider_flags(provider)).token == first
    refreshed = rig.sandbox.hallpass("get-token", "--force-refresh", *provider_flags(provider)).token
    assert refreshed != first
    assert provider.honours(refreshed)
    assert len(rig.sandbox.tabs()) == 1


@case
def one_sign_in_provides_every_format_and_the_id_token(rig):
    provider = rig.provider()

    def reply(*how):
        return rig.sandbox.hallpass("get-token", *how, *provider_flags(provider)).ended(0).stdout

    token = reply().strip()
    provider.new_requests()
    assert reply("--format", "raw") == f"{token}\n"
    assert reply("--format", "bearer") == f"Bearer {token}\n"
    assert reply("--format", "header") == f"Authorization: Bearer {token}\n"
    kind, _, basic = reply("--format", "basic").strip().rpartition(" ")
    assert kind in ("", "Basic", "Authorization: Basic"), kind
    assert base64.b64decode(basic).decode().endswith(f":{token}")
    told = json.loads(reply("--format", "json"))
    assert token in told.values(), list(told)
    claims = claims_of(reply("--token", "id").strip())
    assert claims["iss"] == provider.issuer
    assert claims["aud"] in ("hallpass", ["hallpass"])
    assert claims["sub"] == "alice"
    assert provider.new_requests() == []
    assert len(rig.sandbox.tabs()) == 1


@case
def twenty_concurrent_calls_share_one_sign_in(rig):
    provider = rig.provider()
    answers = rig.sandbox.hallpass_all(20, "get-token", *provider_flags(provider), limit=60)
    assert len({answer.token for answer in answers}) == 1
    assert len(rig.sandbox.tabs()) == 1
    assert provider.new_grants() == [("authorization_code", 200)]


@case
def declining_exits_with_4_and_opens_no_second_tab(rig):
    provider = rig.provider()
    rig.sandbox.browser(do="decline")
    declined = rig.sandbox.hallpass("get-token", *provider_flags(provider)).ended(4).said("hallpass: error:", "hint:")
    assert declined.stdout == ""
    again = rig.sandbox.hallpass("get-token", *provider_flags(provider)).ended(4)
    assert again.seconds < 5, "a call during the pause waited for a sign-in"
    assert len(rig.sandbox.tabs()) == 1

    rig.sandbox.browser()
    rig.sandbox.hallpass("login", *provider_flags(provider)).ended(0)
    rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    assert len(rig.sandbox.tabs()) == 2


@case
def declining_fails_twenty_concurrent_calls_at_once(rig):
    provider = rig.provider()
    rig.sandbox.browser(do="decline")
    for answer in rig.sandbox.hallpass_all(20, "get-token", *provider_flags(provider), limit=60):
        answer.ended(4)
        assert answer.stdout == ""
    assert len(rig.sandbox.tabs()) == 1


@case
def with_prompting_disabled_get_token_exits_with_3_immediately(rig):
    provider = rig.provider()
    for how in (["--interactive", "never"], []):
        env = {} if how else {"HALLPASS_INTERACTIVE": "never"}
        told = rig.sandbox.hallpass("get-token", *how, *provider_flags(provider), **env).ended(3)
        assert told.seconds < 5
        told.said("hint:", "hallpass login")
    rig.sandbox.no_browser()
    rig.sandbox.hallpass("get-token", *provider_flags(provider)).ended(3).said("hint:")
    assert rig.sandbox.tabs() == []


@case
def a_usage_error_exits_with_2(rig):
    rig.sandbox.hallpass("get-token", "--no-such-flag").ended(2)
    rig.sandbox.hallpass("get-token", "nobody-configured-this").ended(2).said("hallpass: error:")


@case
def a_different_person_cannot_sign_in_to_the_same_account(rig):
    provider = rig.provider()
    first = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    rig.sandbox.browser(user="mallory")
    rejected = rig.sandbox.hallpass("login", *provider_flags(provider))
    assert rejected.code in (1, 4), rejected.code
    rejected.said("hallpass: error:", "mallory")
    assert rig.sandbox.hallpass("get-token", *provider_flags(provider)).token == first

    rig.sandbox.hallpass("login", "--account", "other", *provider_flags(provider)).ended(0)
    other = rig.sandbox.hallpass("get-token", "--account", "other", *provider_flags(provider)).token
    assert provider.introspect(other)["sub"] == "mallory"
    assert provider.introspect(first)["sub"] == "alice"


@case
def the_most_verbose_output_shows_no_secret(rig):
    provider = rig.provider(accessTokenTtl=2)
    rig.sandbox.env["HALLPASS_VERBOSE"] = "3"
    rig.sandbox.hallpass("get-token", *provider_flags(provider)).said("/token")
    rig.sandbox.hallpass("get-token", "-vvv", "--force-refresh", *provider_flags(provider)).token
    rig.sandbox.hallpass("status", "-vvv").ended(0)
    rig.sandbox.hallpass("logout", "-vvv", "--all").ended(0)
    rig.sandbox.browser(do="decline")
    rig.sandbox.hallpass("get-token", "-vvv", *provider_flags(provider)).ended(4)
    # Every case ends with a check that no output contains a token or a code.


def claims_of(id_token):
    _, payload, _ = id_token.split(".")
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


# Nothing listens on these endpoints. hallpass only contacts them if it accepts a callback.
NOWHERE = """
[providers.corp]
authorization_endpoint = "http://127.0.0.1:9/authorize"
token_endpoint = "http://127.0.0.1:9/token"
client_id = "hallpass"
scopes = ["read"]
"""


@case
def another_users_callback_is_rejected_although_its_closed_connection_leaves_no_trace(rig):
    if os.geteuid() != 0:
        raise Blocked("only root can run a process as another user")
    apart = ["unshare", "--net"]
    tried = subprocess.run([*apart, "true"], capture_output=True, text=True, timeout=10)
    if tried.returncode != 0:
        raise Blocked(f"unshare: {tried.stderr.strip()}")
    config = rig.sandbox.home / ".config/hallpass/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(NOWHERE, encoding="utf-8")
    for connections in (0, 5000):
        asked = subprocess.run(
            [*apart, sys.executable, "-B", HERE / "full_time_wait_table.py", str(connections),
             rig.sandbox.program, "login", "corp", "-v"],
            env=rig.sandbox.env, cwd=rig.sandbox.home, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        said = asked.stdout + asked.stderr
        # hallpass handled its own user's error instead of trying to exchange the other user's code.
        assert "own callback: HTTP/1.1 303" in asked.stdout, said
        assert "access_denied" in asked.stderr and "127.0.0.1:9/token" not in said, said
        assert "could not verify that the browser runs as the same user" not in said, said


# The same files below another root, without `/.dockerenv`: a container isn't WSL.
WSL = """
    mount -t tmpfs none "$0"
    for entry in /*; do
        if [ -L "$entry" ]; then cp -P "$entry" "$0$entry"
        elif [ -d "$entry" ]; then mkdir "$0$entry" && mount --rbind "$entry" "$0$entry"
        fi
    done
    mount --bind "$1" "$0/proc/version"
    root=$0
    shift
    exec chroot "$root" "$@"
"""


@case
def in_wsl_the_browser_of_windows_opens(rig):
    provider = rig.provider()
    # The version string of a WSL kernel. WSL passes an environment variable to Windows only if WSLENV lists it.
    version = rig.sandbox.root / "version"
    version.write_text("Linux version 6.6.87.2-microsoft-standard-WSL2\n", encoding="utf-8")
    powershell = rig.sandbox.tools / "powershell.exe"
    powershell.write_text(
        f"""#!/bin/sh
case :$WSLENV: in *:OPEN_RS_TARGET:*) exec {shlex.quote(rig.sandbox.env["BROWSER"])} "$OPEN_RS_TARGET" ;; esac
exit 1
""",
        encoding="utf-8",
    )
    powershell.chmod(0o700)
    rig.sandbox.no_browser()
    place = rig.sandbox.root / "wsl"
    place.mkdir()
    apart = ["unshare", *(["--map-root-user"] if os.geteuid() else []), "--mount", "sh", "-ec",
             WSL, str(place), str(version)]  # fmt: skip
    tried = subprocess.run([*apart, "true"], capture_output=True, text=True, timeout=20)
    if tried.returncode != 0:
        raise Blocked(f"unshare: {tried.stderr.strip()}")
    env = {"PATH": f"{rig.sandbox.tools}:{rig.sandbox.env['PATH']}", "WSL_DISTRO_NAME": "Debian"}
    told = rig.sandbox.hallpass("get-token", *provider_flags(provider), before=apart, **env)
    assert told.token
    (url,) = rig.sandbox.tabs()
    assert url.startswith(f"{provider.issuer}/auth?"), url
