"""Signing in with a real Chromium: what it sends unprompted, stores and shows."""

import shutil
import sqlite3
import time
import urllib.parse

from rig import case, provider_flags
from sandbox import wait_for


def redirect(rig):
    """The parsed redirect URI of the last tab."""
    asked = urllib.parse.parse_qs(urllib.parse.urlsplit(rig.sandbox.tabs()[-1]).query)
    return urllib.parse.urlsplit(asked["redirect_uri"][0])


def shows_signed_in(page, provider):
    assert page["status"] == 200, page
    shows(page, "You are signed in", "Provider", provider.issuer, "Account", "default", "Signed in as", "alice",
         "You can close this tab and return to your terminal.")  # fmt: skip


def shows(page, *words):
    for word in words:
        assert word in page["text"], f"{word!r} is not on the page:\n{page['text']}"


def says_how_to_retry(page, provider, *more):
    login = f"hallpass login --issuer-url {provider.issuer} --client-id hallpass --scope openid --scope offline_access"
    shows(page, provider.issuer, "Account", "default", " ".join([login, *more]))


@case
def chromium_keeps_the_code_out_of_its_address_bar_history_and_referrer(rig):
    provider, chromium = rig.provider(), rig.chromium()
    rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    page = chromium.page()
    shows_signed_in(page, provider)
    chromium.screenshots("signed-in")
    listener = redirect(rig)
    (code,) = provider.issued("authorization_code")
    assert page["url"] == f"http://{listener.netloc}/callback/done", page
    assert page["referrer"] == "" and page["title"] == "You are signed in – hallpass", page
    assert page["history"] and not any(code in url for url in page["history"]), page["history"]

    heads = chromium.sent(listener.netloc)
    callback, done, *rest = heads
    assert callback["target"].startswith("/callback?") and code in callback["target"]
    assert done["target"] == "/callback/done"
    assert rest == [], f"{rest}: the page declares its icon, so Chromium should request nothing else"
    for head in heads:
        assert code not in str(head["fields"]), head
    assert not any(code in url for url in redirect_targets_in_history(chromium)), "the history contains the code"
    assert provider.new_grants() == [("authorization_code", 200)]


def redirect_targets_in_history(chromium):
    """The URLs that chrome://history and the address bar's suggestions show: the final URLs of redirects."""
    copy = chromium.folder / "history.sqlite"
    shutil.copy(chromium.folder / "profile/Default/History", copy)
    with sqlite3.connect(copy) as history:
        rows = history.execute(
            "SELECT urls.url FROM urls JOIN visits ON visits.url = urls.id WHERE visits.transition & 0x20000000"
        ).fetchall()
    assert rows, "Chromium saved no history at all"
    return [url for (url,) in rows]


@case
def reloading_the_result_page_fails_and_does_not_repeat_the_exchange(rig):
    provider, chromium = rig.provider(), rig.chromium()
    person = rig.sandbox.at_a_terminal("get-token", *provider_flags(provider))
    wait_for(rig.sandbox.tabs, 20, "no tab was opened")
    shows_signed_in(chromium.page(), provider)
    shows(chromium.order("reload"), "ERR_CONNECTION_REFUSED")
    person.end().token
    assert provider.new_grants() == [("authorization_code", 200)]


@case
def a_repeated_callback_shows_the_result_and_exchanges_the_code_once(rig):
    provider, chromium = rig.provider(token=1500, hold=True), rig.chromium()
    person = rig.sandbox.at_a_terminal("get-token", *provider_flags(provider))
    callback = provider.held()
    shows(chromium.page(), "Go on to the application")
    chromium.person(do="leave")
    chromium.order("open", url=callback)
    time.sleep(0.5)  # the exchange takes three times as long
    assert person.process.poll() is None, person.shown
    page = chromium.order("goto", url=callback)  # in the same tab, which is still loading
    shows_signed_in(page, provider)
    person.end().token
    assert provider.new_grants() == [("authorization_code", 200)]
    callbacks = [h for h in chromium.sent(redirect(rig).netloc) if h["target"].startswith("/callback?")]
    assert len(callbacks) == 2, callbacks


