"""A git server: `git http-backend` behind an HTTP server that requires an active token of a provider.
It also stores large files for git-lfs."""

import base64
import http.server
import json
import os
import pathlib
import re
import ssl
import subprocess
import tempfile
import urllib.parse

from loopback import LoopbackServer

SECONDS_A_REQUEST = 60


class GitServer(LoopbackServer):
    """Serves the bare repositories in `root`. Every request needs a token that introspection reports as active."""

    def __init__(self, root, provider, git, schemes=("Basic",), user=None, tls=None, name="127.0.0.1"):
        self.root, self.provider, self.git, self.schemes, self.user = pathlib.Path(root), provider, git, schemes, user
        self.root.mkdir(exist_ok=True)
        self.passwords = {}  # user -> password, for users without a token
        self.refuses_all = False
        self.closed = set()  # repositories that no user can access: 401, like Apache
        self.before = None  # called with (method, service, token) before the token is checked
        # `seen` has (method, service, scheme, user, status) of each request.
        super().__init__(self._handler(), tls and (lambda socket: tls_socket(socket, tls)))
        self.url = f"{'https' if tls else 'http'}://{name}:{self.port}"

    def _handler(self):
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = SECONDS_A_REQUEST

            def do_GET(self):
                server._serve(self)

            do_POST = do_PUT = do_GET

            def log_message(self, *_):
                pass

        return Handler

    # --- one request ---

    def _serve(self, request):
        body = self._body(request)
        url = urllib.parse.urlsplit(request.path)
        query = urllib.parse.parse_qs(url.query)
        service = query.get("service", [url.path.rsplit("/", 1)[-1]])[0]
        scheme, user, secret = credentials(request.headers.get("Authorization"))
        if self.before and secret:
            self.before(request.command, service, secret)
        is_closed = url.path.split("/")[1] in self.closed
        who = None if is_closed else self._who(scheme, user, secret)
        if who is None:
            status, headers, reply = 401, [("WWW-Authenticate", f'{s} realm="git"') for s in self.schemes], b"no\n"
        elif "/info/lfs/" in url.path:
            status, headers, reply = self._large_file(request, url, body)
        else:
            status, headers, reply = self._backend(request, url, body, who)
        with self._lock:
            self.seen.append((request.command, service, scheme, who, status))
        request.send_response(status)
        for name, value in headers:
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(reply)))
        request.end_headers()
        request.wfile.write(reply)

    def _who(self, scheme, user, secret):
        if scheme not in self.schemes or self.refuses_all:
            return None
        if scheme == "Basic" and user in self.passwords:
            return user if self.passwords[user] == secret else None
        if self.user and scheme == "Basic" and user != self.user:
            return None
        if self.provider is None:
            return None
        said = self.provider.introspect(secret)
        return said["sub"] if said["active"] else None

    def _body(self, request):
        if request.headers.get("Transfer-Encoding", "") != "chunked":
            return request.rfile.read(int(request.headers.get("Content-Length", 0)))
        parts = []
        while size := int(request.rfile.readline().split(b";")[0], 16):
            parts.append(request.rfile.read(size))
            request.rfile.readline()
        request.rfile.readline()
        return b"".join(parts)

    # --- large files: git-lfs's batch API and its objects ---

    def _large_file(self, request, url, body):
        base, _, what = url.path.partition("/info/lfs/")
        if what == "objects/batch":
            asked = json.loads(body)
            objects = [self._place(base, one, asked["operation"]) for one in asked["objects"]]
            return 200, [("Content-Type", LFS)], json.dumps({"transfer": "basic", "objects": objects}).encode()
        if not re.fullmatch(r"objects/[0-9a-f]{64}", what):
            return 404, [("Content-Type", LFS)], b'{"message": "not found"}'
        file = self.root / f"{base.strip('/')}.lfs" / what.removeprefix("objects/")
        if request.command == "PUT":
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(body)
            return 200, [], b""
        return 200, [("Content-Type", "application/octet-stream")], file.read_bytes()

    def _place(self, base, one, operation):
        action = {"href": f"{self.url}{base}/info/lfs/objects/{one['oid']}"}
        return {"oid": one["oid"], "size": one["size"], "actions": {operation: action}}

    # --- everything else is up to git ---

    def _backend(self, request, url, body, who):
        env = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "HOME": str(self.root),
            "REMOTE_USER": who,
            "REQUEST_METHOD": request.command,
            "PATH_INFO": urllib.parse.unquote(url.path, errors="surrogateescape"),
            "QUERY_STRING": url.query,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(
            [self.git, "http-backend"], input=body, env=env, capture_output=True, timeout=SECONDS_A_REQUEST
        )
        head, _, reply = done.stdout.partition(b"\r\n\r\n")
        headers = [tuple(line.decode().split(": ", 1)) for line in head.split(b"\r\n") if line]
        status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
        return status, [pair for pair in headers if pair[0] != "Status"], reply


LFS = "application/vnd.git-lfs+json"


def tls_socket(plain, tls):
    """Wraps a listening socket in TLS. Each connection's thread performs the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as pem:
        pem.write(tls["cert"] + tls["key"])
        pem.flush()
        context.load_cert_chain(pem.name)
    return context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)


def credentials(header):
    """Scheme, user name and secret of an Authorization header."""
    if not header:
        return None, None, None
    scheme, _, value = header.partition(" ")
    if scheme != "Basic":
        return scheme, None, value
    user, _, password = base64.b64decode(value).decode().partition(":")
    return scheme, user, password
