"""The libraries that read a kubeconfig, each with the exec entry that `setup kubectl` writes.

Most of them do not tell a plugin which cluster they talk to, and some start it without any request.
"""

import json
import subprocess

from api_server import ApiServer
from cases.kubectl import NEW, OLD, kubectl_of
from rig import case
from sandbox import HERE, Result

SECONDS_A_CLIENT = 60
CLIENTS = HERE / "kubernetes"
NODE = HERE / "node_modules"

# What each tells the plugin: the cluster, a request without one, or nothing at all.
CLUSTER, REQUEST, NOTHING = "cluster", "request", "nothing"


def python(lock, library):
    return [str(CLIENTS / "venvs" / lock / "bin/python"), "-B", str(CLIENTS / "client.py"), library]


def node():
    (program,) = NODE.glob("node-linux-*/bin/node")
    return [str(program), str(CLIENTS / "client.mjs")]


class Desk:
    """A person who has set up the user of one cluster, and has some library."""

    def __init__(self, rig):
        self.rig, self.sandbox = rig, rig.sandbox
        self.provider = rig.provider()
        self.server = self.cluster("here")
        self.evil = self.cluster("evil")
        for name, target in (("kubectl", kubectl_of(NEW)), ("hallpass", self.sandbox.program)):
            (self.sandbox.tools / name).unlink(missing_ok=True)
            (self.sandbox.tools / name).symlink_to(target)
        # What the plugin was told, one line for each time that it was started.
        self.log = self.sandbox.root / "plugin-runs"
        self.plugin = self.sandbox.tools / "counted-hallpass"
        self.plugin.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$(printf %s "$KUBERNETES_EXEC_INFO")" >>"{self.log}"\nexec hallpass "$@"\n', encoding="utf-8"
        )
        self.plugin.chmod(0o700)
        folder = self.sandbox.home / ".config/hallpass"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.toml").write_text(
            f'[providers.corp]\nissuer = "{self.provider.issuer}"\nclient_id = "hallpass"\n'
            'scopes = ["openid", "offline_access"]\n',
            encoding="utf-8",
        )
        self.kubeconfig = self.sandbox.root / "kubeconfig"
        self.sandbox.env.update(PATH=f"{self.sandbox.tools}:/usr/bin:/bin", KUBECONFIG=str(self.kubeconfig))
        self.write(self.kubeconfig, self.server, {"token": "none yet"})
        self.sandbox.hallpass("setup", "kubectl", "--provider", "corp").ended(0)
        self.entry = json.loads(self.sandbox_kubectl("config", "view", "--raw", "-o", "json"))["users"][0]["user"]["exec"]
        assert self.entry["command"] == "hallpass" and "--entry" in self.entry["args"], self.entry

    def cluster(self, name):
        return self.rig.with_part(ApiServer(self.provider, self.rig.authority(name), self.sandbox.root, name=name))

    def write(self, path, server, user):
        cluster = {"server": server.url, "certificate-authority-data": server.authority}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "me", "user": user}],
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "me", "namespace": "default"}}],
            "current-context": "here",
        }
        path.write_text(json.dumps(config), encoding="utf-8")

    def sandbox_kubectl(self, *args):
        done = subprocess.run(
            ["kubectl", *args], env=self.sandbox.env, executable=self.sandbox.tools / "kubectl",
            capture_output=True, text=True, timeout=SECONDS_A_CLIENT,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, command, server=None, args=None, times=1):
        """Runs a client with the set-up's own exec entry, or with other arguments or another server in its place."""
        entry = {**self.entry, "command": str(self.plugin), "args": args or self.entry["args"]}
        path = self.sandbox.root / "kubeconfig-of-the-client"
        self.write(path, server or self.server, {"exec": entry})
        self.log.unlink(missing_ok=True)
        done = subprocess.run(
            [*command, str(times)],
            env={**self.sandbox.env, "KUBECONFIG": str(path)},
            cwd=self.sandbox.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS_A_CLIENT,
        )
        result = Result([f"({command[-1]})"], done.returncode, done.stdout, done.stderr, 0)
        self.sandbox.commands.append(result)
        return result

    def told(self):
        """What the plugin was told each time: see the constants above."""
        kinds = []
        for line in self.log.read_text(encoding="utf-8").splitlines():
            info = json.loads(line) if line else None
            kinds.append(NOTHING if info is None else CLUSTER if info.get("spec", {}).get("cluster") else REQUEST)
        return kinds

    def serves(self, command, tells, runs_it_twice=False):
        """The client lists pods with one sign-in, and takes no token to another server."""
        for _ in range(2):
            pods = self.run(command).ended(0)
            assert pods.stdout.split() == ["a-pod-of-the-tests"], pods.stdout
            assert set(self.told()) == {tells}, self.told()
        assert len(self.sandbox.tabs()) == 1
        # A second run by the same process means a refused token, which costs one refresh.
        refreshes = [("refresh_token", 200)] if runs_it_twice else []
        grants = self.provider.new_grants()
        assert grants == [("authorization_code", 200), *refreshes], grants
        # Another server: with the arguments of this entry, and with others that need no ID.
        without = self.entry["args"][: self.entry["args"].index("--entry")]
        issuer = ["kubectl", "--api-version", "v1beta1", "--issuer-url", self.provider.issuer, "--client-id", "hallpass",
                  "--scope", "openid", "--scope", "offline_access"]  # fmt: skip
        attempts = [without, [*without, "--entry", "0" * 32], issuer]
        if tells == CLUSTER:
            attempts.append(self.entry["args"])
        for args in attempts:
            refused = self.run(command, self.evil, args)
            # Some libraries go on without a token.
            assert "a-pod-of-the-tests" not in refused.stdout, args
        sent = [token for _, token, _ in self.evil.new_seen() if token]
        assert sent == [], "a token went to another server"
        assert len(self.sandbox.tabs()) == 1
        # The entry is taken back, and the client gets nothing with what it had.
        self.sandbox.hallpass("setup", "kubectl", "--undo").ended(0)
        self.server.new_seen()
        if tells != CLUSTER:
            self.run(command)
            assert [token for _, token, _ in self.server.new_seen() if token] == []