@case
def favicons_frames_and_prefetches_do_not_use_up_the_code(rig):
    provider, chromium = rig.provider(hold=True), rig.chromium()
    person = rig.sandbox.at_a_terminal("get-token", *provider_flags(provider))
    callback = provider.held()
    shows(chromium.page(), "Go on to the application")
    chromium.order("goto", url=f"{provider.issuer}/ahead?{urllib.parse.urlencode({'of': callback})}")
    time.sleep(1)  # Chromium prefetches on its own and doesn't report when
    assert person.process.poll() is None, person.shown
    assert provider.new_grants() == []
    shows_signed_in(chromium.order("goto", url=callback), provider)
    person.end().token
    assert provider.new_grants() == [("authorization_code", 200)]
    heads = chromium.sent(redirect(rig).netloc)
    (code,) = provider.issued("authorization_code")
    assert not any(code in str(head["fields"]) for head in heads), heads
    assert "/favicon.ico" in [head["target"] for head in heads]
    callbacks = [head["fields"] for head in heads if head["target"].startswith("/callback?")]
    assert any("prefetch" in fields.get("sec-purpose", "") for fields in callbacks), callbacks
    assert {"image", "iframe", "document"} <= {fields.get("sec-fetch-dest") for fields in callbacks}, callbacks


@case
def closing_the_tab_leaves_the_sign_in_pending_until_it_times_out(rig):
    provider, chromium = rig.provider(), rig.chromium()
    chromium.person(do="leave")
    rig.sandbox.env["HALLPASS_SIGN_IN_TIMEOUT"] = "5s"
    person = rig.sandbox.at_a_terminal("get-token", *provider_flags(provider))
    wait_for(lambda: chromium.order("opened")["url"].startswith(provider.issuer), 20, "no tab was opened")
    chromium.order("close")
    time.sleep(1)
    assert person.process.poll() is None, person.shown
    ended = person.end()
    assert (ended.code, ended.stdout) == (4, ""), ended.stderr
    assert 4.5 < ended.seconds < 9, ended.seconds
    ended.said("the sign-in timed out", "hint:")
    assert provider.new_grants() == []


@case
def a_request_head_full_of_cookies_is_accepted_up_to_16_kib(rig):
    provider, chromium = rig.provider(), rig.chromium()
    expected = {}
    for cookies, least, most in ((6_000, 6_500, 8_192), (14_900, 15_900, 16_384)):
        provider.set(cookies=cookies)
        rig.sandbox.hallpass("login", *provider_flags(provider)).ended(0)
        shows_signed_in(chromium.page(), provider)
        expected[redirect(rig).netloc] = least, most
        chromium.order("forget_cookies")
    for authority, (least, most) in expected.items():
        (size,) = [h["size"] for h in chromium.sent(authority) if h["target"].startswith("/callback?")]
        assert least < size <= most, f"the head had {size} bytes"


@case
def a_larger_request_head_is_rejected_and_the_sign_in_continues(rig):
    provider, chromium = rig.provider(cookies=17_000), rig.chromium()
    person = rig.sandbox.at_a_terminal("get-token", *provider_flags(provider))
    wait_for(rig.sandbox.tabs, 20, "no tab was opened")
    page = chromium.page()
    assert page["status"] == 431, page
    shows(page, "Delete the cookies of this host and try again")
    assert person.process.poll() is None, person.shown
    assert provider.new_grants() == []

    # The callback URL is still in the address bar. No other request may leak it.
    time.sleep(0.3)
    chromium.order("forget_cookies")
    shows_signed_in(chromium.order("reload"), provider)
    person.end().token
    assert provider.new_grants() == [("authorization_code", 200)]
    (code,) = provider.issued("authorization_code")
    heads = chromium.sent(redirect(rig).netloc)
    assert [h["size"] > 16_384 for h in heads if h["target"].startswith("/callback?")] == [True, False]
    for head in heads:
        assert code not in str(head["fields"]), head


