"""A real Chromium, for sign-ins in which the browser matters. Run as a script, it serves as `$BROWSER`.

    chromium.py LOG CONTROL URL     opens URL in the Chromium that is controlled at CONTROL
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
    """A running Chromium with its own profile. The sandbox's `$BROWSER` opens tabs in it."""

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
            stdin=subprocess.PIPE,  # it exits when this closes, so it can't outlive this run
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
        """Quits Chromium, so that its history and its network log are complete."""
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

    # --- the person using it ---

    def person(self, do="sign-in", user="alice"):
        """Sets what the person does in the next tab: `sign-in`, `decline`, or `leave` (nothing)."""
        self.order("become", who={"do": do, "as": user})

    def page(self):
        """The last tab's final page, once there is nothing left to fill in."""
        return self.order("ended")

    def screenshots(self, name):
        """Saves screenshots of the tab in both colour schemes, if HALLPASS_SCREENSHOTS is set."""
        folder = os.environ.get("HALLPASS_SCREENSHOTS")
        for scheme in ("light", "dark") if folder else ():
            pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
            self.order("screenshot", path=str(pathlib.Path(folder) / f"{name}-{scheme}.png"), scheme=scheme)

    # --- what it sent ---

    def sent(self, authority):
        """Quits Chromium, and returns every request head sent to this host and port, including those for icons
        and prefetches."""
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
