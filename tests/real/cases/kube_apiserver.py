"""`doctor kubectl` and kubectl itself against a real kube-apiserver."""

import json
import os
import shlex
import subprocess

from cases.kubectl import NEW, OLD, kubectl_of
from kube_apiserver import ADMIN, KubeApiServer
from rig import case
from sandbox import wait_for

SECONDS_A_KUBECTL = 60


class Cluster:
    """A cluster whose users a provider with a private authority signs in, and one of these users."""

    def __init__(self, rig):
        self.rig, self.sandbox = rig, rig.sandbox
        self.ca = rig.authority("provider-authority")
        self.provider = rig.provider(tls=self.ca.certificate(names=["localhost"]), name="localhost", groups=["dev", "ops"])
        self.sandbox.browser(ca=self.ca.ca_file)
        self.server = rig.with_part(KubeApiServer(self.sandbox.root / "cluster", rig.authority()))
        self.caches = 0
        self.uses(NEW)
        (self.sandbox.tools / "hallpass").symlink_to(self.sandbox.program)
        self.sandbox.env["PATH"] = f"{self.sandbox.tools}:/usr/bin:/bin"
        folder = self.sandbox.home / ".config/hallpass"
        folder.mkdir(parents=True)
        (folder / "config.toml").write_text(
            f'[providers.corp]\nissuer = "{self.provider.issuer}"\nclient_id = "hallpass"\n'
            f'scopes = ["openid", "offline_access"]\nca_file = "{self.ca.ca_file}"\n',
            encoding="utf-8",
        )
        self.kubeconfig(self.sandbox.home / ".kube/config", {})
        self.admins = self.sandbox.root / "admin"
        self.kubeconfig(self.admins, {"token": ADMIN})
        self.sandbox.hallpass("setup", "kubectl", "--provider", "corp", "--yes").ended(0)
        self.sandbox.hallpass("login", "corp").ended(0)

    def uses(self, suite):
        (self.sandbox.tools / "kubectl").unlink(missing_ok=True)
        (self.sandbox.tools / "kubectl").symlink_to(kubectl_of(suite))

    def kubeconfig(self, path, user):
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": self.server.url, "certificate-authority-data": self.server.authority}}],
            "users": [{"name": "me", "user": user}],
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "me"}}],
            "current-context": "here",
        }
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(config), encoding="utf-8")

    def starts(self, **oidc):
        """The API server with the settings that fit, apart from these."""
        fits = {"issuer_url": self.provider.issuer, "client_id": "hallpass", "ca_file": self.ca.ca_file}
        self.provider.new_requests()
        self.server.start(**{**fits, **oidc})
        # The controller manager, which isn't running here, would collect the rules of this role.
        rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]
        self.admin("patch", "clusterrole", "view", "--type=merge", f"--patch={json.dumps({'rules': rules})}")

    def kubectl(self, *args, **env):
        self.caches += 1
        return subprocess.run(
            ["kubectl", f"--cache-dir={self.sandbox.root}/cache-{self.caches}", *args],
            env={**self.sandbox.env, **env},
            executable=self.sandbox.tools / "kubectl",
            cwd=self.sandbox.home,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=SECONDS_A_KUBECTL,
        )

    def admin(self, *args):
        done = self.kubectl(*args, KUBECONFIG=os.fspath(self.admins))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def doctor(self, code, *words):
        """What the doctor says, which has these words."""
        looked = self.sandbox.hallpass("doctor", "kubectl", "--ask-server").ended(code)
        for word in words:
            assert word in looked.stdout, f"{word!r} in:\n{looked.stdout}"
        for kind, secret in self.provider.secrets():
            assert secret not in looked.stdout, f"the doctor shows a {kind}"
        return looked.stdout

    def is_let_in(self):
        # RBAC learns of a new binding a moment later.
        wait_for(lambda: self.kubectl("get", "pods").returncode == 0, 20, "kubectl is not let in")
        for suite in (OLD, NEW):
            self.uses(suite)
            got = self.kubectl("get", "pods")
            assert got.returncode == 0, got.stderr

    def is_kept_out(self, word):
        def is_refused():
            got = self.kubectl("get", "pods")
            assert got.returncode != 0, got.stdout
            return word in got.stderr

        for suite in (OLD, NEW):
            self.uses(suite)
            # Until the API server has the provider's keys, it rejects every token.
            wait_for(is_refused, 20, f"kubectl does not say {word}")

    def apply(self, told):
        """What an administrator does who is sent the command of the doctor."""
        (line,) = [line.strip() for line in told.splitlines() if line.strip().startswith("kubectl create rolebinding")]
        self.admin(*shlex.split(line)[1:])


@case(limit=600, full=True)
def the_doctor_is_right_about_a_real_api_server(rig):
    cluster = Cluster(rig)
    issuer = cluster.provider.issuer

    # Accepted, under the default name, and without permissions.
    cluster.starts()
    cluster.is_kept_out("orbidden")
    told = cluster.doctor(1, f"to it you are {issuer}#", "no permissions in the namespace default (403)")
    cluster.apply(told)
    cluster.is_let_in()
    cluster.doctor(0, "has permissions in the namespace default")

    # With another prefix, the binding names another user.
    cluster.starts(username_prefix="oidc:")
    cluster.is_kept_out("orbidden")
    told = cluster.doctor(1, "to it you are oidc:", "(the prefix oidc: and the token's sub)", "no permissions")
    cluster.admin("delete", "rolebinding", "hallpass-view")
    cluster.apply(told)
    cluster.is_let_in()

    # Groups, with a prefix that the binding lacks, and then has.
    cluster.admin("create", "rolebinding", "devs", "--clusterrole=view", "--group=dev")
    cluster.starts(groups_claim="groups", groups_prefix="oidc:")
    cluster.is_kept_out("orbidden")
    cluster.doctor(1, "no permissions in the namespace default")
    cluster.admin("create", "rolebinding", "prefixed", "--clusterrole=view", "--group=oidc:dev")
    cluster.is_let_in()
    cluster.doctor(0, "has permissions in the namespace default")

    rejected = "rejects the token (401)"
    for settings, words in (
        ({"client_id": "another"}, ("--oidc-client-id=hallpass",)),
        ({"username_claim": "email"}, ("the token has no email", "--oidc-username-claim")),
        ({"required_claim": "hd=corp.example"}, ("--oidc-required-claim must match the token's claims",)),
        ({"ca_file": None}, ("rejects every token unless its --oidc-ca-file", "--oidc-ca-file=FILE")),
    ):
        cluster.starts(**settings)
        cluster.is_kept_out("ogged in")
        cluster.doctor(1, rejected, *words)

    # The key that signed the token is published no more.
    cluster.provider.set(rotated=True)
    cluster.starts()
    cluster.doctor(1, rejected, "signature: ")