# --- the other result pages ---


@case
def declining_in_chromium_shows_a_page_that_says_how_to_retry(rig):
    provider, chromium = rig.provider(), rig.chromium()
    chromium.person(do="decline")
    rig.sandbox.hallpass("get-token", *provider_flags(provider)).ended(4)
    page = chromium.page()
    chromium.screenshots("declined")
    assert page["status"] == 400, page
    shows(page, "The sign-in was declined", "Nothing was saved", "To try again, run")
    says_how_to_retry(page, provider)
    assert provider.new_grants() == []


@case
def a_failed_exchange_never_shows_the_success_page(rig):
    chromium = rig.chromium()
    rig.sandbox.env["HALLPASS_HTTP_TIMEOUT"] = "2s"
    for token, name, words in (
        ("refuse", "exchange-failed", "The provider did not issue a token"),
        ("cut", "unreachable", "The provider could not be reached"),
        ("hang", "timed-out", "The provider took too long"),
    ):
        provider = rig.provider(token=token)
        rig.sandbox.hallpass("get-token", *provider_flags(provider)).ended(1)
        page = chromium.page()
        chromium.screenshots(name)
        assert page["status"] == 400, page
        shows(page, words, "You signed in, but", "Nothing was saved")
        says_how_to_retry(page, provider)


@case
def a_different_person_is_told_whose_account_it_is(rig):
    provider, chromium = rig.provider(), rig.chromium()
    first = rig.sandbox.hallpass("get-token", *provider_flags(provider)).token
    shows_signed_in(chromium.page(), provider)
    chromium.order("forget_cookies")
    chromium.person(user="mallory")
    rig.sandbox.hallpass("login", *provider_flags(provider)).ended(1).said("alice", "mallory", "--account OTHER")
    page = chromium.page()
    chromium.screenshots("other-person")
    assert page["status"] == 400, page
    shows(page, "A different person signed in", "Belongs to", "alice", "Signed in now", "mallory", "unchanged")
    says_how_to_retry(page, provider, "--account OTHER")
    assert rig.sandbox.hallpass("get-token", *provider_flags(provider)).token == first


@case
def a_second_account_can_belong_to_another_person_while_the_browser_is_signed_in(rig):
    """The provider's cookie signs in the first person again unless the provider is told to prompt."""
    provider, chromium = rig.provider(), rig.chromium()
    folder = rig.sandbox.home / ".config/hallpass"
    folder.mkdir(parents=True)

    def configure(more):
        text = f'[providers.corp]\nissuer = "{provider.issuer}"\nclient_id = "hallpass"\nscopes = ["openid", "offline_access"]\n'
        (folder / "config.toml").write_text(text + more, encoding="utf-8")

    configure("")
    alices = rig.sandbox.hallpass("get-token", "corp").token
    chromium.person(user="bob")
    # hallpass doesn't know whether this provider can prompt. The cookie decides, and hallpass warns.
    rig.sandbox.hallpass("login", "corp", "--account", "second").ended(0).said("same person, alice")
    configure('account_prompt = "login"\n')
    rig.sandbox.hallpass("login", "corp", "--account", "work").ended(0).said("as bob")
    bobs = rig.sandbox.hallpass("get-token", "corp", "--account", "work").token
    assert provider.introspect(bobs)["sub"] == "bob" and provider.introspect(alices)["sub"] == "alice"
    # The default account is still Alice's; Bob's cookie is in the browser by now.
    rig.sandbox.hallpass("login", "corp").ended(1).said("alice", "bob", "hallpass logout corp")
    chromium.person(user="alice")
    rig.sandbox.hallpass("login", "corp").ended(0).said("as alice")
