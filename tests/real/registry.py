"""A container registry (Debian's `docker-registry`) and its token server.

The token server implements the token authentication specification of the distribution project. Clients use Basic
authentication. The password is an active token of a real OpenID provider, or a known user's password.
"""

import base64
import gzip
import hashlib
import http.server
import io
import json
import os
import pathlib
import secrets
import socket
import subprocess
import tarfile
import time
import urllib.error
import urllib.parse
import urllib.request

from certificates import openssl
from git_server import credentials
from loopback import LoopbackServer
from sandbox import HERE, Blocked, end, wait_for

SERVICE, ISSUER = "the registry of the tests", "the token server of the tests"
LAYER = "hello.tar.gz"  # what oras calls the image's layer
SECONDS_TO_START = 15
SECONDS_A_REQUEST = 30
SECONDS_A_TOKEN_LIVES = 60


class TokenServer(LoopbackServer):
    """Issues the registry's own tokens (https://distribution.github.io/distribution/spec/auth/token/)."""

    def __init__(self, folder, provider, user=None):
        self.provider, self.user = provider, user
        self.folder = pathlib.Path(folder)
        self.passwords = {}  # user -> password, for users without a token
        self.issues_identity_tokens = False
        self.identity_tokens = {}  # identity token -> user
        self.certificate, self._key = self.folder / "token.pem", self.folder / "token.key"
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self._key, "-out", self.certificate,
                "-days", "2", "-subj", "/CN=token server")  # fmt: skip
        der = self.folder / "token.der"
        openssl("x509", "-in", self.certificate, "-outform", "der", "-out", der)
        self._chain = [base64.b64encode(der.read_bytes()).decode()]
        # `seen` has (user, password, authenticated user) of each request.
        super().__init__(self._handler())
        self.url = f"http://127.0.0.1:{self.port}/token"

    def _handler(self):
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = SECONDS_A_REQUEST

            def do_GET(self):
                server._serve(self, urllib.parse.urlsplit(self.path).query)

            # The OAuth form of the specification. Clients use it with an identity token; with a password they try it
            # first, and then GET.
            def do_POST(self):
                server._serve_form(self, urllib.parse.parse_qs(body(self).decode()))

            def log_message(self, *_):
                pass

        return Handler

    def _serve_form(self, request, form):
        if form.get("grant_type") != ["refresh_token"]:
            return self._reply(request, 404, {})
        who = self.identity_tokens.get(form["refresh_token"][0])
        with self._lock:
            self.seen.append(("<token>", form["refresh_token"][0], who))
        return self._grant(request, who, form.get("scope", []))

    def _serve(self, request, query):
        query = urllib.parse.parse_qs(query)
        scopes = query.get("scope", [])
        scheme, user, password = credentials(request.headers.get("Authorization"))
        who = self._who(scheme, user, password)
        with self._lock:
            self.seen.append((user, password, who))
        more = {}
        if who is not None and self.issues_identity_tokens and query.get("offline_token") == ["true"]:
            more["refresh_token"] = secrets.token_hex(20)
            self.identity_tokens[more["refresh_token"]] = who
        return self._grant(request, who, scopes, **more)

    def _grant(self, request, who, scopes, **more):
        if who is None:
            return self._reply(request, 401, {"errors": [{"code": "UNAUTHORIZED"}]})
        token = self._token(who, scopes)
        reply = {"token": token, "access_token": token, "expires_in": SECONDS_A_TOKEN_LIVES, **more}
        return self._reply(request, 200, reply)

    def _who(self, scheme, user, password):
        if scheme != "Basic" or not password:
            return None
        if user in self.passwords:
            return user if self.passwords[user] == password else None
        if self.user and user != self.user:
            return None
        said = self.provider.introspect(password)
        return said["sub"] if said["active"] else None

    @staticmethod
    def _reply(request, status, value):
        body = json.dumps(value).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _token(self, who, scopes):
        """A JWT that the registry trusts (https://distribution.github.io/distribution/spec/auth/jwt/)."""
        now = int(time.time())
        access = []
        for scope in scopes:
            for one in scope.split():
                kind, _, rest = one.partition(":")
                name, _, actions = rest.rpartition(":")
                access.append({"type": kind, "name": name, "actions": actions.split(",")})
        claims = {
            "iss": ISSUER, "sub": who, "aud": SERVICE, "nbf": now - 10, "iat": now,
            "exp": now + SECONDS_A_TOKEN_LIVES, "jti": secrets.token_hex(8), "access": access,
        }  # fmt: skip
        head = {"typ": "JWT", "alg": "RS256", "x5c": self._chain}
        signed = ".".join(base64url(json.dumps(part).encode()) for part in (head, claims))
        return f"{signed}.{base64url(self._signature(signed.encode()))}"

    def _signature(self, data):
        run = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", self._key], input=data, capture_output=True, timeout=20
        )
        assert run.returncode == 0, run.stderr
        return run.stdout


