"""A real kube-apiserver with its etcd, for the cases that want to know what one really says."""

import base64
import os
import pathlib
import socket
import ssl
import subprocess
import urllib.error
import urllib.request

from certificates import openssl
from sandbox import HERE, end, wait_for

SECONDS_TO_START = 90
ADMIN = "the-token-of-the-administrator"


class KubeApiServer:
    """A cluster without nodes. `start` restarts it with other OIDC settings."""

    def __init__(self, folder, authority):
        self._programs = HERE / "debian/kube-apiserver"
        self._folder, self._authority = pathlib.Path(folder), authority
        self._folder.mkdir(mode=0o700)
        self._running = []
        certificate = authority.certificate()
        for kind in ("cert", "key"):
            (self._folder / f"tls.{kind}").write_text(certificate[kind], encoding="utf-8")
        openssl("genrsa", "-out", self._folder / "accounts.key", "2048")
        (self._folder / "tokens").write_text(f'{ADMIN},admin,1,"system:masters"\n', encoding="utf-8")
        etcd, peer, self.port = free_ports(3)
        self._etcd = f"http://127.0.0.1:{etcd}"
        self._run("etcd", data_dir=self._folder / "etcd", listen_client_urls=self._etcd, advertise_client_urls=self._etcd,
                  listen_peer_urls=f"http://127.0.0.1:{peer}", initial_advertise_peer_urls=f"http://127.0.0.1:{peer}",
                  initial_cluster=f"default=http://127.0.0.1:{peer}", log_level="warn")  # fmt: skip
        self.url = f"https://localhost:{self.port}"
        self.authority = base64.b64encode(authority.ca_file.read_bytes()).decode()
        self._server = None

    def _run(self, program, **flags):
        words = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items() if value is not None]
        with open(self._folder / f"{program}.log", "ab") as log:
            process = subprocess.Popen([self._programs / program, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       cwd=self._folder, env={"PATH": os.environ["PATH"]}, start_new_session=True)  # fmt: skip
        self._running.append(process)
        return process

    def start(self, **oidc):
        """Starts the API server with these `--oidc-` flags, and returns when it is ready."""
        if self._server:
            self._running.remove(self._server)
            end(self._server)
        self._server = self._run(
            "kube-apiserver",
            etcd_servers=self._etcd,
            bind_address="127.0.0.1",
            advertise_address="127.0.0.1",
            endpoint_reconciler_type="none",
            secure_port=self.port,
            insecure_port=0,
            cert_dir=self._folder / "certificates",
            tls_cert_file=self._folder / "tls.cert",
            tls_private_key_file=self._folder / "tls.key",
            service_account_issuer="https://kubernetes.default.svc",
            service_account_key_file=self._folder / "accounts.key",
            service_account_signing_key_file=self._folder / "accounts.key",
            service_cluster_ip_range="10.0.0.0/24",
            disable_admission_plugins="ServiceAccount",
            authorization_mode="RBAC",
            token_auth_file=self._folder / "tokens",
            **{f"oidc_{name}": value for name, value in oidc.items()},
        )
        wait_for(self._is_ready, SECONDS_TO_START, "the API server is not ready")

    def _is_ready(self):
        assert self._server.poll() is None, (self._folder / "kube-apiserver.log").read_text(encoding="utf-8")[-2000:]
        request = urllib.request.Request(f"{self.url}/readyz", headers={"Authorization": f"Bearer {ADMIN}"})
        context = ssl.create_default_context(cafile=self._authority.ca_file)
        try:
            with urllib.request.urlopen(request, timeout=5, context=context) as response:
                return response.status == 200
        except (OSError, urllib.error.HTTPError):
            return False

    def close(self):
        for process in reversed(self._running):
            end(process)


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
