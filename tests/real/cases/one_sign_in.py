"""The README's setups of git, docker and kubectl share an issuer and need a single sign-in."""

import json
import pathlib

from api_server import ApiServer
from cases import docker, git
from cases.kubectl import NEW, kubectl_of
from git_server import GitServer
from rig import case

SCHEMES, USER = ("Basic",), "oauth2"


class Desk(docker.Desk):
    """A person with an empty HOME, and a git server, a registry and a cluster that accept the same provider's tokens."""

    def __init__(self, rig):
        super().__init__(rig, set_up=False)
        (self.sandbox.home / ".config/hallpass/config.toml").unlink()
        self.git_path = git.healing_git()
        self.server = rig.with_part(GitServer(self.sandbox.root / "served", self.provider, self.git_path, SCHEMES, USER))
        self.cluster = rig.with_part(ApiServer(self.provider, rig.authority(), self.sandbox.root))
        (self.sandbox.tools / "kubectl").symlink_to(kubectl_of(NEW))
        folder = pathlib.Path(self.git_path).parent
        self.sandbox.env["PATH"] = f"{folder}:{self.sandbox.env['PATH']}"
        kubeconfig = self.sandbox.home / ".kube/config"
        kubeconfig.parent.mkdir()
        cluster = {"server": self.cluster.url, "certificate-authority-data": self.cluster.authority}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "prod", "cluster": cluster}],
            "users": [{"name": "me", "user": {}}],
            "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "me"}}],
            "current-context": "prod",
        }
        kubeconfig.write_text(json.dumps(config), encoding="utf-8")
        bare = self.server.root / "one.git"
        self.run(self.git_path, "init", "--quiet", "--bare", bare)

    def set_up(self, git=(), docker=(), kubectl=()):
        issuer = ("--issuer-url", self.provider.issuer, "--client-id", "hallpass")
        self.hallpass("setup", "git", "--host", self.server.url, *issuer, *git).ended(0)
        self.hallpass("setup", "docker", self.url, *issuer, *docker).ended(0)
        self.hallpass("setup", "kubectl", "--context", "prod", *issuer, *kubectl).ended(0)

    def use_all(self, number):
        self.run(self.git_path, "clone", "--quiet", f"{self.server.url}/one.git", f"work-{number}")
        self.push(f"image-{number}")
        self.get_pods()

    def get_pods(self):
        self.run("kubectl", "get", "pods")
        assert 200 in {status for _, _, status in self.cluster.new_seen()}


@case(limit=120)
def three_tools_set_up_with_one_issuer_need_one_sign_in(rig):
    desk = Desk(rig)
    desk.set_up()
    config = desk.sandbox.home / ".config/hallpass/config.toml"
    text = config.read_text(encoding="utf-8")
    assert text.count("[providers.") == 1, text
    desk.use_all(1)
    assert len(desk.sandbox.tabs()) == 1
    assert [kind for kind, _ in desk.provider.new_grants()] == ["authorization_code"]
    # Each setup can be undone without affecting the others, even the one that added the provider.
    desk.hallpass("setup", "git", "--undo").ended(0)
    desk.push("image-2")
    desk.get_pods()
    desk.hallpass("setup", "docker", "--undo").ended(0)
    desk.get_pods()
    assert len(desk.sandbox.tabs()) == 1
    desk.hallpass("setup", "kubectl", "--undo").ended(0)
    assert not config.exists(), config.read_text(encoding="utf-8")


@case(limit=120)
def entries_with_different_scopes_share_a_sign_in_but_not_a_token(rig):
    desk = Desk(rig)
    desk.set_up()
    config = desk.sandbox.home / ".config/hallpass/config.toml"
    text = config.read_text(encoding="utf-8")
    for url, scope in ((desk.server.url, "email"), (desk.url, "profile")):
        text = text.replace(f'match = "{url}"\n', f'match = "{url}"\nscopes = ["{scope}", "openid"]\n')
    config.write_text(text, encoding="utf-8")
    desk.use_all(1)
    assert len(desk.sandbox.tabs()) == 1
    tokens = {url: desk.hallpass("get-token", url, "--interactive", "never").token for url in (desk.server.url, desk.url)}
    for url, own, other in ((desk.server.url, "email", "profile"), (desk.url, "profile", "email")):
        scopes = desk.provider.introspect(tokens[url])["scope"].split()
        assert own in scopes and other not in scopes, (url, scopes)
    # An inactive token is replaced by one with the same scopes, without prompting.
    desk.provider.set(dead=list(tokens.values()))
    for url, own in ((desk.server.url, "email"), (desk.url, "profile")):
        fresh = desk.hallpass("get-token", url, "--force-refresh", "--interactive", "never").token
        assert fresh not in tokens.values() and own in desk.provider.introspect(fresh)["scope"].split()
    desk.use_all(2)
    assert len(desk.sandbox.tabs()) == 1
    desk.hallpass("logout", "--all").ended(0)
    assert not any(desk.provider.introspect(token)["active"] for token in desk.provider.issued("access_token"))