class DockerDaemon:
    """A running dockerd that accepts registries on loopback without TLS. It has a private `/run`."""

    def __init__(self, folder):
        if os.geteuid() != 0:
            raise Blocked("only root can start dockerd")
        self._folder = pathlib.Path(folder)
        self._folder.mkdir()
        socket_path = self._folder / "sock"
        self.url = f"unix://{socket_path}"
        parts = HERE / "debian/docker"
        libraries = ":".join(map(str, parts.glob("**/lib/*-linux-gnu")))
        self._log = open(self._folder / "log", "a", encoding="utf-8")
        self._process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", 'mount -t tmpfs none /run && exec "$@"', "sh",
             "dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs",
             "--data-root", self._folder / "data", "--exec-root", self._folder / "exec",
             "--pidfile", self._folder / "pid", "--insecure-registry", "127.0.0.1/8", "--host", self.url],
            env={"PATH": f"{parts}/usr/sbin:{parts}/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LD_LIBRARY_PATH": libraries},
            stdout=self._log, stderr=self._log, start_new_session=True,
        )  # fmt: skip
        try:
            wait_for(lambda: self._answers(socket_path), SECONDS_TO_START, self._said)
        except AssertionError:
            self.close()
            raise

    def _answers(self, socket_path):
        if self._process.poll() is not None:
            said = self._said()
            if "operation not permitted" in said.lower():
                raise Blocked(f"dockerd: {said.strip().splitlines()[-1]}")
            raise AssertionError(said)
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(socket_path)) == 0

    def _said(self):
        return (self._folder / "log").read_text(encoding="utf-8")

    def close(self):
        end(self._process)
        self._log.close()


class Registry:
    """A running docker-registry that stores its images in `folder`."""

    def __init__(self, folder, provider, user=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(exist_ok=True)
        self.tokens = TokenServer(self.folder, provider, user)
        self.host = f"127.0.0.1:{free_port()}"
        config = self.folder / "config.json"
        # JSON is valid YAML.
        config.write_text(
            json.dumps(
                {
                    "version": 0.1,
                    "log": {"level": "warn"},
                    "storage": {"filesystem": {"rootdirectory": str(self.folder / "data")}, "delete": {"enabled": True}},
                    "http": {"addr": self.host},
                    "auth": {
                        "token": {
                            "realm": self.tokens.url, "service": SERVICE, "issuer": ISSUER,
                            "rootcertbundle": str(self.tokens.certificate),
                        }
                    },
                }
            ),
            encoding="utf-8",
        )  # fmt: skip
        self._log = open(self.folder / "registry.log", "a", encoding="utf-8")
        self._process = subprocess.Popen(
            ["docker-registry", "serve", config], stdout=self._log, stderr=self._log, start_new_session=True
        )
        wait_for(self._answers, SECONDS_TO_START, lambda: (self.folder / "registry.log").read_text(encoding="utf-8"))

    def _answers(self):
        assert self._process.poll() is None, (self.folder / "registry.log").read_text(encoding="utf-8")
        try:
            urllib.request.urlopen(f"http://{self.host}/v2/", timeout=5).close()
        except urllib.error.HTTPError as refused:
            refused.close()
            return refused.code == 401
        except OSError:
            return False
        return True

    def close(self):
        end(self._process)
        self._log.close()
        self.tokens.close()


def image(root):
    """Creates a small image with one layer as an OCI layout in a new folder."""
    root = pathlib.Path(root)
    blobs = root / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        entry = tarfile.TarInfo("hello")
        entry.size = 6
        tar.addfile(entry, io.BytesIO(b"hello\n"))
    plain = layer.getvalue()
    config = {
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(plain).hexdigest()}"]},
    }  # fmt: skip
    kind = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.manifest.v1+json",
        "config": {"mediaType": f"{kind}.config.v1+json", **blob(json.dumps(config).encode())},
        "layers": [
            {
                "mediaType": f"{kind}.layer.v1.tar+gzip",
                **blob(gzip.compress(plain, mtime=0)),
                "annotations": {"org.opencontainers.image.title": LAYER},
            }
        ],
    }
    index = {
        "schemaVersion": 2,
        "manifests": [
            {
                "mediaType": f"{kind}.manifest.v1+json",
                **blob(json.dumps(manifest).encode()),
                "annotations": {"org.opencontainers.image.ref.name": "latest"},
            }
        ],
    }
    (root / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}', encoding="utf-8")
    (root / "index.json").write_text(json.dumps(index), encoding="utf-8")
    return root


def body(request):
    """The body of a request. skopeo uses chunked encoding (RFC 9112, section 7.1)."""
    if request.headers.get("Transfer-Encoding", "").lower() != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length", 0)))
    whole = b""
    while size := int(request.rfile.readline().partition(b";")[0], 16):
        whole += request.rfile.read(size)
        request.rfile.readline()
    request.rfile.readline()
    return whole


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
