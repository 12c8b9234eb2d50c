"""A real Chromium for the sign-ins whose browser matters, and, started by itself, its `$BROWSER`.

    chromium.py LOG CONTROL URL     opens URL in the Chromium that takes its orders at CONTROL
"""

import contextlib
import json
import os
import pathlib
import shlex
import subprocess
import sys
import threading
import urllib.request

from browser import append

SECONDS_TO_START = 30
SECONDS_AN_ORDER = 40


class Chromium:
    """Running, with a profile of its own; `$BROWSER` of the sandbox opens tabs in it."""

    def __init__(self, sandbox):
        from provider import node

        self._sandbox = sandbox
        self.folder = sandbox.root / "chromium"
        self.folder.mkdir()
        self._log = open(self.folder / "log", "w", encoding="utf-8")
        here = pathlib.Path(__file__).resolve()
        self._process = subprocess.Popen(
            [node(), here.with_suffix(".mjs"), json.dumps({"folder": str(self.folder)})],
            env={**sandbox.env, "HOME": str(self.folder), "PATH": os.environ["PATH"]},
            stdin=subprocess.PIPE,  # it ends when this is closed, however this run ends
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )
        found = []
        reader = threading.Thread(target=lambda: found.append(self._process.stdout.readline()), daemon=True)
        reader.start()
        reader.join(SECONDS_TO_START)
        if not found or not found[0]:
            self.close()
            raise AssertionError(f"Chromium did not start: {(self.folder / 'log').read_text(encoding='utf-8')}")
        self._control = json.loads(found[0])["control"]
        sandbox.browser_is([sys.executable, here, sandbox.browser_log, self._control])

    def close(self):
        """Ends it, so that its history and its log of the network are whole."""
        from sandbox import end

        if self._process.stdin.closed:
            return
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        end(self._process)
        self._log.close()

    def order(self, order, **more):
        return ordered(self._control, order, **more)

    # --- the person in front of it ---

    def person(self, do="sign-in", user="alice"):
        """What is done with the next tab: `sign-in`, `decline`, or `leave`: nothing is typed."""
        self.order("become", who={"do": do, "as": user})

    def page(self):
        """What the last tab shows when there is nothing left to fill in."""
        return self.order("ended")

    def screenshots(self, name):
        """The tab as it is, in both colour schemes, where somebody wants to look at it."""
        folder = os.environ.get("HALLPASS_SCREENSHOTS")
        for scheme in ("light", "dark") if folder else ():
            pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
            self.order("screenshot", path=str(pathlib.Path(folder) / f"{name}-{scheme}.png"), scheme=scheme)

    # --- what it kept and sent ---

    def sent(self, authority):
        """Closes it. Every request head that went to this host and port, favicons and early ones too."""
        self.close()
        heads = []
        log = json.loads((self.folder / "net.json").read_text(encoding="utf-8"))
        number = log["constants"]["logEventTypes"]["HTTP_TRANSACTION_SEND_REQUEST_HEADERS"]
        for event in log["events"]:
            if event["type"] != number or "headers" not in event.get("params", {}):
                continue
            fields = dict(field.split(": ", 1) for field in event["params"]["headers"] if ": " in field)
            fields = {name.lower(): value for name, value in fields.items()}
            if fields.get("host") == authority:
                method, target, _ = event["params"]["line"].split(" ", 2)
                size = len(event["params"]["line"]) + sum(len(f) + 2 for f in event["params"]["headers"]) + 2
                heads.append({"method": method, "target": target, "fields": fields, "size": size})
        return heads


def ordered(control, order, **more):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    body = json.dumps({"order": order, **more}).encode()
    with opener.open(control, body, timeout=SECONDS_AN_ORDER) as response:
        answer = json.loads(response.read())
    assert "error" not in answer, f"Chromium could not {order}: {answer['error']}"
    return answer["result"]


if __name__ == "__main__":
    log, control, url = sys.argv[1:]
    append(log, {"opened": url})
    ordered(control, "open", url=url)
