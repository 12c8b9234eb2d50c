"""A minimal Kubernetes API server for `kubectl get pods`: discovery and pods, over TLS, for requests
with a valid token."""

import base64
import hashlib
import http.server
import json
import pathlib
import ssl
import time
import urllib.request

from loopback import LoopbackServer

SECONDS_A_REQUEST = 30

POD = {"metadata": {"name": "a-pod-of-the-tests", "namespace": "default"}, "spec": {"containers": [{"name": "one", "image": "one"}]}, "status": {"phase": "Running"}}
DOCUMENTS = {
    "/version": {"major": "1", "minor": "32", "gitVersion": "v1.32.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [{"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "verbs": ["get", "list"], "shortNames": ["po"]}],
    },
    "/api/v1/namespaces/default/pods": {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [POD]},
}  # fmt: skip


class ApiServer(LoopbackServer):
    """Accepts `provider`'s ID tokens for one client, like a real server with --oidc-issuer-url, or its
    access tokens if `introspects` is set."""

    def __init__(self, provider, authority, folder, introspects=False, name="api-server"):
        self.provider, self.introspects = provider, introspects
        self.refused = set()  # valid tokens to reject anyway
        self.refuses_all = False
        self.client = "hallpass"
        self.username_prefix = None  # as --oidc-username-prefix; None is the default, ISSUER#
        self.groups = []
        self.permits = True  # whether RBAC allows the user anything
        self._keys = None
        certificate = authority.certificate()
        folder = pathlib.Path(folder)
        pair = [folder / f"{name}.{kind}" for kind in ("cert", "key")]
        for path, kind in zip(pair, ("cert", "key")):
            path.write_text(certificate[kind], encoding="utf-8")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pair)
        self.authority = base64.b64encode(authority.ca_file.read_bytes()).decode()
        # `seen` has (path, token, status) of each request.
        super().__init__(self._handler(), lambda socket: context.wrap_socket(socket, server_side=True))
        self.url = f"https://localhost:{self.port}"

    def refuse_what_was_taken(self):
        """Rejects every token that this server has accepted so far."""
        # ID tokens that the provider issues within the same second are identical.
        time.sleep(1.1)
        with self._lock:
            self.refused |= {token for _, token, status in self.seen if status == 200}

    def _handler(self):
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = SECONDS_A_REQUEST

            def do_GET(self):
                server._serve(self)

            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                server._serve(self)

            def log_message(self, *_):
                pass

        return Handler

    def _serve(self, request):
        path = request.path.partition("?")[0].rstrip("/")
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        document = DOCUMENTS.get(path) if request.command == "GET" else self._review(path, token)
        if scheme != "Bearer" or not self._takes(token):
            status = 401
        else:
            status = (201 if request.command == "POST" else 200) if document else 404
        if status not in (200, 201):
            reason = {401: "Unauthorized", 404: "NotFound"}[status]
            document = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason,
                        "message": reason, "code": status}  # fmt: skip
        with self._lock:
            self.seen.append((path, token, status))
        body = json.dumps(document).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _review(self, path, token):
        """The response to a self subject review: who the user is, and what RBAC allows."""
        kind = {"/apis/authentication.k8s.io/v1/selfsubjectreviews": "SelfSubjectReview",
                "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews": "SelfSubjectRulesReview"}.get(path)  # fmt: skip
        if not kind:
            return None
        document = {"kind": kind, "apiVersion": "/".join(path.split("/")[2:4]), "metadata": {}}
        if kind == "SelfSubjectReview":
            prefix = f"{self.provider.issuer}#" if self.username_prefix is None else self.username_prefix
            subject = json.loads(decoded(token.split(".")[1]))["sub"] if self._takes(token) else ""
            groups = [*self.groups, "system:authenticated"]
            return {**document, "status": {"userInfo": {"username": f"{prefix}{subject}", "groups": groups}}}
        rules = [{"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectrulesreviews"]}]
        if self.permits:
            rules.append({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]})
        return {**document, "status": {"resourceRules": rules, "nonResourceRules": [], "incomplete": False}}

    def _takes(self, token):
        if self.refuses_all or token in self.refused:
            return False
        if self.introspects:
            return self.provider.introspect(token)["active"]
        try:
            claims = self._verified(token)
        except (ValueError, KeyError):
            return False
        return claims["iss"] == self.provider.issuer and claims["aud"] == self.client and claims["exp"] > time.time()

    def _verified(self, token):
        """The claims of a token, after verifying the provider's RS256 signature (RFC 7515, RFC 8017 §8.2.2)."""
        head, payload, signature = token.split(".")
        header = json.loads(decoded(head))
        if header["alg"] != "RS256":
            raise ValueError(header["alg"])
        key = self._key(header["kid"])
        modulus, exponent = (int.from_bytes(decoded(key[part]), "big") for part in "ne")
        length = (modulus.bit_length() + 7) // 8
        found = pow(int.from_bytes(decoded(signature), "big"), exponent, modulus).to_bytes(length, "big")
        sha256 = bytes.fromhex("3031300d060960864801650304020105000420")
        digest = sha256 + hashlib.sha256(f"{head}.{payload}".encode()).digest()
        if found != b"\0\1" + b"\xff" * (length - 3 - len(digest)) + b"\0" + digest:
            raise ValueError("signature")
        return json.loads(decoded(payload))

    def _key(self, kid):
        if self._keys is None:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"{self.provider.issuer}/jwks", timeout=10) as response:
                self._keys = {key["kid"]: key for key in json.load(response)["keys"]}
        return self._keys[kid]


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
