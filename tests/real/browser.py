#!/usr/bin/env python3
"""A minimal browser that signs in: it follows redirects, stores cookies and fills in forms.

    browser.py [--log FILE] [--as USER] [--do sign-in|decline|close] [--code USER_CODE]
               [--ca FILE] [--proxy URL] URL

`$BROWSER` names it, so it is started like a real browser, with the URL as its argument. `close`
means that the tab is closed before anything is entered.
"""

import argparse
import html.parser
import http.cookiejar
import json
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request

MOST_PAGES = 20  # a redirect loop must not hang the run
SECONDS_A_PAGE = 20


class Page(html.parser.HTMLParser):
    """The first form of a page, its links and its visible text."""

    def __init__(self, url, status, body):
        super().__init__()
        self.url, self.status, self.body = url, status, body
        self.form = None
        self.buttons = []
        self.links = {}
        self.words = []
        self._open = None
        self._link = None
        self._unseen = 0  # inside an element that isn't displayed
        self.feed(body)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self._unseen += tag in ("style", "script")
        if tag == "form" and self.form is None:
            self.form = self._open = {
                "action": urllib.parse.urljoin(self.url, attrs.get("action") or ""),
                "method": (attrs.get("method") or "get").lower(),
                "fields": {},
            }
        elif tag == "input" and self._open is not None and "name" in attrs:
            self._open["fields"][attrs["name"]] = attrs.get("value") or ""
        elif tag == "button" and "value" in attrs:
            self.buttons.append(attrs["value"])
        elif tag == "a" and "href" in attrs:
            self._link = urllib.parse.urljoin(self.url, attrs["href"])

    def handle_endtag(self, tag):
        self._unseen -= tag in ("style", "script")
        if tag == "form":
            self._open = None
        elif tag == "a":
            self._link = None

    def handle_data(self, data):
        if data.strip() and not self._unseen:
            self.words.append(data.strip())
            if self._link:
                self.links[data.strip()] = self._link


class Browser:
    def __init__(self, ca=None, proxy=None):
        # Everything is on loopback, so a proxy is only used if one is given.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({"https": proxy} if proxy else {}),
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca)),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
        )
        self._opener.addheaders = [("User-Agent", "the tests' browser"), ("Accept", "text/html")]

    def open(self, url, fields=None):
        data = None if fields is None else urllib.parse.urlencode(fields).encode()
        try:
            answer = self._opener.open(url, data, timeout=SECONDS_A_PAGE)
        except urllib.error.HTTPError as refused:
            answer = refused  # an error page is a page
        with answer:
            body = answer.read().decode("utf-8", "replace")
            return Page(answer.geturl(), answer.status, body)

    def visit(self, url, do="sign-in", user="alice", code=None):
        """Opens `url`, fills in forms until there are none left, and returns the last page."""
        page = self.open(url)
        if do == "close":
            return page
        for _ in range(MOST_PAGES):
            if page.form is None:
                return page
            fields = page.form["fields"]
            if "user_code" in fields and not fields["user_code"]:
                fields["user_code"] = code
            elif do == "decline" and "allow" in fields:
                del fields["allow"]  # the button beside it has no name
            elif do == "decline" and "deny" in page.buttons:
                fields["action"] = "deny"
            elif "accept" in page.buttons:
                fields["action"] = "accept"
            elif do == "decline" and "confirm" in fields:
                fields["abort"] = "yes"  # the button beside "Continue" on a device's page
                return self.open(page.form["action"], fields)
            elif do == "decline" and "[ Cancel ]" in page.links:
                return self.open(page.links["[ Cancel ]"])
            for name in ("login", "username"):
                if name in fields:
                    fields.update({name: user, "password": "anything"})
            page = self.open(page.form["action"], fields)
        raise RuntimeError(f"still a form after {MOST_PAGES} pages, at {page.url}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--log")
    parser.add_argument("--as", dest="user", default="alice")
    parser.add_argument("--do", choices=["sign-in", "decline", "close"], default="sign-in")
    parser.add_argument("--code")
    parser.add_argument("--ca")
    parser.add_argument("--proxy")
    parser.add_argument("url")
    options = parser.parse_args()
    record = {"opened": options.url}
    if options.log:  # logged first, so that the tab counts however the visit ends
        append(options.log, {"opened": options.url})
    page = Browser(options.ca, options.proxy).visit(options.url, options.do, options.user, options.code)
    record.update(ended=page.url, status=page.status, words=page.words)
    if options.log:
        append(options.log, record)
    return 0 if page.status < 400 else 1


def append(path, record):
    with open(path, "a", encoding="utf-8") as log:
        log.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    sys.exit(main())