@case
def python_kubernetes_28_gets_pods(rig):
    Desk(rig).serves(python("kubernetes-28.1.0", "kubernetes"), REQUEST)


@case
def python_kubernetes_31_gets_pods(rig):
    Desk(rig).serves(python("kubernetes-31.0.0", "kubernetes"), REQUEST)


@case
def python_kubernetes_32_gets_pods(rig):
    Desk(rig).serves(python("kubernetes-32.0.1", "kubernetes"), CLUSTER)


@case
def python_kubernetes_37_gets_pods(rig):
    Desk(rig).serves(python("kubernetes-37.0.2", "kubernetes"), CLUSTER)


@case
def kubernetes_asyncio_gets_pods(rig):
    Desk(rig).serves(python("others", "kubernetes_asyncio"), REQUEST)


@case
def kr8s_gets_pods(rig):
    Desk(rig).serves(python("others", "kr8s"), NOTHING)


@case
def lightkube_gets_pods(rig):
    Desk(rig).serves(python("others", "lightkube"), NOTHING)


@case
def pykube_ng_gets_pods(rig):
    Desk(rig).serves(python("others", "pykube"), NOTHING)


@case
def the_javascript_client_gets_pods(rig):
    Desk(rig).serves(node(), NOTHING)


@case
def kube_rs_gets_pods(rig):
    Desk(rig).serves([str(CLIENTS / "kube-rs/target/debug/kube-rs-client")], CLUSTER, runs_it_twice=True)


@case
def every_kubectl_gets_pods_with_the_entry_that_is_set_up(rig):
    desk = Desk(rig)
    for suite in (NEW, OLD):
        for described in (True, False):
            desk.entry["provideClusterInfo"] = described
            cache = desk.sandbox.root / f"cache-{suite}-{described}"
            # The number that each client is handed goes to the last option.
            command = [str(kubectl_of(suite)), f"--cache-dir={cache}", "get", "pods", "--chunk-size"]
            pods = desk.run(command, times=500).ended(0)
            assert "a-pod-of-the-tests" in pods.stdout, pods.stdout
            assert set(desk.told()) == {CLUSTER if described else REQUEST}, desk.told()
    assert len(desk.sandbox.tabs()) == 1
