"""Starts the tests' OpenID providers on a free port, queries what they saw, and stops them."""

import base64
import http.client
import json
import ssl
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request

from sandbox import HERE, end, wait_for

SECONDS_TO_START = 20


class Provider:
    """A running `provider.mjs` or `stock_provider.mjs`."""

    SCRIPT = "provider.mjs"
    TOKEN, INTROSPECTION, USER_INFO = "/token", "/token/introspection", "/me"

    def __init__(self, log, script=None, **settings):
        self._log = open(log, "a", encoding="utf-8")
        self._process = subprocess.Popen(
            [*self.runtime(), HERE / (script or self.SCRIPT), json.dumps(settings)],
            stdin=subprocess.PIPE,  # it exits when this closes, so it can't outlive this run
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )
        where = self._first_line()
        self.issuer = where["issuer"]
        self.secret = where.get("secret")
        self._control = where.get("control")
        self._seen = 0

    def runtime(self):
        # The cookies of several servers on one host exceed Node.js's default limit.
        return [node(), "--max-http-header-size=65536"]

    def _first_line(self):
        found = []
        reader = threading.Thread(target=lambda: found.append(self._process.stdout.readline()), daemon=True)
        reader.start()
        reader.join(SECONDS_TO_START)
        if not found or not found[0]:
            self.close()
            raise AssertionError("the provider did not start: see its log")
        return json.loads(found[0])

    def close(self):
        self._process.stdin.close()
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:
            end(self._process)
        self._log.close()

    # --- what it saw ---

    def _state(self):
        return json.loads(fetch(self._control)[1])

    def all_requests(self):
        return self._state()["requests"]

    def new_requests(self):
        """The requests since the last call."""
        requests = self.all_requests()
        new, self._seen = requests[self._seen :], len(requests)
        return new

    def new_grants(self):
        """The grant type and status of each token request since the last call of this or `new_requests`."""
        return [(r["params"].get("grant_type"), r["status"]) for r in self.new_requests() if r["path"].endswith(self.TOKEN)]

    def secrets(self):
        """Every token and code that it has issued, and the clients' secrets and code verifiers, as (kind, value)."""
        state = self._state()
        issued = [(one["kind"], one["value"]) for one in state["issued"]]
        verifiers = [r["params"]["code_verifier"] for r in state["requests"] if "code_verifier" in r.get("params", {})]
        return [*issued, *(("code_verifier", value) for value in verifiers), ("client secret", self.secret)]

    def held(self):
        """The redirect to the client that the provider is holding back (`hold=True`)."""
        return wait_for(lambda: self._state()["held"], 20, "there was no redirect to the client")[-1]

    def issued(self, kind):
        return [value for issued_kind, value in self.secrets() if issued_kind == kind]

    # --- what it does from now on ---

    def pause(self):
        """From now on, cuts off every request, like a server that is down."""
        self.set(down=True)

    def resume(self):
        self.set(down=False)

    def set(self, **settings):
        request = urllib.request.Request(self._control, json.dumps(settings).encode(), method="PUT")
        fetch(request)

    # --- what a resource server learns (RFC 7662) ---

    def introspect(self, token):
        basic = base64.b64encode(f"resource-server:{urllib.parse.quote(self.secret, safe='')}".encode()).decode()
        request = urllib.request.Request(
            self.issuer + self.INTROSPECTION,
            urllib.parse.urlencode({"token": token}).encode(),
            {"Authorization": f"Basic {basic}"},
        )
        status, body = fetch(request)
        assert status == 200, f"introspection answered {status}: {body}"
        return json.loads(body)

    def honours(self, token):
        """Whether the token is accepted by the user-info endpoint, which every OpenID provider has."""
        request = urllib.request.Request(self.issuer + self.USER_INFO, headers={"Authorization": f"Bearer {token}"})
        return fetch(request)[0] == 200


class Toolkit(Provider):
    """A running `toolkit_provider.py`: a second, independent implementation."""

    SCRIPT = "toolkit_provider.py"
    TOKEN, INTROSPECTION, USER_INFO = "/o/token/", "/introspect/", "/userinfo/"

    def runtime(self):
        return [HERE / "venv/bin/python", "-B"]


def node():
    """The Node.js from package-lock.json, which the provider supports, not the one on this machine."""
    (binary,) = HERE.glob("node_modules/node-linux-*/bin/node")
    return binary


class OnThisMachine(urllib.request.HTTPSHandler):
    """Connects to loopback, whatever the host name, and accepts any certificate."""

    def https_open(self, request):
        return self.do_open(self.connection, request)

    @staticmethod
    def connection(host, **settings):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection("127.0.0.1", int(host.rpartition(":")[2]), context=context, **settings)


def fetch(request):
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), OnThisMachine())
        with opener.open(request, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()
